#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/bytes.h"
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

constexpr std::int64_t kTimeGrain = 2'000'000'000;  // FAT keeps times to two seconds

bool is_inode(const Seen& s, const os::FileId& id) { return s && same_inode(id, s->id); }

/// Whether a file of ours still has the bytes that we gave it.
bool has_text(os::FileSystem& fs, const journal::Intent& i, const std::string& at) {
  if (i.digest.empty()) return true;
  const auto file = fs.open_read(at);
  if (!file) return false;
  const auto now = (*file)->stat();
  const auto digest = now && now->size == i.size ? sha256_of(**file) : Result<std::string>(std::string());
  return digest && *digest == i.digest;
}

class RollBack {
 public:
  RollBack(os::FileSystem& fs, const journal::Intent& i, const std::optional<journal::Staged>& staged, Folders& to_sync)
      : fs_(fs), i_(i), staged_(staged), to_sync_(to_sync) {}

  Result<Back> made_folder();
  Result<Back> placed();
  Result<Back> adopted();
  Result<Back> replaced();
  Result<Back> removed();
  Result<Back> removed_folder();

 private:
  Status drop(const std::string& name);
  Status drop_if(const std::string& name, const os::FileId& id);
  Result<Back> put_old_text_back(Swap swap);
  bool unchanged(const os::FileStat& target) const;

  os::FileSystem& fs_;
  const journal::Intent& i_;
  const std::optional<journal::Staged>& staged_;
  Folders& to_sync_;
};

Status RollBack::drop(const std::string& name) {
  if (name.empty()) return {};
  to_sync_.add_parent_of(name);
  return remove_if_there(fs_, name);
}

Status RollBack::drop_if(const std::string& name, const os::FileId& id) {
  const auto now = TRY(look(fs_, name));
  return is_inode(now, id) ? drop(name) : Status{};
}

bool RollBack::unchanged(const os::FileStat& target) const {
  return is_as_placed(i_, staged_->new_id, target) && (how_of(i_) != How::text || has_text(fs_, i_, i_.target));
}

Result<Back> RollBack::made_folder() {
  const auto now = TRY(look(fs_, i_.target));
  if (!now || now->kind != os::FileKind::directory) return Back{};
  if (staged_ && !same_inode(staged_->new_id, now->id)) return Back{};
  to_sync_.add_parent_of(i_.target);
  if (TRY(remove_folder_if_empty(fs_, i_.target))) return Back{};
  return Back{false, "others have put something into the folder: it stays"};
}

Result<Back> RollBack::placed() {
  const auto target = TRY(look(fs_, i_.target));
  if (!target || !staged_ || !same_inode(staged_->new_id, target->id)) {
    TRY(drop(i_.staging));
    return Back{};
  }
  if (!unchanged(*target)) {
    TRY(drop(i_.staging));
    return Back{true, "its owner has changed it since: it stays"};
  }
  if (!TRY(source_is_there(fs_, i_))) {
    TRY(drop(i_.staging));
    return Back{true, "the file it was made from is gone: it stays"};
  }
  TRY(drop(i_.staging));  // a rename of which only one half reached the device
  TRY(make_staging_folder(fs_, root_of(i_), i_.staging));
  to_sync_.add_parent_of(i_.target);
  const auto taken = TRY(take_away(fs_, i_.target, i_.staging, [&](const os::FileStat& s) { return same_inode(staged_->new_id, s.id); }));
  if (taken == Taken::ours) TRY(drop(i_.staging));
  return Back{};
}

Result<Back> RollBack::adopted() {
  const os::FileId id = i_.source_id;
  const auto target = TRY(look(fs_, i_.target));
  const auto source = TRY(look(fs_, i_.source));
  const auto staging = TRY(look(fs_, i_.staging));
  const bool at_target = is_inode(target, id);
  if (!at_target && !is_inode(staging, id)) return Back{};  // still where it was, or its owner has removed it
  if (at_target && target->size != i_.size) return Back{true, "its owner has changed it since: it stays"};
  if (source && !is_inode(source, id)) return Back{true, fmt::format("{} is another file now: it stays", printable(i_.source))};
  if (!source) {
    TRY(os::make_dirs(fs_, folder_of(i_.source), 0700));
    TRY(bring(fs_, at_target ? i_.target : i_.staging, i_.source));
  }
  // Two names, until this one is on the device.
  TRY(to_sync_.sync_way_to(fs_, i_.target_root, i_.source));
  TRY(drop_if(i_.staging, id));
  to_sync_.add_parent_of(i_.target);
  TRY(make_staging_folder(fs_, root_of(i_), i_.staging));
  const auto taken = TRY(take_away(fs_, i_.target, i_.staging, [&](const os::FileStat& s) { return same_inode(id, s.id); }));
  if (taken == Taken::ours) TRY(drop(i_.staging));
  return Back{};
}

/// The new text stands finished: the old inode comes back from the trash, by another swap.
Result<Back> RollBack::put_old_text_back(Swap swap) {
  const auto target = TRY(look(fs_, i_.target));
  const auto trash = TRY(look(fs_, i_.source));
  if (!is_inode(trash, i_.before.id)) return Back{true, "what it was before is no longer in the trash"};
  if (!target || target->size != i_.size || !has_text(fs_, i_, i_.target)) return Back{true, "its owner has changed it since: it stays"};
  TRY(make_staging_folder(fs_, root_of(i_), i_.staging));
  TRY(bring(fs_, i_.source, i_.staging));
  swap.old_kind = target->kind;
  swap.old_id = target->id;
  swap.old_size = target->size;
  swap.old_mtime_ns = target->mtime_ns;
  swap.new_id = trash->id;
  auto result = swap_in(fs_, swap);
  if (result.kind == SwapResult::Kind::done) {
    TRY(fs_.sync_dir(folder_of(i_.target)));
    result = finish(fs_, swap);
  }
  if (result.kind == SwapResult::Kind::done) return Back{};
  if (result.kind == SwapResult::Kind::stuck) return fail(Code::changed, result.reason);
  TRY(drop_if(i_.staging, i_.before.id));
  return Back{true, result.reason};
}

Result<Back> RollBack::replaced() {
  Swap swap{.target = i_.target, .staging = i_.staging, .keep = i_.keep, .old_kind = i_.before.kind, .old_id = i_.before.id, .old_size = i_.before.size,
            .old_mtime_ns = i_.before.metadata.mtime_ns, .new_id = staged_ ? staged_->new_id : os::FileId{}};
  to_sync_.add_parent_of(i_.target);
  to_sync_.add_parent_of(i_.staging);
  const auto target = TRY(look(fs_, i_.target));
  const bool stands = target && staged_ && same_inode(staged_->new_id, target->id);
  if (stands && !has_text(fs_, i_, i_.target)) {
    TRY(drop_if(i_.staging, i_.before.id));
    TRY(drop_if(i_.keep, i_.before.id));
    return Back{true, "its owner has changed it since: it stays"};
  }
  const auto fate = TRY(settle(fs_, swap, staged_.has_value()));
  Back back;
  if (fate == Fate::swapped) {
    back = TRY(put_old_text_back(swap));
    if (back.stays) return back;
  }
  TRY(drop_if(i_.source, i_.before.id));
  return back;
}

Result<Back> RollBack::removed_folder() {
  if (TRY(look(fs_, i_.target)) || !TRY(look(fs_, folder_of(i_.target)))) return Back{};
  TRY(check_parents(fs_, i_.target_root, i_.target));
  TRY(fs_.make_dir(i_.target, i_.before.metadata.mode));
  (void)fs_.set_link_metadata(i_.target, i_.before.metadata);  // the owner; times once more when all is back
  to_sync_.add_parent_of(i_.target);
  return Back{};
}

Result<Back> RollBack::removed() {
  const os::FileId old = i_.before.id;
  const auto target = TRY(look(fs_, i_.target));
  const auto staging = TRY(look(fs_, i_.staging));
  const auto trash = TRY(look(fs_, i_.source));
  const bool in_hand = staging && !is_inode(staging, old);  // caught in the instant in which its owner replaced the name
  if (!target) {
    const bool old_is_here = is_inode(trash, old) || is_inode(staging, old);
    if (!in_hand && !old_is_here) return Back{};  // its owner has removed it, or emptied the trash
    if (!TRY(look(fs_, folder_of(i_.target)))) return Back{true, "its folder was removed since: it stays in the trash"};
    TRY(check_parents(fs_, i_.target_root, i_.target));
    const std::string& from = staging ? i_.staging : i_.source;
    TRY(bring(fs_, from, i_.target));
    TRY(to_sync_.sync_way_to(fs_, i_.target_root, i_.target));
    TRY(drop(i_.staging));
    TRY(drop_if(i_.source, old));
    return Back{};
  }
  if (in_hand && !is_inode(staging, target->id)) {
    return fail(Code::changed, fmt::format("{} holds a file that its owner had put at {}; left alone", printable(i_.staging), printable(i_.target)));
  }
  // It may be there in memory only, from a recovery that was killed.
  TRY(to_sync_.sync_way_to(fs_, i_.target_root, i_.target));
  TRY(drop(i_.staging));
  if (!is_inode(target, old) && is_inode(trash, old)) return Back{true, "its owner has put another file there: what it was before stays in the trash"};
  TRY(drop_if(i_.source, old));
  return Back{};
}

}  // namespace

bool is_as_placed(const journal::Intent& i, const os::FileId& id, const os::FileStat& now) {
  if (!same_inode(id, now.id) || now.kind != i.before.kind) return false;
  if (now.kind == os::FileKind::symlink) return true;
  return now.size == i.size && std::llabs(now.mtime_ns - i.before.metadata.mtime_ns) < kTimeGrain;
}

Result<bool> source_is_there(os::FileSystem& fs, const journal::Intent& i) {
  const How how = how_of(i);
  if (how != How::clone && how != How::hard_link && how != How::copy) return true;  // its text is in the journal's digest alone, but it was ours
  const auto source = TRY(look(fs, i.source));
  return source && source->kind == os::FileKind::regular && same_inode(i.source_id, source->id) && source->size == i.size;
}

void restore_times(os::FileSystem& fs, const journal::Intent& i) {
  if (kind_of(i) != Kind::remove || i.before.kind != os::FileKind::directory) return;
  const auto now = fs.stat(i.target);
  if (now && now->kind == os::FileKind::directory && now->mtime_ns != i.before.metadata.mtime_ns) {
    (void)fs.set_times(i.target, i.before.metadata.atime_ns, i.before.metadata.mtime_ns);
  }
}

Result<Back> roll_back(os::FileSystem& fs, const journal::Intent& intent, const std::optional<journal::Staged>& staged, Folders& to_sync) {
  RollBack back(fs, intent, staged, to_sync);
  switch (kind_of(intent)) {
    case Kind::make_folder: return back.made_folder();
    case Kind::place: return how_of(intent) == How::adopt ? back.adopted() : back.placed();
    case Kind::replace: return back.replaced();
    case Kind::remove: return intent.before.kind == os::FileKind::directory ? back.removed_folder() : back.removed();
  }
  return fail(Code::unsupported, "a later version made this change");
}

}  // namespace mlxcache::change
