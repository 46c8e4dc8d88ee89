#pragma once
// What stays and what goes: removing a model into the trash, cleaning up, keeping within a budget, pins. All of them make a change::Plan.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::keep {

/// One model of one store that would go, with the truth about bytes.
struct Leaving {
  catalog::StoreKind kind{};
  std::string store_root;
  std::string model;
  std::uint64_t apparent_bytes = 0;
  std::uint64_t freed_bytes = 0;          // in this order of leaving: what nobody else refers to once those before it are gone
  std::int64_t last_used_ns = 0;
  std::vector<std::string> kept;          // files that stay because another model or tool needs them, and which
  std::vector<std::string> shared_with;   // who else has some of its blocks and keeps them: "lm-studio: org/name"; a store alone where no model has them
};
struct Refused {
  std::string what;
  std::string reason;                     // pinned, in use, partial download running, not understood
};
struct Plan {
  change::Plan changes;
  std::vector<Leaving> leaving;
  std::vector<Refused> refused;
  std::uint64_t short_of_bytes = 0;       // prune: so much more would have to go for the budget
  std::uint64_t freed_bytes = 0;          // exact where volumes tell who refers to which blocks; never more than that elsewhere
  bool exact = true;
};

/// The models of that name: as `ls` prints it, upper and lower case alike where nothing fits exactly; "store/name" and "name@revision" narrow.
struct Named {
  std::uint32_t store = 0;
  std::uint32_t model = 0;
};
/// Whether a model's id is this name: the same but for the case, or a repo's name where the tool puts the hub before it and a tag behind ("org/name" and
/// "org/name:Q8_0" are Ollama's "hf.co/org/name:Q8_0").
bool is_named(std::string_view id, std::string_view name);
/// Those that are named just so; what is_named() besides is added, since to a person it is the same model. Errors: not_found (near names in the message).
mlxbase::Result<std::vector<Named>> models_named(const catalog::Inventory& inventory, const std::string& model);

/// `from` empty and `everywhere` false: the model must be in one store only. Errors: not_found, invalid (in several stores: which), busy, io.
/// What is pinned, in use or half downloaded is in Plan::refused.
mlxbase::Result<Plan> plan_remove(const stores::Context& context, const catalog::Inventory& inventory, const std::string& home, const std::string& model,
                                  const std::vector<catalog::StoreKind>& from, bool everywhere);

struct GcOptions {
  bool orphans = true, partials = true, broken_links = true;
  std::int64_t partial_age_ns = 0;        // younger partials are left alone (they may be running)
  std::vector<catalog::StoreKind> only;
};
mlxbase::Result<Plan> plan_gc(const stores::Context& context, const catalog::Inventory& inventory, const GcOptions& options, std::int64_t now_ns);

struct PruneOptions {
  std::optional<std::uint64_t> budget_bytes;  // all stores together shall hold no more (allocated, shared bytes once)
  std::optional<std::int64_t> unused_ns;      // only what was not used for so long
  std::vector<catalog::StoreKind> only;
};
/// Least recently used first; pinned models stay.
mlxbase::Result<Plan> plan_prune(const stores::Context& context, const catalog::Inventory& inventory, const std::string& home, const PruneOptions& options,
                                 std::int64_t now_ns);

/// When a model was last read, as well as the disk tells: the latest atime and mtime of its payloads, and what `watch` saw.
std::int64_t last_used_ns(const catalog::Inventory& inventory, std::uint32_t store, std::uint32_t model);

/// Pins, in `<home>/pins.json` (format: docs/formats/pins.md): model ids, with or without "store/". Sorted. Errors: corrupt (the file is not ours to
/// guess about: nothing is removed while it cannot be read), io.
mlxbase::Result<std::vector<std::string>> pins(mlxbase::os::FileSystem& fs, const std::string& home);
mlxbase::Status pin(mlxbase::os::FileSystem& fs, const std::string& home, const std::string& model);
/// Errors: not_found (it is not pinned).
mlxbase::Status unpin(mlxbase::os::FileSystem& fs, const std::string& home, const std::string& model);
bool is_pinned(const std::vector<std::string>& pins, catalog::StoreKind kind, const std::string& model);

}  // namespace mlxcache::keep
