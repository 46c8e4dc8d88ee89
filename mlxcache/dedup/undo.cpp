#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/dedup/apply.h"
#include "mlxcache/dedup/bytes.h"
#include "mlxcache/dedup/step.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::dedup {
namespace {

using journal::Intent;
using journal::Outcome;
using journal::Settled;
using journal::Step;
using journal::UndoIntent;
using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::printable;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

/// Takes one transaction back, newest change first.
class Undoer {
 public:
  Undoer(const Machinery& machinery, journal::Transaction& t, std::string file)
      : machinery_(machinery), fs_(machinery.context.fs), t_(t), file_(std::move(file)), locks_(fs_) {}

  Result<Undone> run(const journal::Contents& contents);

 private:
  /// What the target is now, and from where its bytes can be read.
  struct Now {
    os::FileStat stat;   // of the name itself
    bool touched = false;  // same inode and size, but another mtime: the digest decides
    Held bytes;
    Held target;         // of a regular target
  };
  Status check_space(const std::vector<Step*>& steps);
  Status find_names_of_old_inodes();
  Status restore(Step& step);
  Result<Now> look(const Step& step);
  Status part_in_place(Step& step, Now& now);
  Status replace(Step& step, Now& now);
  Result<os::FileId> make_private(const Step& step, Now& now, const UndoIntent& undo, std::string& digest);
  Result<std::unique_ptr<os::File>> make_copy(const Step& step, Now& now, const std::string& staging, std::string& digest);
  Status begin(Step& step, const Now& now, bool in_place);
  void settled(Step& step, Outcome outcome, std::string reason);
  catalog::Root root_of(const Intent& i) const {
    const bool known = i.target_kind < catalog::kStoreKinds;  // a later version's journal may name a store that this one has not
    return {known ? static_cast<catalog::StoreKind>(i.target_kind) : catalog::StoreKind::loose, i.target_root, "journal"};
  }
  bool cancelled() const { return machinery_.cancel != nullptr && machinery_.cancel->requested(); }

  const Machinery& machinery_;
  os::FileSystem& fs_;
  journal::Transaction& t_;
  std::string file_;
  std::optional<journal::Writer> journal_;
  LockSet locks_;
  Undone out_;
  bool stuck_ = false;
  bool journal_failed_ = false;
  std::set<std::uint64_t> cannot_part_in_place_;              // devices
  std::map<std::uint64_t, std::string> names_of_old_inode_;   // inode before the transaction → a name that has it (again)
  std::map<std::string, std::string> folders_used_;
};

void Undoer::settled(Step& step, Outcome outcome, std::string reason) {
  Settled s{.index = step.intent->index, .outcome = outcome, .after_id = {}, .after_mtime_ns = 0, .after_size = 0, .digest = {}, .reason = std::move(reason)};
  if (auto now = fs_.stat(step.intent->target)) {
    s.after_id = now->id;
    s.after_mtime_ns = now->mtime_ns;
    s.after_size = now->size;
  }
  step.undo_settled = s;
  (void)journal_->append(s);  // the disk tells, if this is lost
}

/// Private copies need room: all of them, before the first is made.
Status Undoer::check_space(const std::vector<Step*>& steps) {
  struct Need {
    std::uint64_t bytes = 0;
    std::string folder;
  };
  std::map<std::uint64_t, Need> needs;  // by device
  std::set<std::pair<std::uint64_t, std::uint64_t>> counted;
  for (const Step* step : steps) {
    const Intent& i = *step->intent;
    const auto folder = fs_.stat(folder_of(i.target), os::Follow::yes);
    if (!folder || !counted.insert({folder->id.device, i.before.id.inode}).second) continue;
    std::uint64_t bytes = i.before.size;
    for (const auto& hole : i.before.holes) bytes -= std::min(bytes, hole.length);
    needs[folder->id.device].bytes += bytes;
    needs[folder->id.device].folder = folder_of(i.target);
  }
  for (const auto& [device, need] : needs) {
    const auto volume = fs_.volume(need.folder, false);
    if (!volume) continue;  // then the copy itself will tell
    if (volume->free_bytes < need.bytes) {
      return fail(Code::out_of_space, fmt::format("taking this back needs {} on the volume of {}, where {} are free; nothing was changed",
                                                  mlxbase::format_bytes(need.bytes), printable(need.folder), mlxbase::format_bytes(volume->free_bytes)));
    }
  }
  return {};
}

/// Names that were one file before become one again: also with those that an earlier undo restored, or that were never changed.
Status Undoer::find_names_of_old_inodes() {
  const auto still = [&](const std::string& name, const Intent& i, const os::FileId& id) -> Result<bool> {
    const auto now = fs_.stat(name);
    if (!now && now.error().code != Code::not_found) return fail(now.error());
    return now && now->kind == os::FileKind::regular && now->size == i.before.size && now->mtime_ns == i.before.metadata.mtime_ns && same_inode(id, now->id);
  };
  for (const auto& [index, step] : t_.steps) {
    const Intent& i = *step.intent;
    if (i.before.links < 2) continue;
    if (step.undone() && TRY(still(i.target, i, step.undo_settled->after_id))) names_of_old_inode_[i.before.id.inode] = i.target;
    for (const auto& name : i.before.other_names) {
      if (TRY(still(name, i, i.before.id))) names_of_old_inode_.emplace(i.before.id.inode, name);
    }
  }
  return {};
}

Result<Undoer::Now> Undoer::look(const Step& step) {
  const Intent& i = *step.intent;
  const Settled& after = *step.settled;
  if (!fs_.stat(i.target_root, os::Follow::yes)) return fail(Code::not_found, fmt::format("{} is not there now", printable(i.target_root)));
  auto stat = fs_.stat(i.target);
  if (!stat) return fail(stat.error().code, stat.error().code == Code::not_found ? "it is gone: removed since by its owner" : stat.error().message);
  TRY(check_within(fs_, i.target_root, i.target));
  Now now{.stat = *stat, .touched = false, .bytes = {}, .target = {}};
  if (!same_inode(after.after_id, now.stat.id)) return fail(Code::changed, "it was replaced since by its owner");
  if (static_cast<Method>(i.method) == Method::symlink) {
    if (now.stat.kind != os::FileKind::symlink || TRY(fs_.read_link(i.target)) != i.source) return fail(Code::changed, "it is no longer the link that was made");
    auto bytes = hold(fs_, i.source);
    if (!bytes) {
      return fail(bytes.error().code, bytes.error().code == Code::not_found
                                          ? fmt::format("the file it links to is gone ({}): the bytes are not here any more", printable(i.source))
                                          : bytes.error().message);
    }
    now.bytes = std::move(*bytes);
    if (TRY(now.bytes.file->stat()).size != i.before.size) return fail(Code::changed, "the file it links to changed since");
    now.touched = true;  // whoever wrote the file behind the link: the digest decides
    return now;
  }
  if (now.stat.kind != os::FileKind::regular || now.stat.size != i.before.size) return fail(Code::changed, "it was changed since by its owner");
  if (now.stat.immutable) return fail(Code::permission, "it is marked immutable");
  now.touched = now.stat.mtime_ns != after.after_mtime_ns;
  now.target = TRY(hold(fs_, i.target));
  if (TRY(now.target.file->stat()).id != now.stat.id) return fail(Code::changed, "it changed meanwhile");
  return now;
}

Status Undoer::begin(Step& step, const Now& now, bool in_place) {
  const Intent& i = *step.intent;
  const auto names = TRY(temporary_names(fs_, root_of(i), i.target, now.stat.id.device, false));
  UndoIntent undo{.index = i.index, .in_place = static_cast<std::uint8_t>(in_place ? 1 : 0), .staging = names.staging, .keep = names.keep,
                  .old_kind = now.stat.kind, .old_id = now.stat.id, .old_size = now.stat.size, .old_mtime_ns = now.stat.mtime_ns};
  if (auto made = make_staging_folder(fs_, root_of(i), undo.staging); !made) {
    if (made.error().code != Code::permission) return made;
    const auto inside = TRY(temporary_names(fs_, root_of(i), i.target, now.stat.id.device, true));
    undo.staging = inside.staging;
    undo.keep = inside.keep;
    TRY(make_staging_folder(fs_, root_of(i), undo.staging));
  }
  folders_used_.emplace(folder_of(undo.staging), i.target);
  auto written = journal_->append(undo);
  if (written) written = journal_->sync();
  if (!written) {
    journal_failed_ = true;
    return written;
  }
  step.undo_intent = undo;
  step.undo_staged.reset();
  step.undo_settled.reset();
  return {};
}

/// A new file at `staging` with the bytes of before. The digest that was measured when they were shared decides, if there is one.
Result<std::unique_ptr<os::File>> Undoer::make_copy(const Step& step, Now& now, const std::string& staging, std::string& digest) {
  const Intent& i = *step.intent;
  os::File& from = now.bytes.file ? *now.bytes.file : *now.target.file;
  auto copy = TRY(fs_.create(staging, 0600));
  digest = TRY(copy_bytes(from, *copy, i.before.size, i.before.holes, machinery_.cancel, machinery_.progress));
  const std::string known = step.digest();
  if (!known.empty() && digest != known) return fail(Code::changed, "its bytes are no longer those that were shared");
  if (known.empty() && now.touched) return fail(Code::changed, "it was changed since by its owner");
  return copy;
}

/// The target keeps its inode; its extents become those of a copy that nobody else refers to. The kernel compares, so a writer that comes
/// in between loses nothing.
Status Undoer::part_in_place(Step& step, Now& now) {
  const Intent& i = *step.intent;
  if (now.touched) return fail(Code::changed, "it was changed since by its owner");
  TRY(begin(step, now, true));
  const std::string staging = step.undo_intent->staging;
  const auto work = [&]() -> Result<SharedInPlace> {
    std::string digest;
    auto copy = TRY(make_copy(step, now, staging, digest));
    TRY(copy->sync());
    return share_in_place(fs_, *copy, *now.target.file, i.before.size, machinery_.cancel, mlxbase::no_progress());
  };
  const auto shared = work();
  // Also when it failed: the target has its bytes in any case.
  if (auto removed = remove_if_there(fs_, staging); !removed) {
    stuck_ = true;
    return removed;
  }
  if (!shared) return fail(shared.error());
  if (shared->how == Shared::in_part) return fail(Code::changed, shared->reason);
  if (shared->how == Shared::impossible) {
    if (now.stat.links > 1) return fail(Code::unsupported, fmt::format("it has several names, and its blocks cannot be parted in place: {}", shared->reason));
    cannot_part_in_place_.insert(now.stat.id.device);
    return replace(step, now);
  }
  settled(step, Outcome::undone, {});
  out_.restored.push_back(i.target);
  return {};
}

/// The inode that shall take the name: another name of the restored one, or a copy with the metadata of before.
Result<os::FileId> Undoer::make_private(const Step& step, Now& now, const UndoIntent& undo, std::string& digest) {
  const Intent& i = *step.intent;
  if (const auto twin = names_of_old_inode_.find(i.before.id.inode); i.before.links > 1 && twin != names_of_old_inode_.end()) {
    auto linked = fs_.hard_link(twin->second, undo.staging);
    if (linked) return TRY(fs_.stat(undo.staging)).id;
    if (linked.error().code != Code::unsupported) return fail(linked.error());
    // Then it gets its own: the bytes matter more than the shared inode.
    out_.notes.push_back({i.target, fmt::format("is no longer one file with {}", printable(twin->second))});
  }
  if (i.before.links > i.before.other_names.size() + 1) {
    out_.notes.push_back({i.target, "was one file with names outside this transaction; it is a file of its own now"});
  }
  auto copy = TRY(make_copy(step, now, undo.staging, digest));
  for (const auto& name : TRY(copy->set_metadata(i.before.metadata))) {
    if (!name.starts_with("security.")) out_.notes.push_back({i.target, fmt::format("its {} could not be set back", name)});
  }
  TRY(copy->sync());
  return TRY(copy->stat()).id;
}

Status Undoer::replace(Step& step, Now& now) {
  const Intent& i = *step.intent;
  TRY(begin(step, now, false));
  const UndoIntent& undo = *step.undo_intent;
  std::string digest;
  auto fresh = make_private(step, now, undo, digest);
  if (!fresh) {
    if (fresh.error().os_errno != EEXIST && !remove_if_there(fs_, undo.staging)) stuck_ = true;
    return fail(fresh.error());
  }
  std::vector<Prepared> batch(1);
  Prepared& p = batch.front();
  p.staged = {.index = i.index, .undo = true, .new_id = *fresh, .digest = digest};
  p.swap = {.target = i.target, .staging = undo.staging, .keep = undo.keep, .old_kind = undo.old_kind, .old_id = undo.old_id, .old_size = undo.old_size,
            .old_mtime_ns = undo.old_mtime_ns, .new_id = *fresh};
  const auto before = catalog::fingerprint_of(now.stat);
  p.target = std::move(now.target);
  if (auto carried = carry_out(fs_, *journal_, batch); !carried) {
    journal_failed_ = true;
    return carried;
  }
  if (p.result.kind != SwapResult::Kind::done) {
    if (p.result.kind == SwapResult::Kind::stuck) stuck_ = true;
    return fail(Code::changed, p.result.reason);
  }
  settled(step, Outcome::undone, {});
  if (i.before.links > 1) names_of_old_inode_.emplace(i.before.id.inode, i.target);
  if (auto after = fs_.stat(i.target); after && now.stat.kind == os::FileKind::regular) out_.moved.push_back({before, catalog::fingerprint_of(*after)});
  out_.restored.push_back(i.target);
  return {};
}

Status Undoer::restore(Step& step) {
  const Intent& i = *step.intent;
  machinery_.progress.item(i.target);
  auto now = TRY(look(step));
  TRY(locks_.take(root_of(i), i.target, now.stat));
  const bool in_place = static_cast<Method>(i.method) == Method::dedupe && (now.stat.links > 1 || !cannot_part_in_place_.contains(now.stat.id.device));
  return in_place ? part_in_place(step, now) : replace(step, now);
}

Result<Undone> Undoer::run(const journal::Contents& contents) {
  std::vector<Step*> steps;
  std::uint64_t bytes = 0;
  const bool was_recovered = t_.closed->state == journal::State::recovered;
  for (auto& [index, step] : t_.steps) {
    if (!step.done() || step.undone()) continue;
    steps.push_back(&step);
    bytes += step.intent->before.size;
  }
  std::reverse(steps.begin(), steps.end());
  if (cancelled()) return fail(Code::cancelled, "stopped before anything was changed");
  TRY(check_space(steps));
  TRY(find_names_of_old_inodes());
  journal_.emplace(TRY(journal::Writer::reopen(fs_, file_, contents)));
  TRY(journal_->append(journal::UndoBegin{.time_ns = machinery_.clock.wall_ns()}));
  TRY(journal_->sync());
  t_.undo_began = true;

  machinery_.progress.stage("restoring", bytes, true);
  for (Step* step : steps) {
    const Intent& i = *step->intent;
    if (cancelled() || journal_failed_) {
      out_.refused.push_back({i.target, journal_failed_ ? "the journal could not be written" : "stopped before its turn"});
      continue;
    }
    const std::string dir = folder_of(i.target);
    const auto times = stores::adapter_of(root_of(i).kind).keeps_mtime ? fs_.stat(dir, os::Follow::yes) : Result<os::FileStat>(fail(Code::not_found, ""));
    if (auto restored = restore(*step); !restored) {
      if (!stuck_) settled(*step, Outcome::undo_refused, restored.error().message);
      out_.refused.push_back({i.target, restored.error().message});
    }
    if (times) (void)fs_.set_times(dir, times->atime_ns, times->mtime_ns);
    locks_.clear();
  }

  for (const auto& [folder, target] : folders_used_) {
    if (auto synced = fs_.sync_dir(folder); !synced && synced.error().code != Code::not_found) stuck_ = true;
    remove_staging_folder(fs_, target, path::join(folder, "x"));
  }
  if (stuck_ || journal_failed_) {
    (void)journal_->flush();
  } else if (journal_->append(t_.closing(machinery_.clock.wall_ns(), was_recovered))) {
    (void)journal_->sync();
  }
  return std::move(out_);
}

/// The id to undo: as asked, or the latest with something left.
Result<std::string> choose(os::FileSystem& fs, const std::string& home, const std::string& asked) {
  if (!asked.empty()) {
    if (!is_transaction_id(asked)) return fail(Code::invalid, fmt::format("'{}' is not a transaction id", printable(asked)));
    return asked;
  }
  std::vector<std::string> problems;
  for (const auto& s : TRY(journal::list(fs, home, problems))) {
    if (s.state != journal::State::undone && s.actions > 0) return s.id;
  }
  return fail(Code::not_found, "there is no transaction to undo");
}

}  // namespace

Result<Undone> undo(const Machinery& machinery, const std::string& transaction) {
  os::FileSystem& fs = machinery.context.fs;
  if (!transaction.empty() && !is_transaction_id(transaction)) return fail(Code::invalid, fmt::format("'{}' is not a transaction id", printable(transaction)));
  const auto lock = TRY(lock_home(fs, machinery.home));
  const auto recovered = TRY(recover_locked(machinery));
  const std::string id = TRY(choose(fs, machinery.home, transaction));
  const std::string file = journal::file_of(machinery.home, id);
  auto contents = journal::read(fs, file);
  if (!contents) {
    if (contents.error().code == Code::not_found) return fail(Code::not_found, fmt::format("there is no transaction {}", id));
    return fail(contents.error());
  }
  auto t = journal::fold(*contents);
  if (t.cut()) return fail(Code::busy, fmt::format("transaction {} was cut short and could not be settled yet; `mlxcache recover` says why", id));
  if (t.closed->state == journal::State::undone) return fail(Code::invalid, fmt::format("transaction {} is undone already", id));
  auto undone = journal::changes_names(t) ? change::undo_names(machinery, t, file, *contents) : Undoer(machinery, t, file).run(*contents);
  if (undone) undone->transaction = id;
  return undone;
}

}  // namespace mlxcache::dedup
