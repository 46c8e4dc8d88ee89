#pragma once
// What is new on the disk, and whether it is finished: decided from an inventory alone.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxcache/catalog/inventory.h"

namespace mlxcache::watch {

enum class Why : std::uint8_t {
  quiet,     // changed a moment ago
  download,  // a download of its tool is not finished
  unnamed,   // no model refers to it yet
  parts,     // its model is not complete
  in_use,    // a program writes to it, or its tool holds a lock
  budget,    // more was to be read than --max-read allows
};
std::string_view to_string(Why why);

struct Waiting {
  std::string path;
  Why why{};
  std::int64_t until_ns = 0;  // wall time when to look again; 0: when something changes
  std::int64_t ctime_ns = 0;
};

struct Rules {
  std::int64_t since_ns = 0;  // changed before: not new
  std::int64_t now_ns = 0;
  std::int64_t quiet_ns = 0;
  std::uint64_t min_size = 4096;
  std::vector<catalog::StoreKind> stores;  // only new files of these; empty: all
};

struct News {
  std::vector<std::uint32_t> ready;  // inodes, oldest change first
  std::vector<Waiting> waiting;
};

/// Files whose inode changed since, by ctime: the kernel sets it at every write, link and rename, and no tool can set it back.
News look(const catalog::Inventory& inventory, const Rules& rules);

/// When to try again what was in use at `now_ns`: at growing distances, since what is in use for a day will be for another.
std::int64_t next_try(std::int64_t ctime_ns, std::int64_t now_ns);

/// Where the next look must begin so that nothing that waits is forgotten.
std::int64_t next_since(std::int64_t began_ns, const std::vector<Waiting>& waiting);

}  // namespace mlxcache::watch
