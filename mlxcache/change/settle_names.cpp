#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/settle.h"
#include "mlxcache/change/undo.h"
#include "mlxcache/change/undo_step.h"
#include "mlxcache/change/work.h"

namespace mlxcache::change {
namespace {

using journal::Outcome;
using journal::Settled;
using journal::Step;
using mlxbase::printable;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

class Settler {
 public:
  Settler(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Recovered& out)
      : machinery_(machinery), fs_(machinery.context.fs), t_(t), writer_(writer), out_(out) {}

  Status run();

 private:
  void take_all_back();
  void settle_undo(Step& step);
  Status finish_undo();
  void empty(const Step& step);
  void write(Step& step, Outcome outcome, std::string reason);
  bool may_touch(const journal::Intent& intent);
  void add_names_of(const Step& step, const std::string& staging);
  void left(const journal::Intent& intent, std::string why) {
    out_.left.push_back({intent.target, std::move(why)});
    all_settled_ = false;
  }

  const Machinery& machinery_;
  os::FileSystem& fs_;
  journal::Transaction& t_;
  journal::Writer& writer_;
  Recovered& out_;
  Folders to_sync_;
  bool all_settled_ = true;
};

void Settler::write(Step& step, Outcome outcome, std::string reason) {
  Settled s{.index = step.intent->index, .outcome = outcome, .after_id = {}, .after_mtime_ns = 0, .after_size = 0, .digest = step.digest(), .reason = std::move(reason)};
  if (const auto now = fs_.stat(step.intent->target)) {
    s.after_id = now->id;
    s.after_mtime_ns = now->mtime_ns;
    s.after_size = now->size;
  }
  const bool undo = outcome == Outcome::undone || outcome == Outcome::undo_refused;
  (undo ? step.undo_settled : step.settled) = s;
  (void)writer_.append(s);  // a failure shows at the sync in run()
}

/// A root that is not there (a disk not mounted) says nothing about its files, unless it was this transaction that made it.
bool Settler::may_touch(const journal::Intent& intent) {
  if (fs_.stat(intent.target_root, os::Follow::yes)) return true;
  for (const auto& [index, step] : t_.steps) {
    const auto& i = *step.intent;
    if (kind_of(i) == Kind::make_folder && path::is_within(i.target, intent.target_root)) return true;
  }
  left(intent, fmt::format("{} is not there now", printable(intent.target_root)));
  return false;
}

/// The names that a step has made or taken away: what an earlier run did to them may not be on the device.
void Settler::add_names_of(const Step& step, const std::string& staging) {
  const auto& i = *step.intent;
  to_sync_.add_parent_of(i.target);
  to_sync_.add_parent_of(staging);
  const bool from_elsewhere = kind_of(i) == Kind::place && how_of(i) != How::adopt;  // its source is only read
  if (!from_elsewhere) to_sync_.add_parent_of(i.source);
}

void Settler::take_all_back() {
  const bool over = std::ranges::all_of(t_.steps, [](const auto& s) { return s.second.settled.has_value(); });
  for (const auto& [index, step] : t_.steps) add_names_of(step, step.intent->staging);
  if (over) return;  // everything stands; only the last record was lost, or a sync before it
  for (auto& [index, step] : std::ranges::reverse_view(t_.steps)) {
    const auto& i = *step.intent;
    if (!may_touch(i)) continue;
    const auto back = roll_back(fs_, i, step.staged, to_sync_);
    if (!back) {
      left(i, back.error().message);
      continue;
    }
    write(step, back->stays ? Outcome::done : Outcome::rolled_back, back->reason.empty() ? "cut short" : back->reason);
    (back->stays ? out_.finished : out_.rolled_back).push_back(i.target);
  }
  for (const auto& [index, step] : t_.steps) restore_times(fs_, *step.intent);
}

void Settler::settle_undo(Step& step) {
  const auto& i = *step.intent;
  if (!may_touch(i)) return;
  const auto outcome = settle_undo_step(fs_, step, to_sync_);
  if (!outcome) {
    left(i, outcome.error().message);
    return;
  }
  if (*outcome) {
    write(step, Outcome::undone, {});
    out_.finished.push_back(i.target);
  }
}

/// An undo that had begun is finished, as far as the owners of the files have not come in between. Before it touches anything, all of its steps are
/// told to the journal; if one is missing, it had not begun.
Status Settler::finish_undo() {
  // Names that came back count only if the folders above them are on the device too: before any other name of theirs goes.
  for (const auto& [index, step] : t_.steps) {
    if (step.undo_intent) add_names_of(step, step.undo_intent->staging);
  }
  TRY(to_sync_.sync(fs_));
  bool planned = true;
  bool began = false;
  for (auto& [index, step] : t_.steps) {
    if (step.undo_intent && !step.undo_settled) settle_undo(step);
    if (!step.done() || step.emptied) continue;
    planned = planned && (step.undo_intent || step.undo_settled);
    began = began || (step.undo_intent && step.undone());
  }
  if (!all_settled_) return {};
  TRY(to_sync_.sync(fs_));
  std::vector<Step*> going;
  for (auto& [index, step] : t_.steps) {
    if (step.done() && !step.emptied && !step.undo_settled) going.push_back(&step);
  }
  if (!planned && !began) {
    for (Step* step : going) write(*step, Outcome::undo_refused, "the undo had not begun");
    return {};
  }
  for (const Step* step : going) {
    if (!may_touch(*step->intent)) return {};
  }
  if (going.empty()) return {};
  Undone undone;
  const bool whole = TRY(resume_undo(machinery_, t_, writer_, undone));
  out_.finished.insert(out_.finished.end(), undone.restored.begin(), undone.restored.end());
  for (const auto& refused : undone.refused) {
    if (whole) {
      out_.rolled_back.push_back(refused.path);
    } else {
      out_.left.push_back(refused);
    }
  }
  all_settled_ = all_settled_ && whole;
  return {};
}

/// Deleting for good had begun: it is finished.
void Settler::empty(const Step& step) {
  const auto& i = *step.intent;
  if (!may_touch(i)) return;
  const auto now = look(fs_, i.source);
  if (!now) return left(i, now.error().message);
  if (*now && same_inode(i.before.id, (*now)->id)) {
    to_sync_.add_parent_of(i.source);
    if (auto removed = remove_if_there(fs_, i.source); !removed) left(i, removed.error().message);
  }
}

Status Settler::run() {
  const bool was_undo = t_.undo_began;
  if (!t_.was_closed && !was_undo) take_all_back();
  if (was_undo) TRY(finish_undo());
  for (const auto& [index, step] : t_.steps) {
    if (step.emptied) empty(step);
  }
  for (const auto& [index, step] : t_.steps) {
    if (step.undone()) restore_times(fs_, *step.intent);
  }
  if (!to_sync_.sync(fs_)) all_settled_ = false;
  for (const auto& [index, step] : t_.steps) {
    const auto& i = *step.intent;
    remove_own_folders(fs_, i, i.staging, to_sync_);
    if (step.undo_intent) remove_own_folders(fs_, i, step.undo_intent->staging, to_sync_);
  }
  (void)to_sync_.sync(fs_);  // an empty folder of ours at worst
  TRY(writer_.sync());
  if (!all_settled_) return {};
  TRY(writer_.append(t_.closing(machinery_.clock.wall_ns(), !was_undo && !t_.was_closed)));
  return writer_.sync();
}

}  // namespace

Status settle_names(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Recovered& out) {
  return Settler(machinery, t, writer, out).run();
}

}  // namespace mlxcache::change
