#pragma once
// Downloads of ours that were cut short and never taken up again.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mlxcache/catalog/store.h"
#include "mlxcache/cli/session.h"

namespace mlxcache::cli {

struct Abandoned {
  std::string folder;
  std::string key;                 // the digest's hex
  std::vector<std::string> files;  // whole paths; never the lock
  std::uint64_t bytes = 0;
};

/// Those in the download folders of these roots that nothing has written to since `before_ns`. Files of other names are nobody's business here.
std::vector<Abandoned> abandoned_downloads(Session& session, std::span<const catalog::Root> roots, std::int64_t before_ns);
/// Deletes them for good, each under its own lock; what another process works on stays. The bytes that are free now.
std::uint64_t delete_abandoned(Session& session, std::span<const Abandoned> downloads);

}  // namespace mlxcache::cli
