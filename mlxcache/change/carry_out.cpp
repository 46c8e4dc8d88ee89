#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <ranges>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/change.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/change/work.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {
namespace {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

constexpr std::size_t kMaxLocks = 64;  // each keeps a descriptor open; macOS gives 256

class Carrier {
 public:
  Carrier(const Machinery& machinery, const Plan& plan)
      : machinery_(machinery), fs_(machinery.context.fs), plan_(plan), locks_(fs_) {}

  Result<Done> run();

 private:
  Status prepare(Places& places);
  Status begin_journal();
  Status write_intents();
  Status stage_all(Places& places);
  Status carry_all();
  Status finish_all();
  Status lock(const Work& work);
  Status one(Work& work, const Status& result);
  Error take_back(Error why);
  void roll_back_one(Work& work);
  bool others_need(const Work& work) const;
  void drop_folders();
  void settle_and_close();
  bool cancelled() const { return machinery_.cancel != nullptr && machinery_.cancel->requested(); }

  const Machinery& machinery_;
  os::FileSystem& fs_;
  const Plan& plan_;
  LockSet locks_;
  std::string id_;
  std::int64_t began_ns_ = 0;
  std::vector<Work> works_;
  std::optional<journal::Writer> journal_;
  Folders to_sync_;
  Done out_;
  std::string others_at_;  // the root in which another program was found at work
  bool stuck_ = false;
};

Status Carrier::prepare(Places& places) {
  Preparation preparation(machinery_, places);
  for (const auto& change : plan_.changes) {
    if (auto added = preparation.add(change); !added) {
      if (plan_.whole) return added;
      out_.skipped.push_back({change.path, added.error().message});
    }
  }
  works_ = preparation.take();
  return {};
}

Status Carrier::begin_journal() {
  const std::string command = machinery_.command.empty() ? "change" : machinery_.command;
  const journal::Begin begin{.id = id_, .time_ns = began_ns_, .command = command, .version = std::string(kProgramVersion)};
  auto writer = journal::Writer::create(fs_, machinery_.home, begin);
  if (!writer) {
    // Even a removal needs this much: whoever cleans up a full disk is told how.
    const bool full = writer.error().code == Code::out_of_space;
    return fail(Error{writer.error().code, fmt::format("the journal cannot be written, so nothing was changed: {}{}", writer.error().message,
                                                       full ? "; delete some small file first, or let MLXCACHE_HOME name a folder on another disk" : ""),
                      writer.error().os_errno});
  }
  journal_.emplace(std::move(*writer));
  return {};
}

Status Carrier::write_intents() {
  for (const auto& w : works_) TRY(journal_->append(w.intent));
  return journal_->sync();
}

/// What a failure of one change means for all: with `whole` it ends here, else the change is left out.
Status Carrier::one(Work& work, const Status& result) {
  if (result) return {};
  if (plan_.whole) return result;
  work.failed = result.error();
  roll_back_one(work);
  return {};
}

Status Carrier::stage_all(Places& places) {
  for (auto& w : works_) {
    if (cancelled()) return fail(Code::cancelled, "stopped; nothing was changed");
    const auto staged = stage(machinery_, places, *journal_, w, to_sync_);
    // A folder that was not there a moment ago: then it is not ours to remove either.
    if (!staged && kind_of(w.intent) == Kind::make_folder && staged.error().os_errno == EEXIST) others_at_ = w.intent.target_root;
    TRY(one(w, staged));
  }
  // The second names in the trash, before the first ones go.
  TRY(to_sync_.sync(fs_));
  for (const auto& w : works_) {
    if (w.staged && !w.failed) TRY(journal_->append(*w.staged));
  }
  return journal_->sync();
}

Status Carrier::lock(const Work& work) {
  os::FileStat stat;
  stat.kind = work.intent.before.kind;
  stat.id = work.intent.before.id;
  stat.size = work.intent.size;
  if (locks_.size() >= kMaxLocks) locks_.clear();
  return locks_.take(work.change.root, work.intent.target, stat);
}

Status Carrier::carry_all() {
  if (cancelled()) return fail(Code::cancelled, "stopped; nothing was changed");
  for (auto& w : works_) {
    if (w.failed) continue;
    auto carried = lock(w);
    if (carried) carried = carry(fs_, w);
    if (!carried && (carried.error().os_errno == EEXIST || carried.error().code == Code::busy)) others_at_ = w.intent.target_root;
    TRY(one(w, carried));
    to_sync_.add_parent_of(w.intent.target);
  }
  return to_sync_.sync(fs_);
}

Status Carrier::finish_all() {
  for (auto& w : works_) {
    if (w.failed) continue;
    TRY(one(w, finish(fs_, w, to_sync_)));
  }
  return to_sync_.sync(fs_);
}

/// Who works in the same store has seen the folders that we have made, and is about to put something into them: one that goes now
/// makes that program fail. An empty one harms nobody.
bool Carrier::others_need(const Work& work) const {
  return !others_at_.empty() && kind_of(work.intent) == Kind::make_folder && path::is_within(others_at_, work.intent.target);
}

void Carrier::roll_back_one(Work& work) {
  if (others_need(work)) return;
  const auto back = roll_back(fs_, work.intent, work.staged, to_sync_);
  if (!back) {
    stuck_ = true;
    work.failed = back.error();
  } else if (back->stays) {
    work.failed.reset();
  }
}

/// Everything back, last change first. What cannot be put back at once stays open in the journal for recover().
Error Carrier::take_back(Error why) {
  for (auto& w : std::ranges::reverse_view(works_)) {
    if (!w.failed) w.failed = why;
    roll_back_one(w);
  }
  for (const auto& w : works_) restore_times(fs_, w.intent);
  if (!to_sync_.sync(fs_)) stuck_ = true;
  settle_and_close();
  if (stuck_) why.message += "; taking back what was done failed in part: `mlxcache recover` will try again";
  return why;
}

void Carrier::drop_folders() {
  for (const auto& w : works_) remove_own_folders(fs_, w.intent, w.intent.staging, to_sync_);
  (void)to_sync_.sync(fs_);  // an empty folder of ours at worst
}

/// The end of the transaction in one write: until it is on the device, recover() would take all of it back.
void Carrier::settle_and_close() {
  drop_folders();
  if (stuck_) {
    (void)journal_->flush();
    return;
  }
  std::uint64_t actions = 0;
  for (const auto& w : works_) {
    const bool done = !w.failed && !w.left;
    journal::Settled s{.index = w.intent.index, .outcome = done ? journal::Outcome::done : journal::Outcome::rolled_back, .after_id = {}, .after_mtime_ns = 0,
                       .after_size = 0, .digest = w.intent.digest, .reason = w.failed ? w.failed->message : w.left ? "it is not empty" : ""};
    if (done) {
      s.after_id = w.after.id;
      s.after_mtime_ns = w.after.mtime_ns;
      s.after_size = w.after.size;
      ++actions;
      if (kind_of(w.intent) == Kind::remove) out_.bytes_freed += w.intent.bytes;
    }
    if (!journal_->append(s)) return;
  }
  const journal::Closed closed{.state = journal::State::complete, .time_ns = machinery_.clock.wall_ns(), .actions = actions, .bytes_freed = out_.bytes_freed};
  if (journal_->append(closed)) (void)journal_->sync();
}

Result<Done> Carrier::run() {
  if (plan_.changes.empty()) return std::move(out_);
  if (cancelled()) return fail(Code::cancelled, "stopped before anything was changed");
  const auto home_lock = TRY(lock_home(fs_, machinery_.home));
  TRY(recover_locked(machinery_));
  do {
    began_ns_ = machinery_.clock.wall_ns();
    id_ = new_transaction_id(began_ns_);
  } while (fs_.stat(journal::file_of(machinery_.home, id_)));
  Places places(fs_, id_);
  TRY(prepare(places));
  if (works_.empty()) return std::move(out_);
  TRY(begin_journal());
  std::uint64_t total = 0;
  for (const auto& w : works_) total += w.intent.size;
  machinery_.progress.stage("changing", total, true);

  const auto all = [&]() -> Status {
    TRY(write_intents());
    TRY(stage_all(places));
    TRY(carry_all());
    return finish_all();
  };
  if (auto done = all(); !done) return fail(take_back(done.error()));
  settle_and_close();
  locks_.clear();

  out_.transaction = id_;
  for (auto& w : works_) {
    if (w.failed || w.left) {
      out_.skipped.push_back({w.intent.target, w.failed ? w.failed->message : "it is not empty"});
    } else {
      out_.done.push_back(std::move(w.change));
    }
  }
  return std::move(out_);
}

}  // namespace

Result<Done> carry_out(const Machinery& machinery, const Plan& plan) { return Carrier(machinery, plan).run(); }

}  // namespace mlxcache::change
