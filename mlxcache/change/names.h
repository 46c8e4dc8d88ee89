#pragma once
// Single names that come and go without anything of anybody else being overwritten or lost. Reasons: docs/design/safety.md.
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/store.h"

namespace mlxcache::change {

using Seen = std::optional<mlxbase::os::FileStat>;

/// A stat where "not there" is an answer; an empty path has nothing.
mlxbase::Result<Seen> look(mlxbase::os::FileSystem& fs, const std::string& path);

/// Gives the inode at `from` the free name `to`. `from` stays where the volume gives files second names, so that no power cut can lose both;
/// elsewhere it is renamed. Errors: invalid with EEXIST (`to` is taken), not_found, io.
mlxbase::Status bring(mlxbase::os::FileSystem& fs, const std::string& from, const std::string& to);

enum class Taken : std::uint8_t {
  ours,     // it lies at the temporary name now
  others,   // something else has the name, and keeps it
  nothing,  // nobody has it
};
/// Moves `path` to the free temporary name if it is what `ours` says, in one step; what turns out to be something else (its owner was quicker
/// than our look) gets its name back. Errors: io; changed (two files of the owner's are there now, the older at the temporary name).
mlxbase::Result<Taken> take_away(mlxbase::os::FileSystem& fs, const std::string& path, const std::string& temporary,
                                 const std::function<bool(const mlxbase::os::FileStat&)>& ours);

/// Whether no symlink lies between the root and the folder of `path`, as far as that folder is there already; above the root only folders that
/// are still to be made are asked for. Errors: changed (a symlink or a file is in the way), invalid (`path` is neither in the root nor above it).
mlxbase::Status check_parents(mlxbase::os::FileSystem& fs, const std::string& root, const std::string& path);

/// The nearest folder at or above `path` that is there.
mlxbase::Result<std::string> nearest_folder(mlxbase::os::FileSystem& fs, std::string path);

/// Removes a folder, and folders of ours in it, if nothing else is there. False if something is. Errors: io.
mlxbase::Result<bool> remove_folder_if_empty(mlxbase::os::FileSystem& fs, const std::string& dir);

/// Folders whose names have to reach the device, each once.
class Folders {
 public:
  void add_parent_of(const std::string& path);
  void add(const std::string& dir) { dirs_.insert(dir); }
  /// A folder that is gone again is no error.
  mlxbase::Status sync(mlxbase::os::FileSystem& fs);
  /// At once: the name `path`, and that of every folder above it down to the root's own. What is seen may be the work of a run that was killed, and
  /// in memory only, so this is asked before another name of the same inode goes, whoever made this one. A path outside the root counts up to
  /// where its volume begins. Errors: io, not_found (the folder is gone).
  mlxbase::Status sync_way_to(mlxbase::os::FileSystem& fs, const std::string& root, const std::string& path);

 private:
  std::set<std::string> dirs_;
  std::set<std::string> known_;  // folders whose own names sync_way_to() has seen onto the device
};

}  // namespace mlxcache::change
