#include "mlxcache/change/settle.h"

#include <fmt/format.h>

#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/bytes.h"
#include "mlxcache/change/session.h"
#include "mlxcache/change/swap.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {
namespace {

using journal::Outcome;
using journal::Settled;
using journal::Step;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::printable;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

constexpr std::uint8_t kSharedInPlace = 0;  // dedup::Method::dedupe

class Settler {
 public:
  Settler(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Recovered& out)
      : machinery_(machinery), fs_(machinery.context.fs), t_(t), writer_(writer), out_(out) {}

  Status run();

 private:
  void settle_apply(Step& step);
  void settle_undo(Step& step);
  void write(Step& step, Outcome outcome, std::string reason);
  bool may_touch(const journal::Intent& intent);
  void left(const journal::Intent& intent, std::string why) {
    out_.left.push_back({intent.target, std::move(why)});
    all_settled_ = false;
  }

  const Machinery& machinery_;
  os::FileSystem& fs_;
  journal::Transaction& t_;
  journal::Writer& writer_;
  Recovered& out_;
  bool all_settled_ = true;
  std::set<std::string> folders_;  // of temporary names
  std::map<std::string, std::string> folders_for_;
};

void Settler::write(Step& step, Outcome outcome, std::string reason) {
  Settled s{.index = step.intent->index, .outcome = outcome, .after_id = {}, .after_mtime_ns = 0, .after_size = 0, .digest = step.digest(), .reason = std::move(reason)};
  if (auto now = fs_.stat(step.intent->target)) {
    s.after_id = now->id;
    s.after_mtime_ns = now->mtime_ns;
    s.after_size = now->size;
  }
  const bool undo = outcome == Outcome::undone || outcome == Outcome::undo_refused;
  (undo ? step.undo_settled : step.settled) = s;
  (void)writer_.append(s);  // a failure shows at the sync in run()
}

/// A root that is not there (a disk not mounted) says nothing about its files.
bool Settler::may_touch(const journal::Intent& intent) {
  const auto root = fs_.stat(intent.target_root, os::Follow::yes);
  if (!root) {
    left(intent, fmt::format("{} is not there now", printable(intent.target_root)));
    return false;
  }
  if (auto within = check_within(fs_, intent.target_root, intent.target); !within && within.error().code != Code::not_found) {
    left(intent, within.error().message);
    return false;
  }
  return true;
}

void Settler::settle_apply(Step& step) {
  const journal::Intent& i = *step.intent;
  if (!may_touch(i)) return;
  if (i.method == kSharedInPlace) {
    if (step.settled) return;
    // Shared or not, wholly or in part: the bytes were compared by the kernel. What can be taken back counts as done.
    auto target = fs_.open_read(i.target);
    auto source = fs_.open_read(i.source);
    const auto now = target ? (*target)->stat() : Result<os::FileStat>(fail(target.error()));
    const bool same = now && same_inode(i.before.id, now->id) && now->size == i.before.size && now->mtime_ns == i.before.metadata.mtime_ns;
    if (same && source && any_block_common(**target, **source)) {
      write(step, Outcome::done, {});
      out_.finished.push_back(i.target);
    } else {
      write(step, Outcome::rolled_back, "cut short");
      out_.rolled_back.push_back(i.target);
    }
    return;
  }
  folders_for_.emplace(folder_of(i.staging), i.target);
  Swap swap{.target = i.target, .staging = i.staging, .keep = i.keep, .old_kind = i.before.kind, .old_id = i.before.id, .old_size = i.before.size,
            .old_mtime_ns = i.before.metadata.mtime_ns, .new_id = step.staged ? step.staged->new_id : os::FileId{}};
  const auto fate = settle(fs_, swap, step.staged.has_value());
  if (!fate) {
    left(i, fate.error().message);
    return;
  }
  const Outcome outcome = *fate == Fate::swapped ? Outcome::done : Outcome::rolled_back;
  if (step.settled && step.settled->outcome == outcome) return;  // as the journal says already
  write(step, outcome, outcome == Outcome::done ? "" : "cut short");
  (outcome == Outcome::done ? out_.finished : out_.rolled_back).push_back(i.target);
}

void Settler::settle_undo(Step& step) {
  const journal::Intent& i = *step.intent;
  const journal::UndoIntent& u = *step.undo_intent;
  if (!may_touch(i)) return;
  folders_for_.emplace(folder_of(u.staging), i.target);
  if (u.in_place != 0) {
    // The target kept its inode and its bytes throughout; the copy beside it is ours.
    if (auto removed = remove_if_there(fs_, u.staging); !removed) {
      left(i, removed.error().message);
      return;
    }
    if (step.undo_settled) return;
    write(step, Outcome::undo_refused, "cut short: undo it again");
    out_.rolled_back.push_back(i.target);
    return;
  }
  Swap swap{.target = i.target, .staging = u.staging, .keep = u.keep, .old_kind = u.old_kind, .old_id = u.old_id, .old_size = u.old_size,
            .old_mtime_ns = u.old_mtime_ns, .new_id = step.undo_staged ? step.undo_staged->new_id : os::FileId{}};
  const auto fate = settle(fs_, swap, step.undo_staged.has_value());
  if (!fate) {
    left(i, fate.error().message);
    return;
  }
  const Outcome outcome = *fate == Fate::swapped ? Outcome::undone : Outcome::undo_refused;
  if (step.undo_settled && step.undo_settled->outcome == outcome) return;
  write(step, outcome, outcome == Outcome::undone ? "" : "cut short: undo it again");
  (outcome == Outcome::undone ? out_.finished : out_.rolled_back).push_back(i.target);
}

Status Settler::run() {
  const bool was_undo = t_.undo_began;
  for (auto& [index, step] : t_.steps) {
    if (!was_undo) {
      settle_apply(step);
    } else if (step.undo_intent) {
      settle_undo(step);
    }
  }
  for (const auto& [folder, target] : folders_for_) {
    if (auto synced = fs_.sync_dir(folder); !synced && synced.error().code != Code::not_found) all_settled_ = false;
    remove_staging_folder(fs_, target, path::join(folder, "x"));
  }
  TRY(writer_.sync());
  if (!all_settled_) return {};
  TRY(writer_.append(t_.closing(machinery_.clock.wall_ns(), !was_undo)));
  return writer_.sync();
}

}  // namespace

Status settle_swaps(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Recovered& out) {
  return Settler(machinery, t, writer, out).run();
}

}  // namespace mlxcache::change
