#pragma once
// A model that one tool has, made visible in another, with no copy: finds it in an inventory, confirms its digests, asks the target's adapter
// what to write, picks the link that volume and store allow, and gives a change::Plan.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/publication.h"

namespace mlxcache::publish {

/// The model an id means. `store/model` or a bare id; a bare id that several stores have takes a complete one, hub cache first.
struct Found {
  std::uint32_t store = 0;   // Inventory::listings
  std::uint32_t model = 0;
  std::string quant;         // "org/repo:Q4_K_M" of a repo with several quantisations: upper case; empty: all of it
};
/// Upper and lower case are alike where no name fits exactly. Errors: not_found (near names in the message), invalid (incomplete: what is
/// missing; several models fit).
mlxbase::Result<Found> find_model(const catalog::Inventory& inventory, const std::string& id);

/// Everything a target may want to know of it. Measures what is only claimed (through the catalog: once), and confirms claims before they become
/// names. Errors: corrupt (a digest differs from its claim: nothing is published), io, cancelled.
mlxbase::Result<stores::ModelSource> describe(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory,
                                              const Found& model, mlxbase::Progress& progress);

struct Target {
  catalog::Root root;
  bool new_root = false;               // the tool has no store here yet; it is made
};
/// The first root of that kind in the inventory, else the tool's default. Errors: unsupported (this tool cannot be given models).
mlxbase::Result<Target> target_of(const stores::Context& context, const catalog::Inventory& inventory, catalog::StoreKind kind);

struct Published {
  catalog::Root root;
  std::string visible_as;
  std::vector<std::string> notes;
  std::uint64_t new_bytes = 0;         // disk that it takes: 0 where bytes are shared
};
struct Refused {
  catalog::StoreKind kind{};
  std::string reason;
};
struct Plan {
  change::Plan changes;
  std::vector<Published> targets;
  std::vector<Refused> refused;
};

/// Sources (by index of `source.files`) that are finished downloads of ours and move into the first target instead of being shared.
using Adopted = std::map<std::uint32_t, std::string>;

/// The plan for all targets; a target that refuses is listed and does not stop the others. Copies only where no link is possible and
/// `allow_copy`; else such a target is refused with the reason.
mlxbase::Result<Plan> make_plan(const stores::Context& context, const stores::ModelSource& source, const std::vector<Target>& targets,
                                const Adopted& adopted, bool allow_copy);

}  // namespace mlxcache::publish
