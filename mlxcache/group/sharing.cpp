#include "mlxcache/group/sharing.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>

#include "mlxbase/core/parallel.h"
#include "mlxbase/core/path.h"
#include "mlxcache/catalog/block_owners.h"
#include "mlxcache/group/measure.h"

namespace mlxcache::group {
namespace {

using catalog::Inode;
using catalog::Inventory;
namespace os = mlxbase::os;

// Volumes whose files never share blocks: not worth a call a file. Names not in this list are asked.
constexpr std::array<std::string_view, 8> kNeverShare = {"ext4", "tmpfs", "vfat", "exfat", "f2fs", "hfs", "msdos", "ntfs"};

struct Volume {
  std::string pool;      // files of one pool can share blocks with one another
  bool shares = false;   // worth asking
  bool in_place = false; // extents can be shared under an inode that keeps its other names (not on APFS)
};

struct Answer {
  bool known = false;
  os::Sharing sharing;
  std::vector<os::Extent> extents;  // empty where only sums are known
};

std::map<std::uint64_t, Volume> volumes_of(os::FileSystem& fs, const Inventory& inventory) {
  std::map<std::uint64_t, Volume> out;
  for (const auto& group : inventory.groups) {
    for (const std::uint32_t i : group.inodes) {
      const Inode& inode = inventory.inodes[i];
      const auto [at, fresh] = out.try_emplace(inode.stat.id.device);
      if (!fresh) continue;
      at->second.pool = std::to_string(inode.stat.id.device);
      const auto facts = fs.volume(std::string(mlxbase::path::parent(inventory.entry(inode.names.front()).path)), false);
      if (!facts) continue;
      if (!facts->pool.empty()) at->second.pool = facts->pool;
      at->second.shares = std::find(kNeverShare.begin(), kNeverShare.end(), facts->type) == kNeverShare.end();
      at->second.in_place = at->second.shares && facts->type != "apfs";
    }
  }
  return out;
}

Answer ask(os::FileSystem& fs, const Inventory& inventory, const Inode& inode) {
  Answer answer;
  auto file = open_unchanged(fs, inventory, inode);
  if (!file) return answer;
  if (auto extents = (*file)->extents()) {
    answer.known = true;
    answer.extents = std::move(*extents);
    std::erase_if(answer.extents, [](const auto& e) { return !e.written; });  // sharing in place leaves reserved blocks with their file
    for (const auto& e : answer.extents) (e.shared ? answer.sharing.shared_bytes : answer.sharing.private_bytes) += e.length;
  } else if (auto sharing = (*file)->sharing()) {
    answer.known = true;
    answer.sharing = *sharing;
  }
  return answer;
}

/// What remains to be freed when all members of one pool share the blocks of the best of them.
std::uint64_t freed_by_blocks(const std::vector<std::uint32_t>& members, const std::vector<const Answer*>& answers) {
  catalog::BlockOwners owners;
  for (std::size_t m = 0; m < members.size(); ++m) owners.add(static_cast<std::uint32_t>(m), answers[m]->extents);
  std::uint64_t all = 0;
  std::vector<std::uint64_t> kept(members.size(), 0);  // blocks that stay if this member is the source
  for (const auto& run : owners.runs()) {
    if (run.has_unknown_owner()) continue;  // a snapshot or a stranger holds it: nothing is freed
    all += run.length;
    for (const std::uint32_t m : run.owners) kept[m] += run.length;
  }
  return all - *std::min_element(kept.begin(), kept.end());
}

/// Where blocks are not known: each but the cheapest to keep gives back what is its own.
std::uint64_t freed_by_sums(const Inventory& inventory, const std::vector<std::uint32_t>& members, bool in_place) {
  std::uint64_t all = 0;
  std::uint64_t least = UINT64_MAX;
  for (const std::uint32_t i : members) {
    const Inode& inode = inventory.inodes[i];
    // A name that no store shows keeps the whole inode alive when the others are replaced.
    const bool held = !in_place && inode.stat.links > inode.names.size();
    const std::uint64_t own = held ? 0 : inode.private_bytes;
    all += own;
    least = std::min(least, own);
  }
  return all - least;
}

}  // namespace

void measure_sharing(os::FileSystem& fs, Inventory& inventory, const Options& options) {
  const auto volumes = volumes_of(fs, inventory);
  std::vector<Answer> answers;  // empty if no volume was worth asking
  if (options.ask_sharing) {
    std::vector<std::uint32_t> asked;
    for (const auto& group : inventory.groups) {
      for (const std::uint32_t i : group.inodes) {
        if (volumes.at(inventory.inodes[i].stat.id.device).shares) asked.push_back(i);
      }
    }
    if (!asked.empty()) answers.resize(inventory.inodes.size());
    const unsigned cores = options.workers != 0 ? options.workers : mlxbase::worker_count();
    mlxbase::parallel_for(asked.size(), cores, [&](std::size_t a) {
      if (options.cancel != nullptr && options.cancel->requested()) return;
      answers[asked[a]] = ask(fs, inventory, inventory.inodes[asked[a]]);
    });
    for (const std::uint32_t i : asked) {
      if (!answers[i].known) continue;
      Inode& inode = inventory.inodes[i];
      inode.private_bytes = answers[i].sharing.private_bytes;
      inode.shared_bytes = answers[i].sharing.shared_bytes;
      inode.sharing_known = true;
    }
  }
  for (auto& group : inventory.groups) {
    std::map<std::string_view, std::vector<std::uint32_t>> pools;
    for (const std::uint32_t i : group.inodes) pools[volumes.at(inventory.inodes[i].stat.id.device).pool].push_back(i);
    group.reclaimable_bytes = 0;
    for (const auto& [pool, members] : pools) {
      if (members.size() < 2) continue;
      std::vector<const Answer*> theirs;
      if (!answers.empty()) {
        for (const std::uint32_t i : members) theirs.push_back(&answers[i]);
      }
      const bool blocks_known = !theirs.empty() && std::all_of(theirs.begin(), theirs.end(), [](const Answer* a) { return !a->extents.empty(); });
      const bool in_place = volumes.at(inventory.inodes[members.front()].stat.id.device).in_place;
      group.reclaimable_bytes += blocks_known ? freed_by_blocks(members, theirs) : freed_by_sums(inventory, members, in_place);
    }
  }
}

}  // namespace mlxcache::group
