#include "mlxcache/change/undo_step.h"

#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/swap.h"

namespace mlxcache::change {

using journal::Intent;
using journal::Step;
using journal::UndoIntent;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;

namespace {

bool is_inode(const Seen& s, const os::FileId& id) { return s && same_inode(id, s->id); }

bool is_folder_step(const Intent& i) {
  return kind_of(i) == Kind::make_folder || (kind_of(i) == Kind::remove && i.before.kind == os::FileKind::directory);
}

Status drop_if(os::FileSystem& fs, const std::string& name, const os::FileId& id, Folders& to_sync) {
  if (!is_inode(TRY(look(fs, name)), id)) return {};
  to_sync.add_parent_of(name);
  return remove_if_there(fs, name);
}

/// What the swap back has to find at the target.
Swap swap_back(const Step& step) {
  const Intent& i = *step.intent;
  const UndoIntent& u = *step.undo_intent;
  return {.target = i.target, .staging = u.staging, .keep = u.keep, .old_kind = u.old_kind, .old_id = u.old_id, .old_size = u.old_size,
          .old_mtime_ns = u.old_mtime_ns, .new_id = i.before.id};
}

Status check_as_after(os::FileSystem& fs, const Step& step, const os::FileStat& now) {
  const Intent& i = *step.intent;
  const auto& after = *step.settled;
  if (!same_inode(after.after_id, now.id)) return fail(Code::changed, "it was replaced since by its owner");
  if (now.kind == os::FileKind::symlink) return {};
  if (now.size != after.after_size || now.mtime_ns != after.after_mtime_ns) return fail(Code::changed, "it was changed since by its owner");
  if (now.immutable) return fail(Code::permission, "it is marked immutable");
  if (now.kind == os::FileKind::regular) (void)TRY(hold(fs, i.target));  // who writes it now keeps it
  return {};
}

Status check_placed(os::FileSystem& fs, const Step& step) {
  const Intent& i = *step.intent;
  if (!TRY(source_is_there(fs, i))) return fail(Code::not_found, fmt::format("the file it was made from is gone ({}): these are the only bytes", printable(i.source)));
  if (how_of(i) == How::adopt && TRY(look(fs, i.source))) return fail(Code::changed, fmt::format("{} is another file now", printable(i.source)));
  return {};
}

}  // namespace

Result<UndoIntent> plan_undo_step(os::FileSystem& fs, Places& places, const Step& step) {
  const Intent& i = *step.intent;
  UndoIntent u;
  u.index = i.index;
  if (auto root = fs.stat(i.target_root, os::Follow::yes); !root) {
    if (root.error().code != Code::not_found) return fail(root.error());
    return fail(Code::not_found, fmt::format("{} is not there now", printable(i.target_root)));
  }
  if (step.emptied) return fail(Code::not_found, "it was deleted from the trash");
  TRY(check_parents(fs, i.target_root, i.target));
  const auto now = TRY(look(fs, i.target));
  if (is_folder_step(i)) {
    if (now) u.old_id = now->id, u.old_kind = now->kind;
    return u;
  }
  if (kind_of(i) != Kind::place && !is_inode(TRY(look(fs, i.source)), i.before.id)) return fail(Code::not_found, "it is no longer in the trash");
  if (kind_of(i) == Kind::remove) {
    if (now) return fail(Code::changed, "another file has its name now");
    u.staging = TRY(places.staging(root_of(i), i.target, false));
    return u;
  }
  if (!now) {
    if (kind_of(i) == Kind::place) return u;  // removed since: nothing is left to take back
    return fail(Code::not_found, "it is gone: removed since by its owner");
  }
  TRY(check_as_after(fs, step, *now));
  if (kind_of(i) == Kind::place) TRY(check_placed(fs, step));
  u.staging = TRY(places.staging(root_of(i), i.target, false));
  u.keep = TRY(places.staging(root_of(i), i.target, false));
  u.old_kind = now->kind;
  u.old_id = now->id;
  u.old_size = now->size;
  u.old_mtime_ns = now->mtime_ns;
  return u;
}

namespace {

Status undo_place(os::FileSystem& fs, const Step& step, Folders& to_sync) {
  const Intent& i = *step.intent;
  const UndoIntent& u = *step.undo_intent;
  if (u.staging.empty()) return {};
  TRY(make_staging_folder(fs, root_of(i), u.staging));
  if (how_of(i) == How::adopt) {
    TRY(os::make_dirs(fs, folder_of(i.source), 0700));
    TRY(bring(fs, i.target, i.source));
    TRY(to_sync.sync_way_to(fs, i.target_root, i.source));  // its only other name goes next
  }
  to_sync.add_parent_of(u.staging);
  const auto taken = TRY(take_away(fs, i.target, u.staging, [&](const os::FileStat& s) {
    return s.id == u.old_id && s.size == u.old_size && s.mtime_ns == u.old_mtime_ns;
  }));
  if (taken != Taken::others) return {};
  if (how_of(i) == How::adopt) TRY(drop_if(fs, i.source, u.old_id, to_sync));
  return fail(Code::changed, "it changed meanwhile");
}

Status undo_replace(os::FileSystem& fs, const Step& step, Folders& to_sync) {
  const Intent& i = *step.intent;
  TRY(make_staging_folder(fs, root_of(i), step.undo_intent->staging));
  TRY(bring(fs, i.source, step.undo_intent->staging));
  to_sync.add_parent_of(step.undo_intent->staging);
  Swap swap = swap_back(step);
  auto result = swap_in(fs, swap);
  if (result.kind == SwapResult::Kind::done) return {};
  if (result.kind == SwapResult::Kind::refused) TRY(drop_if(fs, step.undo_intent->staging, i.before.id, to_sync));
  return fail(result.kind == SwapResult::Kind::stuck ? Code::io : Code::changed, result.reason);
}

/// Of a folder that was made again: owner and mode; times once more at the end.
void give_owner(os::FileSystem& fs, const Intent& i, Folders& to_sync) {
  (void)fs.set_link_metadata(i.target, i.before.metadata);
  to_sync.add(i.target);
}

Status undo_make_folder(os::FileSystem& fs, const Step& step, std::string& note) {
  const auto now = TRY(look(fs, step.intent->target));
  if (!is_inode(now, step.settled->after_id) || now->kind != os::FileKind::directory) return {};
  if (!TRY(remove_folder_if_empty(fs, step.intent->target))) note = "others have put something into the folder: it stays";
  return {};
}

}  // namespace

Status undo_step(os::FileSystem& fs, const Step& step, Folders& to_sync) {
  const Intent& i = *step.intent;
  TRY(check_parents(fs, i.target_root, i.target));
  to_sync.add_parent_of(i.target);
  switch (kind_of(i)) {
    case Kind::make_folder: return {};  // not before temporary names have left it
    case Kind::place: return undo_place(fs, step, to_sync);
    case Kind::replace: return undo_replace(fs, step, to_sync);
    case Kind::remove: break;
  }
  if (i.before.kind != os::FileKind::directory) {
    auto named = bring(fs, i.source, i.target);
    if (!named && named.error().os_errno == EEXIST) return fail(Code::changed, "another file has its name now");
    return named;
  }
  if (TRY(look(fs, i.target))) return {};
  TRY(fs.make_dir(i.target, i.before.metadata.mode));
  give_owner(fs, i, to_sync);
  return fs.sync_dir(folder_of(i.target));  // what comes into it must not be lost with it
}

Status finish_undo_step(os::FileSystem& fs, const Step& step, Folders& to_sync, std::string& note) {
  const Intent& i = *step.intent;
  if (kind_of(i) == Kind::make_folder) {
    to_sync.add_parent_of(i.target);
    return undo_make_folder(fs, step, note);
  }
  if (is_folder_step(i)) return {};
  const UndoIntent& u = *step.undo_intent;
  if (kind_of(i) == Kind::remove) return drop_if(fs, i.source, i.before.id, to_sync);
  TRY(drop_if(fs, u.staging, u.old_id, to_sync));
  if (kind_of(i) == Kind::place) return {};
  TRY(drop_if(fs, u.keep, u.old_id, to_sync));
  return drop_if(fs, i.source, i.before.id, to_sync);
}

namespace {

Result<bool> settle_undo_place(os::FileSystem& fs, const Step& step, Folders& to_sync) {
  const Intent& i = *step.intent;
  const UndoIntent& u = *step.undo_intent;
  const bool adopted = how_of(i) == How::adopt;
  const auto target = TRY(look(fs, i.target));
  const auto staging = TRY(look(fs, u.staging));
  to_sync.add_parent_of(i.target);
  if (is_inode(target, u.old_id)) {
    TRY(to_sync.sync_way_to(fs, i.target_root, i.target));  // before another name of it goes
    if (adopted) TRY(drop_if(fs, i.source, u.old_id, to_sync));
    TRY(drop_if(fs, u.staging, u.old_id, to_sync));
    return false;
  }
  if (staging && !is_inode(staging, u.old_id)) {
    // Caught in the instant in which its owner replaced the name.
    if (target) return fail(Code::changed, fmt::format("{} holds a file that its owner had put at {}; left alone", printable(u.staging), printable(i.target)));
    TRY(fs.rename_new(u.staging, i.target));
    return true;
  }
  if (staging && adopted) {
    if (!TRY(look(fs, i.source))) {
      TRY(os::make_dirs(fs, folder_of(i.source), 0700));
      TRY(bring(fs, u.staging, i.source));
    }
    TRY(to_sync.sync_way_to(fs, i.target_root, i.source));  // also where an earlier recovery gave it that name
  }
  TRY(drop_if(fs, u.staging, u.old_id, to_sync));
  return true;
}

/// Where the old inode has its name again, the undo goes forward: its name in the trash may be gone already, and a swap back would be the end of it.
Result<bool> settle_undo_replace(os::FileSystem& fs, const Step& step, Folders& to_sync) {
  const Intent& i = *step.intent;
  const UndoIntent& u = *step.undo_intent;
  to_sync.add_parent_of(i.target);
  const auto staging = TRY(look(fs, u.staging));
  const bool of_owner = staging && !is_inode(staging, u.old_id) && !is_inode(staging, i.before.id);  // caught in the swap
  if (of_owner || !is_inode(TRY(look(fs, i.target)), i.before.id)) return TRY(settle(fs, swap_back(step), true)) == Fate::swapped;
  TRY(to_sync.sync_way_to(fs, i.target_root, i.target));  // before other names of it go
  for (const auto& name : {u.staging, u.keep}) {
    TRY(drop_if(fs, name, u.old_id, to_sync));
    TRY(drop_if(fs, name, i.before.id, to_sync));
  }
  TRY(drop_if(fs, i.source, i.before.id, to_sync));
  return true;
}

}  // namespace

Result<bool> settle_undo_step(os::FileSystem& fs, const Step& step, Folders& to_sync) {
  const Intent& i = *step.intent;
  to_sync.add_parent_of(i.target);  // whatever is found there is to be relied on
  const auto target = TRY(look(fs, i.target));
  switch (kind_of(i)) {
    case Kind::make_folder: return !is_inode(target, step.settled->after_id);
    case Kind::place: return settle_undo_place(fs, step, to_sync);
    case Kind::replace: return settle_undo_replace(fs, step, to_sync);
    case Kind::remove: break;
  }
  if (i.before.kind == os::FileKind::directory) {
    if (target && step.undo_intent->old_id.inode == 0) give_owner(fs, i, to_sync);  // it was not there before the undo
    return target.has_value();
  }
  if (is_inode(target, i.before.id)) {
    TRY(to_sync.sync_way_to(fs, i.target_root, i.target));  // before its name in the trash goes
    TRY(drop_if(fs, i.source, i.before.id, to_sync));
    return true;
  }
  return !TRY(look(fs, i.source)).has_value();
}

}  // namespace mlxcache::change
