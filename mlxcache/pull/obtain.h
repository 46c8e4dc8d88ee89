#pragma once
// Gets hold of the bytes: what is thought to be here is measured, what is not here is downloaded under the store's locks.
#include <map>
#include <memory>
#include <string_view>
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
  std::vector<std::unique_ptr<mlxbase::os::Lock>> locks;  // on what was downloaded: until it is published, nobody else takes it
  std::uint64_t downloaded_bytes = 0;
  std::uint64_t shared_bytes = 0;
};

/// How a small download is called once it is whole: its digest, this, and something of the process's own.
inline constexpr std::string_view kOwnName = ".for-";
/// Where nothing comes of it: the next run finds again what was downloaded.
void give_back(mlxbase::os::FileSystem& fs, const Haul& haul);

/// Errors: out_of_space before anything is asked for; as fetch::download.
mlxbase::Result<Haul> obtain(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan& plan,
                             const Options& options, const Watcher& watcher);

}  // namespace mlxcache::pull
