#pragma once
// One pull for every tool: resolve, share what is here, download the rest, publish everywhere that was asked for.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/fetch/download.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/publish/publish.h"

namespace mlxcache::pull {

/// A file on this machine that has, or may have, the bytes of a remote one.
struct Local {
  enum class Evidence : std::uint8_t {
    measured,  // its digest was measured by us, for this very state of the file
    claimed,   // its store says so: measured before it is used
    alike,     // same size and same name: measured before it is used
  };
  std::string path;                        // a regular file
  catalog::StoreKind store{};
  catalog::Fingerprint state;
  catalog::Links shared_by = catalog::kAnyLink;
  Evidence evidence{};
  std::vector<mlxbase::Digest> digests;    // measured ones
};

struct PlannedFile {
  fetch::RemoteFile remote;
  std::vector<Local> locals;               // best first; empty: to be downloaded
  std::uint64_t resumable_bytes = 0;       // about what an earlier run that was cut short has
};

struct Plan {
  fetch::Resolved resolved;
  std::vector<PlannedFile> files;
  std::vector<publish::Target> targets;    // the first is the store the id belongs to
  std::vector<publish::Refused> refused;
  std::string downloads_folder;            // where downloads lie until they are published
  std::uint64_t download_bytes = 0;        // still to come, if everything found here holds
  std::uint64_t here_bytes = 0;            // on this machine already
  std::uint64_t free_bytes = 0;            // of the volume of the first target
  bool fits = true;
};

struct Options {
  fetch::Selection selection;
  std::vector<catalog::StoreKind> to;      // besides the store the id belongs to; the first gets a plain URL
  bool to_all = false;                     // every tool that has a store here and can load it
  bool allow_copy = false;
  fetch::DownloadOptions download;
};

/// Looks and asks, changes nothing. Errors: as Resolver::resolve; unsupported (the id's own store cannot take it), invalid (a URL without `to`).
mlxbase::Result<Plan> make_plan(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, const fetch::Endpoints& endpoints,
                                const catalog::Inventory& inventory, const fetch::Id& id, const Options& options);

struct Pulled {
  std::vector<change::Done> changes;       // usually one transaction; none if everything was there
  std::vector<publish::Published> visible;
  std::vector<publish::Refused> refused;
  std::uint64_t downloaded_bytes = 0;
  std::uint64_t shared_bytes = 0;          // that were on this machine already
};

/// What a person may watch. Called from the thread that called run().
struct Watcher {
  std::function<void(const PlannedFile& file, std::uint64_t transferred)> on_downloaded;
  std::function<void(const PlannedFile& file, const Local& local)> on_confirmed;  // a file that was only thought to be here is
  std::function<void(const std::string& name)> on_wait;                           // another program downloads this very file
};

/// Downloads under the stores' locks, then publishes: first into the id's own store, which takes the downloads in, then into the other tools, which
/// share from there (two transactions; one where nothing was downloaded). What was downloaded before a failure stays resumable. Errors: as fetch::download and change::carry_out; out_of_space before anything is asked for.
mlxbase::Result<Pulled> run(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan plan, const Options& options,
                            const Watcher& watcher = {});

}  // namespace mlxcache::pull
