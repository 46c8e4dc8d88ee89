#pragma once
// Which inodes refer to which disk blocks: the arithmetic behind every figure that says "freed".
#include <cstdint>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxcache::catalog {

/// A run of blocks and everybody known to refer to it.
struct OwnedRun {
  std::uint64_t length = 0;
  bool shared = false;                 // the volume says that more than one refers to it
  std::vector<std::uint32_t> owners;   // ascending, without doubles
  /// The volume counts another owner than the ones we know: a snapshot, or a file outside all stores.
  bool has_unknown_owner() const { return shared && owners.size() == 1; }
};

/// Cuts the extents of many files at each other's borders. Extents on different pools never meet: call once a pool.
class BlockOwners {
 public:
  void add(std::uint32_t owner, const std::vector<mlxbase::os::Extent>& extents);
  /// Settled runs with their owners, in order of place. Unsettled extents (inline, delayed) are left out.
  std::vector<OwnedRun> runs() const;

 private:
  struct Piece {
    std::uint64_t begin;
    std::uint64_t end;
    bool shared;
    std::uint32_t owner;
  };
  std::vector<Piece> pieces_;
};

}  // namespace mlxcache::catalog
