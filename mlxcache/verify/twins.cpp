#include "mlxcache/verify/twins.h"

#include <algorithm>
#include <cstddef>

namespace mlxcache::verify {
namespace {

bool carries(const catalog::Inventory& inventory, const catalog::Inode& inode, const mlxbase::Digest& expected) {
  if (inode.sha256 && *inode.sha256 == expected) return true;
  return std::any_of(inode.names.begin(), inode.names.end(), [&](catalog::NameRef name) {
    const catalog::Entry& entry = inventory.entry(name);
    return entry.role != catalog::Role::partial && entry.claim == expected;
  });
}

/// A file of a model that could be it as far as its size goes, and of which neither a store nor we have ever said what it is.
bool may_be(const catalog::Inventory& inventory, const catalog::Inode& inode, std::uint64_t size) {
  return inode.stat.size == size && !inode.sha256 && std::all_of(inode.names.begin(), inode.names.end(), [&](catalog::NameRef name) {
    const catalog::Entry& entry = inventory.entry(name);
    return entry.role == catalog::Role::payload && !entry.claim;
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
  // Damage where the scan takes its samples sets the file apart from its twins: those were never read, and come last.
  const auto known = static_cast<std::ptrdiff_t>(out.size());
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    if (i == inode || !may_be(inventory, inventory.inodes[i], inventory.inodes[inode].stat.size)) continue;
    if (!std::binary_search(out.begin(), out.begin() + known, i)) out.push_back(i);
  }
  return out;
}

}  // namespace mlxcache::verify
