#pragma once
// Finds files on this machine that may stand for remote ones.
#include <map>
#include <vector>

#include "mlxcache/catalog/catalog.h"
#include "mlxcache/pull/pull.h"

namespace mlxcache::pull {

class Matcher {
 public:
  Matcher(const catalog::Inventory& inventory, catalog::Catalog& catalog);

  /// Candidates for these bytes, best first: measured before claimed before alike, and what lies below `home_root` before others. A few at most.
  std::vector<Local> find(const fetch::RemoteFile& remote, const std::string& home_root) const;

 private:
  const catalog::Inventory& inventory_;
  std::multimap<std::uint64_t, std::uint32_t> by_size_;  // size to Inventory::inodes
  std::vector<std::vector<mlxbase::Digest>> measured_;   // beside Inventory::inodes
};

/// Whether measured digests say that these are the bytes.
bool proves(const std::vector<mlxbase::Digest>& measured, const fetch::RemoteFile& remote);

}  // namespace mlxcache::pull
