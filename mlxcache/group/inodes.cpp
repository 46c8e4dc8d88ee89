#include "mlxcache/group/inodes.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace mlxcache::group {
namespace {

using catalog::Inode;
using catalog::Inventory;
using catalog::NameRef;
using catalog::Role;
using mlxbase::os::FileId;
using mlxbase::os::FileKind;

/// FileId to index, for as many as are said at the start: one array, no allocation an entry (a scan of a million files
/// spends a second in std::unordered_map).
class IdTable {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  explicit IdTable(std::size_t most) : slots_(std::bit_ceil(most * 2 + 2), kNone) {}
  /// The slot of `id`: holds its index, or kNone to be filled.
  std::uint32_t& slot(FileId id, const std::vector<Inode>& inodes) {
    std::uint64_t h = (id.inode ^ id.device * 0x9E3779B97F4A7C15ULL) * 0xD6E8FEB86659FD93ULL;
    h ^= h >> 32U;
    for (std::size_t at = h & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == kNone || inodes[slots_[at]].stat.id == id) return slots_[at];
    }
  }

 private:
  std::vector<std::uint32_t> slots_;
};

bool has_bytes_to_share(Role role) { return role == Role::payload || role == Role::orphan; }

}  // namespace

void build_inodes(Inventory& inventory) {
  std::size_t names = 0;
  for (const auto& listing : inventory.listings) {
    names += static_cast<std::size_t>(std::count_if(listing.entries.begin(), listing.entries.end(), [](const auto& e) { return e.stat.kind == FileKind::regular; }));
  }
  inventory.inodes.clear();
  inventory.inodes.reserve(names);
  IdTable table(names);
  // Two passes: shareable inodes come first; the second pass adds further names to them and the rest behind.
  for (const bool first : {true, false}) {
    for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
      const auto& entries = inventory.listings[s].entries;
      for (std::uint32_t e = 0; e < entries.size(); ++e) {
        const auto& entry = entries[e];
        if (entry.stat.kind != FileKind::regular || has_bytes_to_share(entry.role) != first) continue;
        std::uint32_t& slot = table.slot(entry.stat.id, inventory.inodes);
        if (slot == IdTable::kNone) {
          slot = static_cast<std::uint32_t>(inventory.inodes.size());
          Inode& made = inventory.inodes.emplace_back();
          made.stat = entry.stat;
          made.private_bytes = entry.stat.allocated_bytes;
        }
        Inode& inode = inventory.inodes[slot];
        inode.names.push_back(NameRef{s, e});
        if (!inode.claim && entry.claim && mlxbase::digest_size(entry.claim->algorithm()) != 0) inode.claim = entry.claim;
      }
    }
  }
  // To shrink is to copy, for a moment to hold both: only where many names are of few inodes.
  if (inventory.inodes.capacity() - inventory.inodes.size() > inventory.inodes.size() / 4) inventory.inodes.shrink_to_fit();
}

void count_totals(Inventory& inventory) {
  inventory.totals.assign(inventory.listings.size(), {});
  inventory.apparent_bytes = 0;
  inventory.allocated_bytes = 0;
  inventory.reclaimable_bytes = 0;
  for (std::size_t s = 0; s < inventory.listings.size(); ++s) {
    const auto& listing = inventory.listings[s];
    auto& t = inventory.totals[s];
    t.models = listing.models.size();
    for (const auto& entry : listing.entries) {
      if (entry.role == Role::broken) ++t.broken_links;
      if (entry.stat.kind != FileKind::regular) continue;
      ++t.files;
      t.apparent_bytes += entry.stat.size;
      if (entry.role == Role::orphan) {
        ++t.orphans;
        t.orphan_bytes += entry.stat.size;
      } else if (entry.role == Role::partial) {
        ++t.partials;
        t.partial_bytes += entry.stat.size;
      }
    }
    inventory.apparent_bytes += t.apparent_bytes;
  }
  std::vector<std::uint32_t> stores;
  for (const auto& inode : inventory.inodes) {
    const std::uint64_t allocated = inode.stat.allocated_bytes;
    inventory.allocated_bytes += allocated;
    const std::uint32_t first_store = inode.names.front().store;
    const bool in_one_store = std::all_of(inode.names.begin(), inode.names.end(), [&](NameRef n) { return n.store == first_store; });
    const bool linked_elsewhere = !in_one_store || inode.stat.links > inode.names.size();
    const std::uint64_t shared = linked_elsewhere ? allocated : std::min(allocated, inode.shared_bytes);
    // Each store that names the inode holds it once.
    stores.clear();
    for (const NameRef n : inode.names) stores.push_back(n.store);
    std::sort(stores.begin(), stores.end());
    stores.erase(std::unique(stores.begin(), stores.end()), stores.end());
    for (const std::uint32_t store : stores) {
      inventory.totals[store].allocated_bytes += allocated;
      inventory.totals[store].shared_bytes += shared;
    }
  }
  for (const auto& group : inventory.groups) inventory.reclaimable_bytes += group.reclaimable_bytes;
}

}  // namespace mlxcache::group
