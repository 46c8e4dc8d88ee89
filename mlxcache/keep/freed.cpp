#include "mlxcache/keep/freed.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxcache/catalog/block_owners.h"

namespace mlxcache::keep {
namespace {

using catalog::NameRef;
using mlxbase::os::Extent;

bool all_settled(const std::vector<Extent>& extents) {
  return std::all_of(extents.begin(), extents.end(), [](const Extent& e) { return e.settled; });
}
bool any_shared(const std::vector<Extent>& extents) {
  return std::any_of(extents.begin(), extents.end(), [](const Extent& e) { return e.shared; });
}

}  // namespace

Freed::Freed(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory) : fs_(fs), inventory_(inventory), blocks_(inventory.inodes.size()) {
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    for (const NameRef name : inventory.inodes[i].names) inode_at_.emplace(inventory.entry(name).path, i);
  }
  start_over();
}

void Freed::start_over() {
  left_name_.clear();
  left_.resize(inventory_.inodes.size());
  for (std::uint32_t i = 0; i < left_.size(); ++i) {
    const catalog::Inode& inode = inventory_.inodes[i];
    left_[i] = static_cast<std::uint32_t>(std::max<std::uint64_t>(inode.stat.links, inode.names.size()));
  }
}

std::string Freed::pool_of(std::uint32_t i) {
  const catalog::Inode& inode = inventory_.inodes[i];
  const auto [at, fresh] = pools_.try_emplace(inode.stat.id.device);
  if (fresh) {
    const auto facts = fs_.volume(inventory_.listings[inode.names.front().store].root.path, false);
    at->second = facts && !facts->pool.empty() ? facts->pool : fmt::format("device {}", inode.stat.id.device);
  }
  return at->second;
}

Freed::Blocks& Freed::blocks_of(std::uint32_t i) {
  Blocks& blocks = blocks_[i];
  if (blocks.asked) return blocks;
  blocks.asked = true;
  const catalog::Inode& inode = inventory_.inodes[i];
  blocks.own_bytes = inode.stat.allocated_bytes;
  if (inode.stat.allocated_bytes == 0) return blocks;
  auto file = fs_.open_read(inventory_.entry(inode.names.front()).path);
  if (!file) {
    exact_ = false;
    return blocks;
  }
  if (auto extents = (*file)->extents()) {
    // Inline and delayed extents have no place yet, and nobody shares them.
    blocks.known = all_settled(*extents);
    blocks.shared = blocks.known && any_shared(*extents);
    if (blocks.shared) cut_pool(pool_of(i));
  } else if (auto sharing = (*file)->sharing(); sharing && sharing->clone_id != 0) {
    blocks.own_bytes = sharing->private_bytes;  // macOS names no blocks: what is shared counts as staying
    if (sharing->shared_bytes > 0) exact_ = false;
  }
  return blocks;
}

/// The runs of all inodes of a pool, once one of them shares something.
void Freed::cut_pool(const std::string& pool) {
  if (std::exchange(cut_[pool], true)) return;
  catalog::BlockOwners owners;
  std::vector<std::uint32_t> members;
  for (std::uint32_t i = 0; i < inventory_.inodes.size(); ++i) {
    const catalog::Inode& inode = inventory_.inodes[i];
    if (inode.stat.allocated_bytes == 0 || inode.names.empty() || pool_of(i) != pool) continue;
    auto file = fs_.open_read(inventory_.entry(inode.names.front()).path);
    if (!file) continue;
    auto extents = (*file)->extents();
    if (!extents || !all_settled(*extents) || !any_shared(*extents)) continue;
    owners.add(i, *extents);
    members.push_back(i);
  }
  for (const std::uint32_t i : members) {
    blocks_[i].asked = blocks_[i].known = blocks_[i].shared = true;
    blocks_[i].runs.clear();
  }
  for (catalog::OwnedRun& run : owners.runs()) {
    const auto index = static_cast<std::uint32_t>(runs_.size());
    const bool unknown = run.has_unknown_owner();
    for (const std::uint32_t o : run.owners) blocks_[o].runs.push_back(index);
    runs_.push_back({run.length, std::move(run.owners), unknown});
  }
}

std::uint64_t Freed::leave(const std::string& p) {
  const auto at = inode_at_.find(p);
  if (at == inode_at_.end() || left_name_[at->first]) return 0;
  left_name_[at->first] = true;
  const std::uint32_t i = at->second;
  if (left_[i] == 0 || --left_[i] > 0) return 0;
  const Blocks& blocks = blocks_of(i);
  if (!blocks.shared) return blocks.own_bytes;
  std::uint64_t bytes = 0;
  for (const std::uint32_t r : blocks.runs) {
    const Run& run = runs_[r];
    if (!run.unknown_owner && std::all_of(run.owners.begin(), run.owners.end(), [&](std::uint32_t o) { return gone(o); })) bytes += run.length;
  }
  return bytes;
}

std::vector<NameRef> Freed::holders(const std::string& p) {
  std::vector<NameRef> out;
  const auto at = inode_at_.find(p);
  if (at == inode_at_.end()) return out;
  std::vector<std::uint32_t> inodes{at->second};
  for (const std::uint32_t r : blocks_of(at->second).runs) inodes.insert(inodes.end(), runs_[r].owners.begin(), runs_[r].owners.end());
  std::sort(inodes.begin(), inodes.end());
  inodes.erase(std::unique(inodes.begin(), inodes.end()), inodes.end());
  for (const std::uint32_t i : inodes) {
    for (const NameRef name : inventory_.inodes[i].names) {
      const std::string& other = inventory_.entry(name).path;
      const auto left = left_name_.find(other);
      if (other != p && (left == left_name_.end() || !left->second)) out.push_back(name);
    }
  }
  return out;
}

}  // namespace mlxcache::keep
