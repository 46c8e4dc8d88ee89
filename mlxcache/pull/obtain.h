#pragma once
// Gets hold of the bytes: what is thought to be here is measured, what is not here is downloaded under the store's locks.
#include <map>
#include <vector>

#include "mlxcache/pull/pull.h"

namespace mlxcache::pull {

/// Where the bytes of one planned file are now, and what was measured of them.
struct Obtained {
  std::string path;
  catalog::Fingerprint state;
  catalog::Links shared_by = catalog::kAnyLink;
  mlxbase::Digest sha256;
  std::optional<mlxbase::Digest> git_sha1;
  bool downloaded = false;             // a file of ours that may move into a store
};

struct Haul {
  std::vector<Obtained> files;         // beside Plan::files
  std::uint64_t downloaded_bytes = 0;
  std::uint64_t shared_bytes = 0;
};

/// Errors: out_of_space before anything is asked for; as fetch::download.
mlxbase::Result<Haul> obtain(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan& plan,
                             const Options& options, const Watcher& watcher);

}  // namespace mlxcache::pull
