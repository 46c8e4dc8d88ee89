#pragma once
// What several adapters do alike: temporary names, folders that exist, bounded reads of metadata, filling a Listing.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/walk.h"

namespace mlxcache::stores {

/// Metadata files of tools are small; a larger one is hostile or damaged and becomes a problem, unread.
inline constexpr std::uint64_t kMetadataLimit = std::uint64_t{32} << 20U;

// Temporary names (§1.2 rule 6).

/// `.mlxcache-staging/<token>` in the folder that holds the root: on the same volume (unless the root is a mount point) and outside
/// the tree that the tool scans. For tools that would list a stray file of any name.
std::string staging_beside_root(const Root& root, std::string_view token);
/// `.mlxcache-<token>.tmp` in the target's own folder: always the same volume. For tools that go by ending or by their own index.
std::string staging_beside_target(const std::string& target, std::string_view token);
/// Whether a file name or the name of a folder is one of ours from above.
bool is_staging_name(std::string_view name);

// Discovery.

/// Appends {kind, absolute normal path, origin} if that is a folder (or a link to one) and not there yet.
void add_root(const Context& context, std::vector<Root>& roots, catalog::StoreKind kind, const std::string& path, std::string_view origin);
/// Homes whose layout below is like the person's own: the home itself, then snap and flatpak redirections
/// (`~/snap/<app>/common`, `~/.var/app/<id>`) on Linux, `~/Library/Containers/<id>/Data` on macOS. Existing ones, sorted.
struct RedirectedHome {
  std::string path;    // stands for ~
  std::string cache;   // stands for ~/.cache on Linux, ~/Library/Caches on macOS
  std::string data;    // stands for ~/.local/share, ~/Library/Application Support
  std::string config;  // stands for ~/.config, ~/Library/Application Support
  std::string origin;  // "snap ollama", "flatpak ai.jan.Jan", "container com.example.app"
};
std::vector<RedirectedHome> redirected_homes(const Context& context);
/// $XDG_CACHE_HOME (if set and absolute, as the specification asks) or ~/.cache.
std::string xdg_cache(const mlxbase::os::Environment& environment);
std::string xdg_data(const mlxbase::os::Environment& environment);
std::string xdg_config(const mlxbase::os::Environment& environment);

// Metadata.

/// Reads a tool's file, at most kMetadataLimit; never blocks on a FIFO, does not follow a link out of the root (a symlink counts as `invalid`
/// unless its real path lies below the root's).
mlxbase::Result<std::string> read_metadata(const Context& context, const std::string& root, const std::string& path,
                                           std::uint64_t limit = kMetadataLimit);
mlxbase::Result<mlxbase::json::Value> read_json(const Context& context, const std::string& root, const std::string& path,
                                                std::uint64_t limit = kMetadataLimit);

// Listings.

/// Collects entries and models, and keeps both sides of their relation true.
class ListingBuilder {
 public:
  ListingBuilder(const Root& root, const Adapter& row) : row_(row) { listing_.root = root; }

  /// Adds an entry; its index.
  std::uint32_t add(catalog::Entry entry);
  /// entry_of(found, row's links), with links_reason set for ONNX; partial and lock names get their roles.
  std::uint32_t add(const Found& found) { return add_named(entry_of(found, row_.links)); }
  std::uint32_t add(Found&& found) { return add_named(entry_of(std::move(found), row_.links)); }  // its path moves into the entry
  catalog::Entry& at(std::uint32_t entry) { return listing_.entries[entry]; }
  const catalog::Entries& entries() const { return listing_.entries; }

  /// Adds a model; its index.
  std::uint32_t model(catalog::Model model);
  catalog::Model& model_at(std::uint32_t model) { return listing_.models[model]; }
  /// Makes the entry part of the model; doing so twice is doing so once.
  void join(std::uint32_t model, std::uint32_t entry);

  void problem(std::string path, mlxbase::Error error) { listing_.problems.push_back({std::move(path), std::move(error)}); }
  std::vector<catalog::Problem>& problems() { return listing_.problems; }

  /// Sets each model's `format` (from its entries' names, if empty) and `incomplete` (a split part is missing), and gives the listing.
  Listing finish();

 private:
  std::uint32_t add_named(catalog::Entry entry);

  const Adapter& row_;
  Listing listing_;
};

/// Narrows to reflink with the reason for .onnx models and their external data (§17.5); other entries stay.
void restrict_onnx(catalog::Entry& entry, std::string_view file_name);

}  // namespace mlxcache::stores
