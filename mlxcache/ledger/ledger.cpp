#include "mlxcache/ledger/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "mlxcache/catalog/block_owners.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::ledger {
namespace {

using catalog::BlockOwners;
using catalog::Inode;
using catalog::Inventory;
using catalog::OwnedRun;

/// A model: listing and index within it.
using ModelRef = std::pair<std::uint32_t, std::uint32_t>;

/// Who would have to go so that an inode goes.
struct Holders {
  std::set<std::uint32_t> tools;    // listings with a name of it
  std::set<ModelRef> models;        // models with a name of it
  bool all_names_known = false;     // it has no name outside the stores
  bool names_outside_models = false;  // an orphan's or metadata's name keeps it whatever models go
};

struct Books {
  std::vector<Line> tools;
  std::map<ModelRef, Line> models;
  std::map<std::string, Line> volumes;
};

/// Credits `bytes` as freed to every line whose deletion alone removes all of `owners`.
void credit(Books& books, const std::string& volume, std::uint64_t bytes, const std::vector<const Holders*>& owners) {
  const auto same_single = [&](auto member) {
    const auto& first = owners.front()->*member;
    if (first.size() != 1) return false;
    return std::all_of(owners.begin(), owners.end(), [&](const Holders* h) { return h->*member == first; });
  };
  if (!std::all_of(owners.begin(), owners.end(), [](const Holders* h) { return h->all_names_known; })) return;
  books.volumes[volume].freed_if_deleted += bytes;
  if (same_single(&Holders::tools)) books.tools[*owners.front()->tools.begin()].freed_if_deleted += bytes;
  const bool only_models = std::none_of(owners.begin(), owners.end(), [](const Holders* h) { return h->names_outside_models; });
  if (only_models && same_single(&Holders::models)) books.models[*owners.front()->models.begin()].freed_if_deleted += bytes;
}

std::vector<std::vector<std::vector<std::uint32_t>>> models_of_entries(const Inventory& inventory) {
  std::vector<std::vector<std::vector<std::uint32_t>>> out(inventory.listings.size());
  for (std::size_t s = 0; s < inventory.listings.size(); ++s) {
    const auto& listing = inventory.listings[s];
    out[s].resize(listing.entries.size());
    for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
      for (const std::uint32_t e : listing.models[m].entries) {
        if (e < out[s].size()) out[s][e].push_back(m);
      }
    }
  }
  return out;
}

}  // namespace

Ledger make_ledger(mlxbase::os::FileSystem& fs, const Inventory& inventory) {
  Ledger ledger;
  Books books;
  const auto models_of = models_of_entries(inventory);
  for (const auto& listing : inventory.listings) {
    books.tools.push_back({.name = listing.root.path, .store = std::string(stores::adapter_of(listing.root.kind).name)});
  }
  for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
    for (std::uint32_t m = 0; m < inventory.listings[s].models.size(); ++m) {
      books.models[{s, m}] = {.name = inventory.listings[s].models[m].id, .store = books.tools[s].store};
    }
  }

  // Volumes are asked once: where they are mounted, and whether devices share one pool of blocks.
  std::map<std::uint64_t, mlxbase::os::VolumeFacts> volumes;
  std::vector<Holders> holders(inventory.inodes.size());
  std::map<std::string, BlockOwners> pools;
  std::set<std::string> silent;  // volumes that cannot tell extents
  std::set<std::pair<std::uint64_t, std::uint64_t>> clone_ids;  // (device, clone id) already counted

  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    const Inode& inode = inventory.inodes[i];
    const std::string& first_path = inventory.entry(inode.names.front()).path;
    auto [volume, fresh] = volumes.try_emplace(inode.stat.id.device);
    if (fresh) {
      if (auto facts = fs.volume(inventory.listings[inode.names.front().store].root.path, false)) volume->second = *facts;
      if (volume->second.mount_point.empty()) volume->second.mount_point = fmt::format("device {}", inode.stat.id.device);
    }
    const std::string& mount = volume->second.mount_point;
    Line& volume_line = books.volumes[mount];
    volume_line.name = mount;

    Holders& h = holders[i];
    h.all_names_known = inode.stat.links <= inode.names.size();
    for (const auto name : inode.names) {
      h.tools.insert(name.store);
      const auto& models = models_of[name.store][name.entry];
      if (models.empty()) h.names_outside_models = true;
      for (const std::uint32_t m : models) h.models.insert({name.store, m});
      books.tools[name.store].apparent_bytes += inode.stat.size;
      volume_line.apparent_bytes += inode.stat.size;
      for (const std::uint32_t m : models) books.models[{name.store, m}].apparent_bytes += inode.stat.size;
    }

    // Small files cannot share blocks worth counting, and ext4-like volumes answer without any shared extent.
    std::vector<mlxbase::os::Extent> extents;
    bool asked = false;
    std::uint64_t own_bytes = inode.stat.allocated_bytes;
    bool first_of_clones = true;
    if (inode.stat.allocated_bytes > 0) {
      if (auto file = fs.open_read(first_path)) {
        if (auto found = (*file)->extents()) {
          extents = std::move(*found);
          asked = true;
        } else if (auto sharing = (*file)->sharing(); sharing && sharing->clone_id != 0) {
          // macOS names no blocks, but tells how much of a file is its own and which files are clones of each other.
          own_bytes = sharing->private_bytes;
          first_of_clones = clone_ids.emplace(inode.stat.id.device, sharing->clone_id).second;
        } else {
          silent.insert(mount);
        }
      }
    }
    const bool usable = asked && !extents.empty() && std::all_of(extents.begin(), extents.end(), [](const auto& e) { return e.settled; });
    if (usable) {
      const std::string pool = volume->second.pool.empty() ? fmt::format("{}", inode.stat.id.device) : volume->second.pool;
      pools[pool].add(i, extents);
    } else {
      // Whole inode or nothing, by its blocks.
      for (const std::uint32_t s : h.tools) books.tools[s].allocated_bytes += inode.stat.allocated_bytes;
      for (const auto& m : h.models) books.models[m].allocated_bytes += inode.stat.allocated_bytes;
      volume_line.allocated_bytes += inode.stat.allocated_bytes;
      ledger.allocated_bytes += first_of_clones ? inode.stat.allocated_bytes : own_bytes;
      credit(books, mount, own_bytes, {&h});
    }
  }

  for (const auto& [pool, owners_of] : pools) {
    for (const OwnedRun& run : owners_of.runs()) {
      ledger.allocated_bytes += run.length;
      std::set<std::uint32_t> tools;
      std::set<ModelRef> models;
      std::vector<const Holders*> owners;
      for (const std::uint32_t i : run.owners) {
        owners.push_back(&holders[i]);
        tools.insert(holders[i].tools.begin(), holders[i].tools.end());
        models.insert(holders[i].models.begin(), holders[i].models.end());
      }
      for (const std::uint32_t s : tools) books.tools[s].allocated_bytes += run.length;
      for (const auto& m : models) books.models[m].allocated_bytes += run.length;
      const std::string& mount = volumes[inventory.inodes[run.owners.front()].stat.id.device].mount_point;
      books.volumes[mount].allocated_bytes += run.length;
      if (!run.has_unknown_owner()) credit(books, mount, run.length, owners);
    }
  }

  const auto finish = [](Line& line) {
    line.shared_with_others = line.allocated_bytes > line.freed_if_deleted ? line.allocated_bytes - line.freed_if_deleted : 0;
  };
  for (Line& line : books.tools) finish(line);
  ledger.tools = std::move(books.tools);
  for (auto& [ref, line] : books.models) {
    finish(line);
    ledger.models.push_back(std::move(line));
  }
  for (auto& [mount, line] : books.volumes) {
    finish(line);
    ledger.volumes.push_back(std::move(line));
  }
  const auto larger_first = [](const Line& a, const Line& b) {
    return a.allocated_bytes != b.allocated_bytes ? a.allocated_bytes > b.allocated_bytes : a.name < b.name;
  };
  std::stable_sort(ledger.models.begin(), ledger.models.end(), larger_first);
  std::stable_sort(ledger.volumes.begin(), ledger.volumes.end(), larger_first);
  for (const std::string& mount : silent) {
    ledger.exact = false;
    ledger.notes.push_back(fmt::format("{}: this volume does not tell which blocks files share; its figures count hard links only", mount));
  }
  return ledger;
}

}  // namespace mlxcache::ledger
