#include "mlxcache/change/undo.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/undo_step.h"

namespace mlxcache::change {
namespace {

using journal::Outcome;
using journal::Settled;
using journal::Step;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
using mlxbase::printable;

constexpr std::size_t kMaxLocks = 64;

class Undoer {
 public:
  Undoer(const Machinery& machinery, journal::Transaction& t, journal::Writer& journal, Undone& out, bool resumed)
      : machinery_(machinery), fs_(machinery.context.fs), t_(t), journal_(journal), out_(out), resumed_(resumed), locks_(fs_) {}

  /// False if something is left for recover().
  Result<bool> run();

 private:
  Status write_intents();
  Result<std::optional<journal::UndoIntent>> plan(Step& step, Places& places);
  void do_all();
  void finish_all();
  void settled(Step& step, Outcome outcome, std::string reason);
  void refuse(Step& step, const std::string& reason);
  void leave(const Step& step, const std::string& reason);
  Status lock(const Step& step);

  const Machinery& machinery_;
  os::FileSystem& fs_;
  journal::Transaction& t_;
  journal::Writer& journal_;
  Undone& out_;
  bool resumed_;                              // by recover(): what fails now is tried again by the next one
  LockSet locks_;
  std::vector<Step*> steps_;                  // still on their way, newest change first
  Folders to_sync_;
  bool stuck_ = false;
};

void Undoer::settled(Step& step, Outcome outcome, std::string reason) {
  Settled s{.index = step.intent->index, .outcome = outcome, .after_id = {}, .after_mtime_ns = 0, .after_size = 0, .digest = {}, .reason = std::move(reason)};
  if (const auto now = fs_.stat(step.intent->target)) {
    s.after_id = now->id;
    s.after_mtime_ns = now->mtime_ns;
    s.after_size = now->size;
  }
  step.undo_settled = s;
  (void)journal_.append(s);  // the disk tells, if this is lost
}

void Undoer::refuse(Step& step, const std::string& reason) {
  settled(step, Outcome::undo_refused, reason);
  out_.refused.push_back({step.intent->target, reason});
}

void Undoer::leave(const Step& step, const std::string& reason) {
  stuck_ = true;
  out_.refused.push_back({step.intent->target, reason});
}

/// Nothing if it is refused: its owner has the last word on one file. A call that failed says nothing about the file, and so ends all of it.
Result<std::optional<journal::UndoIntent>> Undoer::plan(Step& step, Places& places) {
  auto planned = plan_undo_step(fs_, places, step);
  if (planned) return std::optional(*planned);
  if (planned.error().os_errno != 0 && planned.error().code != Code::busy) return fail(planned.error());
  refuse(step, planned.error().message);
  return std::nullopt;
}

/// Nothing is touched before all of them are on the device: recover() then goes on to the end, and without one of them it begins nothing.
Status Undoer::write_intents() {
  Places places(fs_, t_.begin.id);
  std::vector<Step*> going;
  for (Step* step : steps_) {
    const auto planned = TRY(plan(*step, places));
    if (!planned) continue;
    TRY(journal_.append(*planned));
    step->undo_intent = *planned;
    step->undo_staged.reset();
    step->undo_settled.reset();
    going.push_back(step);
  }
  steps_ = std::move(going);
  return journal_.sync();
}

Status Undoer::lock(const Step& step) {
  const auto& i = *step.intent;
  os::FileStat stat;
  stat.kind = i.before.kind;
  stat.id = i.before.id;
  stat.size = i.size;
  if (locks_.size() >= kMaxLocks) locks_.clear();
  return locks_.take(root_of(i), i.target, stat);
}

void Undoer::do_all() {
  std::vector<Step*> going;
  std::string ended;  // by what
  for (Step* step : steps_) {
    if (!ended.empty()) {
      if (!resumed_) refuse(*step, ended);
      continue;
    }
    machinery_.progress.item(step->intent->target);
    auto done = lock(*step);
    if (done) done = undo_step(fs_, *step, to_sync_);
    if (done) {
      going.push_back(step);
      continue;
    }
    // Whatever it had begun is put back now; else recover() does it.
    const auto undone = settle_undo_step(fs_, *step, to_sync_);
    if (undone && *undone) {
      going.push_back(step);
      continue;
    }
    // A payload that is not there again must not get a name, and one must not lose its bytes before its name.
    ended = fmt::format("not tried, since {} could not be taken back; undo it again", printable(step->intent->target));
    if (undone && !resumed_) {
      refuse(*step, done.error().message);
    } else {
      leave(*step, done.error().message);
    }
  }
  steps_ = std::move(going);
}

void Undoer::finish_all() {
  if (auto synced = to_sync_.sync(fs_); !synced) {
    for (const Step* step : steps_) leave(*step, synced.error().message);
    return;
  }
  for (Step* step : steps_) {
    std::string note;
    if (auto finished = finish_undo_step(fs_, *step, to_sync_, note); !finished) {
      leave(*step, finished.error().message);
      continue;
    }
    if (!note.empty() && !out_.refused.empty()) {
      // What keeps the folder may be of ours: the next undo looks again.
      if (stuck_) {
        leave(*step, note);
      } else {
        refuse(*step, note);
      }
      continue;
    }
    settled(*step, Outcome::undone, {});
    out_.restored.push_back(step->intent->target);
    if (!note.empty()) out_.notes.push_back({step->intent->target, note});
  }
  for (Step* step : steps_) {
    if (step->undone()) restore_times(fs_, *step->intent);
  }
  if (!to_sync_.sync(fs_)) stuck_ = true;
}

Result<bool> Undoer::run() {
  for (auto& [index, step] : std::ranges::reverse_view(t_.steps)) {
    if (step.done() && !step.undone() && !step.emptied && !step.undo_settled) steps_.push_back(&step);
  }
  TRY(write_intents());
  machinery_.progress.stage("restoring", 0, false);
  do_all();
  finish_all();
  locks_.clear();
  for (const auto& [index, step] : t_.steps) {
    const auto& i = *step.intent;
    remove_own_folders(fs_, i, step.undo_intent ? step.undo_intent->staging : std::string(), to_sync_);
  }
  (void)to_sync_.sync(fs_);  // an empty folder of ours at worst
  return !stuck_;
}

}  // namespace

Result<Undone> undo_names(const Machinery& machinery, journal::Transaction& t, const std::string& file, const journal::Contents& contents) {
  if (machinery.cancel != nullptr && machinery.cancel->requested()) return fail(Code::cancelled, "stopped before anything was changed");
  const bool was_recovered = t.closed->state == journal::State::recovered;
  auto journal = TRY(journal::Writer::reopen(machinery.context.fs, file, contents));
  TRY(journal.append(journal::UndoBegin{.time_ns = machinery.clock.wall_ns()}));
  // As the journal's reader has it: a refusal of an earlier undo is void.
  for (auto& [index, step] : t.steps) {
    if (!step.undone()) step.undo_settled.reset();
  }
  Undone out;
  const auto whole = Undoer(machinery, t, journal, out, false).run();
  if (whole && !*whole) {
    (void)journal.flush();
    return out;
  }
  // At rest again, also where nothing could be begun.
  if (journal.append(t.closing(machinery.clock.wall_ns(), was_recovered))) (void)journal.sync();
  if (!whole) return fail(whole.error());
  return out;
}

Result<bool> resume_undo(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Undone& out) {
  return Undoer(machinery, t, writer, out, true).run();
}

}  // namespace mlxcache::change
