#pragma once
// Prepared swaps of one batch, carried out together: one sync of the journal and of each folder for all of them.
#include <set>
#include <string>
#include <vector>

#include "mlxcache/dedup/session.h"
#include "mlxcache/journal/log_file.h"

namespace mlxcache::dedup {

/// A name whose new inode lies ready at its temporary name, whole and on disk.
struct Prepared {
  std::size_t key = 0;            // the caller's
  journal::Staged staged;
  Swap swap;
  Held target;                    // empty if the name is a symlink
  Held source;                    // what must not change either until the swap is over; may be empty
  mlxbase::os::FileStat source_state;
  std::string source_path;        // set if the name of the source matters, not only its inode: the target becomes a link to it
  SwapResult result{SwapResult::Kind::refused, {}};
};

/// Writes what is staged into the journal, swaps, forces the names to the device, looks once more, and removes the old inodes.
/// Each `result` tells how it ended; after `refused` nothing of it is left on the disk.
/// Errors: what the journal said, after everything was put back.
mlxbase::Status carry_out(mlxbase::os::FileSystem& fs, journal::Writer& journal, std::vector<Prepared>& batch);

/// Removes a prepared inode's temporary name. `stuck` if that fails, for recover() to do.
SwapResult discard(mlxbase::os::FileSystem& fs, const Swap& swap, std::string reason);

}  // namespace mlxcache::dedup
