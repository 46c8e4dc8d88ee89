#pragma once
// What names that leave free, in the order in which they leave: hard links, clones and snapshots counted.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/inventory.h"

namespace mlxcache::keep {

class Freed {
 public:
  Freed(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory);

  /// The name goes: bytes that nothing refers to any more because of it. A name that no scan saw frees nothing.
  std::uint64_t leave(const std::string& path);
  /// Everything is there again.
  void start_over();
  /// Other names that refer to blocks of `path`'s inode and have not left.
  std::vector<catalog::NameRef> holders(const std::string& path);
  /// False once a volume could not tell who shares its blocks: then shared ones were counted as staying.
  bool exact() const { return exact_; }

 private:
  struct Run {
    std::uint64_t length = 0;
    std::vector<std::uint32_t> owners;
    bool unknown_owner = false;
  };
  struct Blocks {
    bool asked = false;
    bool known = false;              // the volume names its blocks
    bool shared = false;             // some of them have another owner
    std::uint64_t own_bytes = 0;     // freed with the inode if nothing is shared
    std::vector<std::uint32_t> runs; // if shared
  };
  Blocks& blocks_of(std::uint32_t inode);
  void cut_pool(const std::string& pool);
  std::string pool_of(std::uint32_t inode);
  bool gone(std::uint32_t inode) const { return left_[inode] == 0; }

  mlxbase::os::FileSystem& fs_;
  const catalog::Inventory& inventory_;
  std::unordered_map<std::string_view, std::uint32_t> inode_at_;
  std::vector<std::uint32_t> left_;      // names that still stand, with those that no scan saw
  std::unordered_map<std::string_view, bool> left_name_;
  std::vector<Blocks> blocks_;
  std::vector<Run> runs_;
  std::map<std::string, bool> cut_;      // pools whose runs are known
  std::map<std::uint64_t, std::string> pools_;
  bool exact_ = true;
};

}  // namespace mlxcache::keep
