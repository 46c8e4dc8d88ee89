#pragma once
// What several commands print or put into JSON about an inventory.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/cli/command.h"
#include "mlxcache/cli/session.h"
#include "mlxcache/dedup/plan.h"

namespace mlxcache::cli {

/// "1 file", "2 files", "1,200 files".
std::string count(std::uint64_t n, std::string_view one, std::string_view many = {});

/// Sets `name` to the path; bytes that are not UTF-8 are also given exactly, as `<name>_hex`.
void set_path(mlxbase::json::Value& object, std::string_view name, std::string_view path);
mlxbase::json::Value problem_json(const std::string& path, std::string_view reason);
/// "sha256" with bare hex, or for a claim "claimed" with "algorithm:hex".
void set_digest(mlxbase::json::Value& object, const catalog::Group& group);
mlxbase::json::Value skipped_json(std::span<const dedup::Skipped> skipped);
/// duplicates[]: digest, size, what sharing would free, every path.
mlxbase::json::Value duplicate_json(const catalog::Inventory& inventory, const catalog::Group& group);
/// Problems of all listings.
mlxbase::json::Value problems_json(const catalog::Inventory& inventory);

/// What sharing would free in each store: of every group and volume, all copies but one count (the one kept first).
std::vector<std::uint64_t> reclaimable_by_store(const catalog::Inventory& inventory);

/// "2026-11-23T04:20:27Z", for JSON; "2026-11-23 04:20", local time, for people.
std::string iso_time(std::int64_t wall_ns);
std::string local_time(std::int64_t wall_ns);

/// The name of the store's kind as JSON and --store have it.
std::string_view kind_name(catalog::StoreKind kind);
/// Tools in which the group has copies: "hf-hub, ollama".
std::string stores_of(const catalog::Inventory& inventory, const catalog::Group& group);
/// What people call the group's file: a model and, where its name tells something, the file. Printable.
std::string title_of(const catalog::Inventory& inventory, const catalog::Group& group);
/// "sha256:3fa9c1d2e4…": enough of a digest to recognise it.
std::string short_digest(const mlxbase::Digest& digest);

/// Options that name stores and roots, as a scan takes them.
scan::Options scan_options(const Arguments& arguments);

/// Distinct bytes of a model: each of its files' inodes once; links count through what they resolve to when that is in the listing.
struct ModelSize {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
ModelSize size_of(const catalog::Listing& listing, const catalog::Model& model);
/// What `ls` and `show` say of a model alike: id, store, root, revision, format, bytes, incomplete.
mlxbase::json::Value model_json(const catalog::Listing& listing, const catalog::Model& model, const ModelSize& size);

/// Skipped files, grouped by reason, largest group first: "3 files: open for writing", with some of the names.
std::string skipped_text(Session& session, std::span<const dedup::Skipped> skipped, std::string_view heading);
/// `partly` if a folder that the person named is not there: a slip of the finger must not look like an empty store.
Exit exit_of_roots(const catalog::Inventory& inventory);
/// Problems of listings to standard error, a few of them unless --verbose.
void warn_of_problems(Session& session, const catalog::Inventory& inventory);

}  // namespace mlxcache::cli
