#pragma once
// The one way in which a name gets another inode: prepared beside it, swapped in one step, looked at again, and only then the
// old inode goes. And what to do with such a swap after a crash. Reasons: docs/design/safety.md.
#include <optional>
#include <string>

#include "mlxbase/os/file_system.h"

namespace mlxcache::change {

struct Swap {
  std::string target;
  std::string staging;        // names the new inode before, the old one after
  std::string keep;           // names the old inode meanwhile, on volumes that cannot swap two names
  mlxbase::os::FileKind old_kind = mlxbase::os::FileKind::regular;
  mlxbase::os::FileId old_id;
  std::uint64_t old_size = 0;
  std::int64_t old_mtime_ns = 0;
  mlxbase::os::FileId new_id;
  bool kept = false;          // set by swap_in: the old inode lies at `keep`, not at `staging`
  const std::string& old_at() const { return kept ? keep : staging; }
};

/// How a step on a swap ended.
struct SwapResult {
  enum class Kind : std::uint8_t {
    done,
    refused,  // the target's owner has changed it: it is (again) as the owner left it, and nothing of ours is left
    stuck,    // neither could be reached: recover() has to look
  };
  Kind kind{};
  std::string reason;
};

/// Gives the target its new inode if it still is the old one. After `done` the old inode lies at old_at().
SwapResult swap_in(mlxbase::os::FileSystem& fs, Swap& swap);
/// After swap_in: gives the target back whatever it had, or what its owner has put there since, and removes the new inode's name.
/// `reason` becomes that of the result, which is `refused` or `stuck`.
SwapResult put_back(mlxbase::os::FileSystem& fs, const Swap& swap, std::string reason);
/// After swap_in, when the names are on disk: removes the old inode's name, if it is still as it was; else puts it back.
SwapResult finish(mlxbase::os::FileSystem& fs, const Swap& swap);

/// Where a swap that was cut short ended up.
enum class Fate : std::uint8_t {
  old_stays,  // the target has the old inode or whatever its owner put there
  swapped,    // the target has the new one, and the old one is gone
};
/// Settles a swap from what the disk shows, and removes its temporary names. `staged` tells whether the new inode's id had been
/// written down (otherwise the names were not swapped yet). Prefers the old inode wherever it still exists. May be repeated.
/// Errors: changed (an inode lies there that is neither, and nothing is touched), io.
mlxbase::Result<Fate> settle(mlxbase::os::FileSystem& fs, Swap swap, bool staged);

}  // namespace mlxcache::change
