#include "mlxcache/verify/twins.h"

#include <algorithm>

namespace mlxcache::verify {
namespace {

bool carries(const catalog::Inventory& inventory, const catalog::Inode& inode, const mlxbase::Digest& expected) {
  if (inode.sha256 && *inode.sha256 == expected) return true;
  return std::any_of(inode.names.begin(), inode.names.end(), [&](catalog::NameRef name) {
    const catalog::Entry& entry = inventory.entry(name);
    return entry.role != catalog::Role::partial && entry.claim == expected;
  });
}

}  // namespace

std::vector<std::uint32_t> twin_candidates(const catalog::Inventory& inventory, std::uint32_t inode, const mlxbase::Digest& expected) {
  std::vector<std::uint32_t> out;
  for (const catalog::Group& group : inventory.groups) {
    const bool member = std::find(group.inodes.begin(), group.inodes.end(), inode) != group.inodes.end();
    if (member || group.digest == expected) out.insert(out.end(), group.inodes.begin(), group.inodes.end());
  }
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    if (carries(inventory, inventory.inodes[i], expected)) out.push_back(i);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  std::erase(out, inode);
  return out;
}

}  // namespace mlxcache::verify
