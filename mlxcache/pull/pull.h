#pragma once
// One pull for every tool: resolve, see what is on this machine already, download the rest, publish everywhere that was asked for.
#include <string>
#include <vector>

#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/fetch/download.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/publish/publish.h"

namespace mlxcache::pull {

struct PlannedFile {
  fetch::RemoteFile remote;
  std::string local;            // a file on this machine with these bytes; empty: to be downloaded
  bool local_is_claim = false;  // its digest is only claimed so far: measured before it is used
  std::uint64_t resumable_bytes = 0;  // of an earlier run that was cut short
};
struct Plan {
  fetch::Resolved resolved;
  std::vector<PlannedFile> files;
  std::vector<publish::Target> targets;     // the first is the store the id belongs to
  std::vector<publish::Refused> refused;
  std::uint64_t download_bytes = 0;
  std::uint64_t free_bytes = 0;             // of the volume of the first target
  bool fits = true;
};

struct Options {
  fetch::Selection selection;
  std::vector<catalog::StoreKind> to;       // besides the store the id belongs to
  bool to_all = false;                      // every tool that has a store here and can load it
  bool allow_copy = false;
};

/// Errors: as Resolver::resolve; unsupported (no target can load it).
mlxbase::Result<Plan> make_plan(const stores::Context& context, mlxbase::net::Client& client, const fetch::Endpoints& endpoints,
                                const catalog::Inventory& inventory, const fetch::Id& id, const Options& options, const mlxbase::Cancel* cancel);

struct Pulled {
  change::Done changes;
  std::vector<publish::Published> visible;
  std::vector<publish::Refused> refused;
  std::uint64_t downloaded_bytes = 0;
  std::uint64_t shared_bytes = 0;           // that were on this machine already
};
/// Downloads under the stores' locks, then publishes in one transaction. What was downloaded before a failure stays resumable.
mlxbase::Result<Pulled> run(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, const fetch::Endpoints& endpoints,
                            const Plan& plan, const Options& options);

}  // namespace mlxcache::pull
