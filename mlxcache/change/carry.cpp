#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/swap.h"
#include "mlxcache/change/work.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;

namespace {

Status place(os::FileSystem& fs, Work& work) {
  const auto& i = work.intent;
  TRY(check_parents(fs, i.target_root, i.target));
  auto placed = how_of(i) == How::adopt ? bring(fs, i.source, i.target) : fs.rename_new(i.staging, i.target);
  if (!placed) {
    if (placed.error().os_errno != EEXIST) return placed;
    return fail(mlxbase::Error{Code::changed, fmt::format("{} has appeared meanwhile", printable(i.target)), EEXIST});
  }
  if (TRY(fs.stat(i.target)).id != work.staged->new_id) return fail(Code::changed, fmt::format("{} was replaced meanwhile", printable(i.target)));
  return {};
}

Swap swap_of(const Work& work) {
  const auto& i = work.intent;
  return {.target = i.target, .staging = i.staging, .keep = i.keep, .old_kind = i.before.kind, .old_id = i.before.id, .old_size = i.before.size,
          .old_mtime_ns = i.before.metadata.mtime_ns, .new_id = work.staged->new_id};
}

Status replace(os::FileSystem& fs, const Work& work) {
  TRY(check_parents(fs, work.intent.target_root, work.intent.target));
  Swap swap = swap_of(work);
  const auto result = swap_in(fs, swap);
  if (result.kind != SwapResult::Kind::done) return fail(Code::changed, fmt::format("{}: {}", printable(work.intent.target), result.reason));
  return {};
}

/// Whether the old inode is what the name still has. ctime is left out: the link in the trash moved it.
bool is_old(const journal::Intent& i, const os::FileStat& s) {
  return s.id == i.before.id && s.kind == i.before.kind && s.size == i.before.size && s.mtime_ns == i.before.metadata.mtime_ns;
}

Status remove(os::FileSystem& fs, Work& work) {
  const auto& i = work.intent;
  TRY(check_parents(fs, i.target_root, i.target));
  if (i.before.kind == os::FileKind::directory) return {};  // not before temporary names have left it
  const bool kept = TRY(look(fs, i.source)).has_value();
  const auto taken = TRY(take_away(fs, i.target, kept ? i.staging : i.source, [&](const os::FileStat& s) { return is_old(i, s); }));
  if (taken == Taken::others) {
    // Its owner has replaced it, and so does not want what it was.
    if (kept) TRY(remove_if_there(fs, i.source));
    return fail(Code::changed, fmt::format("{} changed meanwhile", printable(i.target)));
  }
  return {};
}

}  // namespace

Status carry(os::FileSystem& fs, Work& work) {
  switch (kind_of(work.intent)) {
    case Kind::make_folder: return {};  // made while preparing, so that there was a place for what goes into it
    case Kind::place: return place(fs, work);
    case Kind::replace: return replace(fs, work);
    case Kind::remove: return remove(fs, work);
  }
  return {};
}

Status finish(os::FileSystem& fs, Work& work, Folders& to_sync) {
  const auto& i = work.intent;
  const auto drop = [&](const std::string& name, const os::FileId& id) -> Status {
    const auto now = TRY(look(fs, name));
    if (!now) return {};
    if (now->id != id) return fail(Code::changed, fmt::format("{} holds another file than it should", printable(name)));
    to_sync.add_parent_of(name);
    return fs.unlink(name);
  };
  switch (kind_of(i)) {
    case Kind::make_folder: return {};
    case Kind::place: return how_of(i) == How::adopt ? drop(i.source, work.staged->new_id) : Status{};
    case Kind::replace:
      TRY(drop(i.staging, i.before.id));
      return drop(i.keep, i.before.id);
    case Kind::remove:
      if (i.before.kind == os::FileKind::directory) {
        TRY(check_parents(fs, i.target_root, i.target));
        to_sync.add_parent_of(i.target);
        work.left = !TRY(remove_folder_if_empty(fs, i.target));
        return {};
      }
      // Somebody else removed the name in the same instant: then the trash holds what he did not want either.
      return drop(i.staging, i.before.id);
  }
  return {};
}

}  // namespace mlxcache::change
