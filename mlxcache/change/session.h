#pragma once
// What apply, undo and recover share: one of them at a time, names that nobody has used, roots that nothing leaves.
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "mlxbase/core/clock.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::change {

inline constexpr std::string_view kProgramVersion = "mlxcache 0.1.0";

/// Makes `home` if it is missing and takes `<home>/lock`. Errors: busy (another mlxcache works), permission, io.
mlxbase::Result<std::unique_ptr<mlxbase::os::Lock>> lock_home(mlxbase::os::FileSystem& fs, const std::string& home);

/// 16 hex digits of chance.
std::string random_token();
/// "20261123T042027-3fa9": UTC, then chance.
std::string new_transaction_id(std::int64_t wall_ns);
/// Whether foreign text has the form of an id (it becomes part of a path).
bool is_transaction_id(std::string_view id);

/// Whether `now` is the inode that was recorded. Device numbers are not compared: they change from one boot to the next
/// (Btrfs subvolumes, loop devices, external disks), and every name asked about lies on one volume.
inline bool same_inode(const mlxbase::os::FileId& recorded, const mlxbase::os::FileId& now) { return recorded.inode == now.inode; }

/// Whether the folder of `path`, with every symlink resolved, lies in that of `root`: nothing is changed outside the roots
/// that were asked for. Errors: not_found, changed (it leads out).
mlxbase::Status check_within(mlxbase::os::FileSystem& fs, const std::string& root, const std::string& path);

/// Temporary names for one replacement.
struct TemporaryNames {
  std::string staging;
  std::string keep;
};
/// As the store of `root` wishes them, unless that lies on another volume than `target`, or `inside` is set (the wished folder
/// cannot be written): then in a hidden folder of the root.
mlxbase::Result<TemporaryNames> temporary_names(mlxbase::os::FileSystem& fs, const catalog::Root& root, const std::string& target,
                                                std::uint64_t device, bool inside);
/// Makes the folder of a temporary name if need be, and sees that no symlink leads it astray.
mlxbase::Status make_staging_folder(mlxbase::os::FileSystem& fs, const catalog::Root& root, const std::string& staging);
/// Removes that folder if it was made for us and is empty now.
void remove_staging_folder(mlxbase::os::FileSystem& fs, const std::string& target, const std::string& staging);

/// The locks of stores, each held once, until the set is cleared.
class LockSet {
 public:
  explicit LockSet(mlxbase::os::FileSystem& fs) : fs_(fs) {}
  /// Takes what `root`'s tool wants held while `path` is replaced. Errors: busy (the tool works on it), permission, io.
  mlxbase::Status take(const catalog::Root& root, const std::string& path, const mlxbase::os::FileStat& stat);
  void clear() { held_.clear(); }
  std::size_t size() const { return held_.size(); }

 private:
  mlxbase::os::FileSystem& fs_;
  std::map<std::string, std::unique_ptr<mlxbase::os::Lock>> held_;
};

/// An open file with writers held off. The guard goes before the file.
struct Held {
  std::unique_ptr<mlxbase::os::File> file;
  std::unique_ptr<mlxbase::os::WriteGuard> guard;
};
mlxbase::Result<Held> hold(mlxbase::os::FileSystem& fs, const std::string& path);

/// Unlinks; that it is gone already is no error.
mlxbase::Status remove_if_there(mlxbase::os::FileSystem& fs, const std::string& path);
/// The folder that `path` lies in.
std::string folder_of(const std::string& path);

}  // namespace mlxcache::change
