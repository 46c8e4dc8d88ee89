#pragma once
// The truthful ledger: what each tool, model and volume holds, and what would really be freed if it went away. Pure: made from an inventory.
#include <string>
#include <vector>

#include "mlxcache/catalog/inventory.h"

namespace mlxcache::ledger {

struct Line {
  std::string name;                   // tool's root, model id or mount point
  std::string store;                  // adapter name; empty for volumes
  std::uint64_t apparent_bytes = 0;   // what adding up file sizes gives
  std::uint64_t allocated_bytes = 0;  // blocks its inodes refer to, each inode once
  std::uint64_t freed_if_deleted = 0; // blocks nobody else refers to: all names inside, no clone or link outside
  std::uint64_t shared_with_others = 0;  // allocated - freed_if_deleted
};

struct Ledger {
  std::vector<Line> tools;
  std::vector<Line> models;
  std::vector<Line> volumes;
  std::uint64_t allocated_bytes = 0;  // of the whole machine's stores, each block once
  bool exact = true;                  // false where a volume cannot tell which extents are shared (said in `notes`)
  std::vector<std::string> notes;
};

Ledger make_ledger(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory);

}  // namespace mlxcache::ledger
