#include "mlxcache/change/names.h"

#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/session.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

Result<Seen> look(os::FileSystem& fs, const std::string& p) {
  if (p.empty()) return Seen();
  auto s = fs.stat(p, os::Follow::no);
  if (s) return Seen(*s);
  if (s.error().code == Code::not_found) return Seen();
  return fail(s.error());
}

Status bring(os::FileSystem& fs, const std::string& from, const std::string& to) {
  auto linked = fs.hard_link(from, to);
  if (linked) return linked;
  const Code code = linked.error().code;
  // Volumes without second names say so in several ways; a full link count and files of other users are refused too.
  if (code != Code::unsupported && code != Code::permission && linked.error().os_errno != EMLINK) return linked;
  return fs.rename_new(from, to);
}

Result<Taken> take_away(os::FileSystem& fs, const std::string& p, const std::string& temporary, const std::function<bool(const os::FileStat&)>& ours) {
  const auto now = TRY(look(fs, p));
  if (!now) return Taken::nothing;
  if (!ours(*now)) return Taken::others;
  if (auto moved = fs.rename_new(p, temporary); !moved) {
    // Gone meanwhile, or the temporary name's folder is: only the first is an answer.
    if (moved.error().code == Code::not_found && !TRY(look(fs, p))) return Taken::nothing;
    return fail(moved.error());
  }
  const auto got = fs.stat(temporary);
  if (got && ours(*got)) return Taken::ours;
  if (!got && got.error().code != Code::not_found) {
    (void)fs.rename_new(temporary, p);
    return fail(got.error());
  }
  if (!got) return Taken::nothing;
  if (auto back = fs.rename_new(temporary, p); !back) {
    if (back.error().os_errno != EEXIST) return fail(back.error());
    return fail(Code::changed, fmt::format("its owner replaced it twice meanwhile; the older of both is at {}", printable(temporary)));
  }
  return Taken::others;
}

Result<std::string> nearest_folder(os::FileSystem& fs, std::string p) {
  while (true) {
    if (TRY(look(fs, p))) return p;
    std::string above = folder_of(p);
    if (above == p) return fail(Code::not_found, fmt::format("nothing above {} is there", printable(p)));
    p = std::move(above);
  }
}

Status check_parents(os::FileSystem& fs, const std::string& root, const std::string& p) {
  const std::string dir = folder_of(p);
  if (path::normal(p) != p || !path::is_absolute(p)) return fail(Code::invalid, fmt::format("{} is not a plain absolute path", printable(p)));
  const std::string there = TRY(nearest_folder(fs, dir));
  if (!path::is_within(root, dir)) {
    // The root itself, and folders above it, only if they are to be made.
    if (!path::is_within(p, root)) return fail(Code::invalid, fmt::format("{} does not lie in {}", printable(p), printable(root)));
    return {};
  }
  if (!path::is_within(root, there)) return {};  // the root is still to be made
  const std::string wanted = path::join(TRY(fs.real_path(root)), path::relative_to(root, there));
  if (TRY(fs.real_path(there)) != wanted) return fail(Code::changed, fmt::format("a symlink lies between {} and {}", printable(root), printable(p)));
  if (TRY(fs.stat(there, os::Follow::yes)).kind != os::FileKind::directory) return fail(Code::changed, fmt::format("{} is no folder", printable(there)));
  return {};
}

Result<bool> remove_folder_if_empty(os::FileSystem& fs, const std::string& dir) {
  for (const auto* ours : {".mlxcache-staging", ".mlxcache-trash"}) {
    auto gone = fs.remove_dir(path::join(dir, ours));
    // Where the call fails, it is not others that keep the folder.
    if (!gone && gone.error().code != Code::not_found && gone.error().os_errno != ENOTEMPTY && gone.error().os_errno != EEXIST && gone.error().os_errno != ENOTDIR) {
      return fail(gone.error());
    }
  }
  auto removed = fs.remove_dir(dir);
  if (removed || removed.error().code == Code::not_found) return true;
  if (removed.error().os_errno == ENOTEMPTY || removed.error().os_errno == EEXIST) return false;  // two names of one errno
  return fail(removed.error());
}

void Folders::add_parent_of(const std::string& p) {
  if (p.empty()) return;
  dirs_.insert(folder_of(p));
  known_.erase(p);
}

Status Folders::sync_way_to(os::FileSystem& fs, const std::string& root, const std::string& p) {
  const bool inside = path::is_within(root, p);
  const std::string last = inside ? folder_of(root) : "/";
  std::string dir = folder_of(p);
  const auto device = TRY(fs.stat(dir, os::Follow::yes)).id.device;
  TRY(fs.sync_dir(dir));
  while (dir != last && dir != folder_of(dir) && !known_.contains(dir)) {
    const std::string above = folder_of(dir);
    if (TRY(fs.stat(above, os::Follow::yes)).id.device != device) return {};  // a volume's own root is nobody's to make
    auto synced = fs.sync_dir(above);
    // Beyond the root, a folder that we may not read is none in which we have made anything.
    const bool beyond = !inside || !path::is_within(root, above);
    if (!synced && (!beyond || synced.error().code != Code::permission)) return synced;
    known_.insert(dir);
    dir = above;
  }
  return {};
}

Status Folders::sync(os::FileSystem& fs) {
  Status first;
  for (const auto& dir : dirs_) {
    auto synced = fs.sync_dir(dir);
    if (!synced && synced.error().code != Code::not_found && first) first = synced;
  }
  dirs_.clear();
  return first;
}

}  // namespace mlxcache::change
