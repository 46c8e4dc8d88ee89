#pragma once
// One change on its way from a value to a name on disk, and the steps of that way. Private to this room.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mlxcache/change/change.h"
#include "mlxcache/change/names.h"
#include "mlxcache/change/session.h"
#include "mlxcache/journal/log_file.h"

namespace mlxcache::change {

/// In an Intent of this room: `source` is where a placed name's bytes come from, or where a removed or replaced inode lies afterwards (the
/// trash); `source_kind` is the How; `before` is what a removed or replaced name was, or the kind, mode and time that a placed one gets.
struct Work {
  Change change;
  journal::Intent intent;
  std::optional<journal::Staged> staged;
  std::optional<mlxbase::Error> failed;
  bool left = false;                // a folder that is not empty: it stays, and that is no failure
  mlxbase::os::FileStat after;      // of a new inode, as it was prepared: what undo will compare with
};

inline Kind kind_of(const journal::Intent& i) { return static_cast<Kind>(i.method); }
inline How how_of(const journal::Intent& i) { return static_cast<How>(i.source_kind); }
inline catalog::Root root_of(const journal::Intent& i) {
  const bool known = i.target_kind < catalog::kStoreKinds;  // a later version's journal may name a store that this one has not
  return {known ? static_cast<catalog::StoreKind>(i.target_kind) : catalog::StoreKind::loose, i.target_root, "journal"};
}

/// Where temporary names and the trash of one transaction lie.
class Places {
 public:
  Places(mlxbase::os::FileSystem& fs, std::string transaction) : fs_(fs), transaction_(std::move(transaction)) {}
  /// A temporary name on the volume of `target`, as the store wishes it; in the root if `inside`. Its folder may have to be made.
  mlxbase::Result<std::string> staging(const catalog::Root& root, const std::string& target, bool inside);
  /// A name in the trash: beside the root, else (another volume, or `inside`) in it, else beside the target.
  mlxbase::Result<std::string> trash(const catalog::Root& root, const std::string& target, std::uint32_t index, bool inside);
  /// Makes the two folders of a trash name.
  mlxbase::Status make_trash_folders(const std::string& trash_name, Folders& to_sync);

 private:
  mlxbase::os::FileSystem& fs_;
  std::string transaction_;
};

/// Removes the folders of temporary names and of trash names that are ours and empty by now.
void remove_own_folders(mlxbase::os::FileSystem& fs, const journal::Intent& intent, const std::string& staging, Folders& to_sync);

/// Looks at everything a plan names and makes the intents. Changes nothing. A change that is done already gives none.
class Preparation {
 public:
  Preparation(const Machinery& machinery, Places& places) : machinery_(machinery), fs_(machinery.context.fs), places_(places) {}
  /// Adds what `change` needs (missing folders first). Errors: changed, permission, invalid, io.
  mlxbase::Status add(const Change& change);
  std::vector<Work> take() { return std::move(works_); }

 private:
  mlxbase::Status add_folders(const Change& change, const std::string& dir);
  mlxbase::Status add_folder(const Change& change, const std::string& dir);
  mlxbase::Status place(const Change& change, const Seen& now);
  mlxbase::Status replace(const Change& change, const Seen& now);
  mlxbase::Status remove(const Change& change, const Seen& now);
  mlxbase::Result<bool> holds_already(const Change& change, const mlxbase::os::FileStat& now);
  mlxbase::Status check_source(const Change& change, journal::Intent& intent);
  mlxbase::Status name_staging(Work& work);
  Work begin(const Change& change) const;

  const Machinery& machinery_;
  mlxbase::os::FileSystem& fs_;
  Places& places_;
  std::vector<Work> works_;
  std::set<std::string> folders_;  // that this transaction makes
};

/// Makes the new inode of `place` and `replace` at its temporary name, whole and on the device; the second name of what `remove` and `replace` take
/// away in the trash. `journal` is told first if a temporary name has to lie elsewhere.
mlxbase::Status stage(const Machinery& machinery, Places& places, journal::Writer& journal, Work& work, Folders& to_sync);

/// The name appears, changes or goes. Errors: changed, busy, …; then it is (again) as its owner left it, or roll_back() has to look.
mlxbase::Status carry(mlxbase::os::FileSystem& fs, Work& work);
/// When the names are on the device: what is left at temporary names goes.
mlxbase::Status finish(mlxbase::os::FileSystem& fs, Work& work, Folders& to_sync);

/// What became of a change that was taken back.
struct Back {
  bool stays = false;      // it stands: its owner has worked with it since, or its bytes are nowhere else
  std::string reason;
};
/// Takes one change back from wherever it had got to, told by the disk; may be repeated. Folders' times are set last: see restore_times().
/// Errors: changed (what lies there cannot be ours), io.
mlxbase::Result<Back> roll_back(mlxbase::os::FileSystem& fs, const journal::Intent& intent, const std::optional<journal::Staged>& staged,
                                Folders& to_sync);
/// After all of a transaction is back: folders that were made again get their times of before.
void restore_times(mlxbase::os::FileSystem& fs, const journal::Intent& intent);

/// Whether the placed name is still what was placed.
bool is_as_placed(const journal::Intent& intent, const mlxbase::os::FileId& id, const mlxbase::os::FileStat& now);
/// Whether the bytes of a placed name are elsewhere too, so that taking it away loses nothing.
mlxbase::Result<bool> source_is_there(mlxbase::os::FileSystem& fs, const journal::Intent& intent);

}  // namespace mlxcache::change
