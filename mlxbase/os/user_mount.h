#pragma once
// A FileTree as a folder of this machine: FUSE on Linux, spoken with the kernel without a library. Root mounts by itself; others through the program
// fusermount3.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_tree.h"

namespace mlxbase::os {

struct MountSettings {
  std::string name = "mlxcache";  // what `mount` shows as the source; the type is "fuse." and this
  unsigned threads = 4;
  bool for_all_users = false;     // others may look in as well; without root only if /etc/fuse.conf has user_allow_other
};

class UserMount {
 public:
  /// Mounts at `dir`, an empty folder. A mount of ours there whose process is gone is taken away first.
  /// Errors: unsupported (no FUSE here, no fusermount3: says what to install), not_found, invalid (no folder, or not empty), busy (mounted already),
  /// permission, io.
  static Result<std::unique_ptr<UserMount>> begin(FileTree& tree, const std::string& dir, const MountSettings& settings);
  virtual ~UserMount() = default;

  /// Serves until somebody unmounts or `cancel` is requested (by a signal handler). Then the folder is taken away from the tree of names at once;
  /// `still_used` is called if files of it are open, and serving goes on until they are closed.
  virtual Status serve(const Cancel& cancel, const std::function<void()>& still_used) = 0;
};

/// Takes a mount of ours away from `dir`, also one whose process is gone. Errors: not_found (nothing of ours is mounted there), permission, io.
Status take_away_mount(const std::string& dir, const std::string& name);

}  // namespace mlxbase::os
