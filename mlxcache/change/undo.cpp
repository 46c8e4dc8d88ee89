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

constexpr std::size_t kMaxLocks = 64;

class Undoer {
 public:
  Undoer(const Machinery& machinery, journal::Transaction& t) : machinery_(machinery), fs_(machinery.context.fs), t_(t), locks_(fs_) {}

  Result<Undone> run(const std::string& file, const journal::Contents& contents);

 private:
  Status write_intents();
  void do_all();
  void finish_all();
  void settled(Step& step, Outcome outcome, std::string reason);
  void refuse(Step& step, const std::string& reason);
  Status lock(const Step& step);

  const Machinery& machinery_;
  os::FileSystem& fs_;
  journal::Transaction& t_;
  LockSet locks_;
  std::vector<Step*> steps_;                  // still on their way, newest change first
  std::optional<journal::Writer> journal_;
  Folders to_sync_;
  Undone out_;
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
  (void)journal_->append(s);  // the disk tells, if this is lost
}

void Undoer::refuse(Step& step, const std::string& reason) {
  settled(step, Outcome::undo_refused, reason);
  out_.refused.push_back({step.intent->target, reason});
}

Status Undoer::write_intents() {
  Places places(fs_, t_.begin.id);
  std::vector<Step*> going;
  for (Step* step : steps_) {
    auto planned = plan_undo_step(fs_, places, *step);
    if (!planned) {
      refuse(*step, planned.error().message);
      continue;
    }
    TRY(journal_->append(*planned));
    step->undo_intent = *planned;
    step->undo_staged.reset();
    step->undo_settled.reset();
    going.push_back(step);
  }
  steps_ = std::move(going);
  return journal_->sync();
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
  for (Step* step : steps_) {
    machinery_.progress.item(step->intent->target);
    auto done = lock(*step);
    if (done) done = undo_step(fs_, *step, to_sync_);
    if (done) {
      going.push_back(step);
      continue;
    }
    // Whatever it had begun is put back now; else recover() does it.
    const auto undone = settle_undo_step(fs_, *step, to_sync_);
    if (!undone) {
      stuck_ = true;
      out_.refused.push_back({step->intent->target, done.error().message});
    } else {
      refuse(*step, done.error().message);
    }
  }
  steps_ = std::move(going);
}

void Undoer::finish_all() {
  if (auto synced = to_sync_.sync(fs_); !synced) {
    for (Step* step : steps_) out_.refused.push_back({step->intent->target, synced.error().message});
    stuck_ = true;
    return;
  }
  for (Step* step : steps_) {
    std::string note;
    if (auto finished = finish_undo_step(fs_, *step, to_sync_, note); !finished) {
      stuck_ = true;
      out_.refused.push_back({step->intent->target, finished.error().message});
      continue;
    }
    if (!note.empty() && !out_.refused.empty()) {
      // What keeps the folder may be of ours: the next undo looks again.
      refuse(*step, note);
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

Result<Undone> Undoer::run(const std::string& file, const journal::Contents& contents) {
  const bool was_recovered = t_.closed->state == journal::State::recovered;
  for (auto& [index, step] : std::ranges::reverse_view(t_.steps)) {
    if (step.done() && !step.undone() && !step.emptied) steps_.push_back(&step);
  }
  if (machinery_.cancel != nullptr && machinery_.cancel->requested()) return fail(Code::cancelled, "stopped before anything was changed");
  journal_.emplace(TRY(journal::Writer::reopen(fs_, file, contents)));
  TRY(journal_->append(journal::UndoBegin{.time_ns = machinery_.clock.wall_ns()}));
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
  if (stuck_) {
    (void)journal_->flush();
  } else if (journal_->append(t_.closing(machinery_.clock.wall_ns(), was_recovered))) {
    (void)journal_->sync();
  }
  return std::move(out_);
}

}  // namespace

Result<Undone> undo_names(const Machinery& machinery, journal::Transaction& t, const std::string& file, const journal::Contents& contents) {
  return Undoer(machinery, t).run(file, contents);
}

}  // namespace mlxcache::change
