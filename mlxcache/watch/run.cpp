#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/watch/folders.h"
#include "mlxcache/watch/pass.h"
#include "mlxcache/watch/schedule.h"
#include "mlxcache/watch/watch.h"

namespace mlxcache::watch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kFirstSinceNs = 86'400 * kSecond;
constexpr std::int64_t kLookAroundNs = 600 * kSecond;  // for stores that were not there yet, and folders that were made unseen
constexpr std::size_t kMostFolders = 1U << 16U;        // asked of the watch, which has its own limit
constexpr std::size_t kMostTold = 4096;
constexpr int kLockTries = 5;                          // `status` holds the lock for a moment when it asks

class Watcher {
 public:
  Watcher(const Machine& machine, const Settings& settings)
      : m_(machine), settings_(settings), budget_(settings.max_read, 0, 0), schedule_(settings.quiet_ns) {}

  Result<Outcome> run();

 private:
  std::int64_t now() { return m_.clock.wall_ns(); }
  bool cancelled() const { return m_.cancel.requested(); }
  Status begin();
  Status look_once();
  Status keep_watching();
  bool may_work();
  void take_over(Pass pass);
  bool only_waits();
  bool nothing_ready();
  void look_around();
  void watch_below(const std::vector<catalog::Root>& roots);
  void hear(const mlxbase::os::FolderChanges& heard);
  Status look();
  Status save();
  void tell(Event event) { m_.tell(event); }
  void tell_once(const std::string& key, Event event);

  const Machine& m_;
  const Settings& settings_;
  std::unique_ptr<mlxbase::os::Lock> lock_;
  Budget budget_;
  Schedule schedule_;
  State state_;
  std::vector<Waiting> waiting_;
  std::vector<catalog::Root> roots_;
  std::vector<dedup::Action> actions_;
  std::set<std::string> told_;
  bool polling_ = false;
  Settled settled_;                       // by the last whole look
  std::vector<catalog::Root> changed_;    // stores in which something changed since
  bool all_changed_ = true;               // something else may have
  std::int64_t around_ns_ = 0;
};

Status Watcher::save() {
  if (settings_.dry_run) return {};
  state_.waiting_files = waiting_.size();
  state_.waiting.assign(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kMostWaiting)));
  state_.budget_used = budget_.used(now());
  state_.budget_as_of_ns = budget_.as_of_ns();
  return write_state(m_.context.fs, m_.home, state_);
}

void Watcher::tell_once(const std::string& key, Event event) {
  if (told_.size() >= kMostTold) told_.clear();
  if (told_.insert(key).second) tell(std::move(event));
}

Status Watcher::begin() {
  auto known = read_state(m_.context.fs, m_.home);
  if (known) {
    state_ = std::move(*known);
  } else if (known.error().code != Code::not_found) {
    // It holds nothing that cannot be found again; a watcher that does not start helps nobody.
    tell({.name = "warning", .text = fmt::format("begins anew: {}", printable(known.error().message)), .words = {{"message", known.error().message}}, .numbers = {}});
  }
  const std::int64_t t = now();
  if (settings_.since_ns) {
    state_.since_ns = t - *settings_.since_ns;
  } else if (state_.since_ns <= 0 || state_.since_ns > t) {
    state_.since_ns = t - kFirstSinceNs;
  }
  budget_ = Budget(settings_.max_read, state_.budget_used, state_.budget_as_of_ns);
  state_.budget_bytes = settings_.max_read ? settings_.max_read->bytes : 0;
  state_.budget_per_ns = settings_.max_read ? settings_.max_read->per_ns : 0;
  state_.pid = m_.pid;
  state_.started_at_ns = t;
  state_.ended_at_ns = 0;
  state_.once = settings_.once;
  state_.way.clear();
  state_.way_reason.clear();
  state_.folders = 0;
  state_.held_back.clear();
  state_.error.clear();
  return save();
}

bool Watcher::may_work() {
  if (settings_.only_on_power && m_.on_battery().value_or(false)) {
    if (state_.held_back != "battery") {
      state_.held_back = "battery";
      tell({.name = "waits", .text = "waits: this machine runs from its battery", .words = {{"for", "power"}}, .numbers = {}});
    }
    return false;
  }
  if (state_.held_back == "battery") state_.held_back.clear();
  return true;
}

void Watcher::take_over(Pass pass) {
  state_.looked_at_ns = pass.ended_ns;
  state_.look_took_ns = pass.ended_ns - pass.began_ns;
  state_.since_ns = pass.since_ns;
  ++state_.looks;
  state_.held_back.clear();
  state_.error.clear();
  waiting_ = std::move(pass.waiting);
  roots_ = std::move(pass.roots);
  settled_ = std::move(pass.settled);
  changed_.clear();
  all_changed_ = pass.cancelled;
  if (!pass.transaction.empty() && !pass.actions.empty()) {
    state_.files += pass.actions.size();
    state_.bytes_freed += pass.bytes_freed;
    ++state_.transactions;
    state_.last_transaction = pass.transaction;
    state_.last_shared_at_ns = pass.ended_ns;
    (void)save();  // whoever hears of it may ask `status`; the look's own save() reports a failure
  }
  for (const Waiting& w : waiting_) {
    tell_once("waiting\n" + w.path + "\n" + std::string(to_string(w.why)),
              {.name = "waiting", .text = fmt::format("waiting: {}: {}", printable(w.path), to_string(w.why)), .words = {{"path", w.path}, {"reason", std::string(to_string(w.why))}}, .numbers = {}});
  }
  for (const dedup::Skipped& s : pass.left) {
    tell_once("left\n" + s.path + "\n" + s.reason,
              {.name = "left", .text = fmt::format("left alone: {}: {}", printable(s.path), printable(s.reason)), .words = {{"path", s.path}, {"reason", s.reason}}, .numbers = {}});
  }
  const bool planned = settings_.dry_run;
  for (const dedup::Action& a : pass.actions) {
    Event event{.name = planned ? "would_share" : "shared",
                .text = fmt::format("{}: {} with {} ({}, frees {})", planned ? "would share" : "shared", printable(a.target), printable(a.source), dedup::to_string(a.method), format_bytes(a.bytes)),
                .words = {{"path", a.target}, {"source", a.source}, {"method", std::string(dedup::to_string(a.method))}},
                .numbers = {{"size", a.size}, {"bytes_freed", a.bytes}}};
    if (!planned) event.words.emplace_back("transaction", pass.transaction);
    if (planned) {
      tell_once("would\n" + a.target, std::move(event));
    } else {
      tell(std::move(event));
    }
  }
  if (!pass.transaction.empty() && !pass.actions.empty()) {
    tell({.name = "done", .text = fmt::format("{} freed; to take it back: mlxcache undo {}", format_bytes(pass.bytes_freed), pass.transaction),
          .words = {{"transaction", pass.transaction}}, .numbers = {{"files", pass.actions.size()}, {"bytes_freed", pass.bytes_freed}, {"bytes_read", pass.bytes_read}}});
  }
  actions_ = std::move(pass.actions);
}

Status Watcher::look() {
  auto pass = look_and_share(m_, settings_, state_.since_ns, budget_);
  if (!pass) {
    if (pass.error().code == Code::busy && state_.held_back != "busy") {
      state_.held_back = "busy";
      tell({.name = "waits", .text = "waits: another mlxcache is at work", .words = {{"for", "mlxcache"}}, .numbers = {}});
    }
    return fail(pass.error());
  }
  const bool cut = pass->cancelled;
  take_over(std::move(*pass));
  if (cut) return fail(Code::cancelled, "cancelled");
  return {};
}

Status Watcher::look_once() {
  if (!may_work()) return save();
  for (;;) {
    auto looked = look();
    if (looked) return save();
    if (looked.error().code == Code::busy && !cancelled()) {
      constexpr std::int64_t kAgainNs = kSecond;
      (void)TRY(m_.folders.wait(kAgainNs, m_.cancel));
      if (!cancelled()) continue;
    }
    if (looked.error().code != Code::cancelled && looked.error().code != Code::busy) {
      state_.error = looked.error().message;
      state_.error_at_ns = now();
      (void)save();
      return looked;
    }
    return save();
  }
}

void Watcher::watch_below(const std::vector<catalog::Root>& roots) {
  std::string why;
  for (const std::string& folder : folders_below(m_.context.fs, roots, kMostFolders, m_.cancel)) {
    if (m_.folders.watches(folder)) continue;
    const auto added = m_.folders.add(folder);
    if (added || added.error().code == Code::not_found) continue;  // gone again
    if (added.error().code == Code::permission) continue;          // nor can it be listed: the scan has told
    why = added.error().message;
    break;
  }
  const bool polling = !why.empty();
  if (polling != polling_ || state_.way.empty()) {
    polling_ = polling;
    state_.way = polling ? "polling" : "events";
    state_.way_reason = why;
    if (polling) {
      tell({.name = "polling", .text = fmt::format("looks every minute, since not every folder can be watched: {}", printable(why)), .words = {{"reason", why}},
            .numbers = {{"folders", m_.folders.size()}}});
    }
  }
  state_.folders = m_.folders.size();
}

/// Stores may have come that were not there; folders may have been made before their parent was watched.
void Watcher::look_around() {
  std::vector<catalog::Root> roots = stores::discover_all(m_.context, settings_.extra_roots);
  const bool another = std::any_of(roots.begin(), roots.end(), [&](const catalog::Root& root) { return std::find(roots_.begin(), roots_.end(), root) == roots_.end(); });
  const std::size_t before = m_.folders.size();
  watch_below(roots);
  // What lies in folders that nobody watched until now may have come unseen.
  if (another || m_.folders.size() > before) {
    all_changed_ = true;
    schedule_.changed(now());
  }
  roots_ = std::move(roots);
  around_ns_ = now();
}

/// The look that is due is for files that were not quiet or in use: when all of them still are, there is no need for it.
bool Watcher::only_waits() {
  const std::int64_t t = now();
  bool any = false;
  for (Waiting& w : waiting_) {
    if (w.until_ns == 0 || w.until_ns > t) continue;
    const auto stat = m_.context.fs.stat(w.path);
    const bool grows = w.why == Why::quiet && stat && stat->ctime_ns > t - settings_.quiet_ns && stat->ctime_ns <= t;
    if (grows) {
      w.until_ns = stat->ctime_ns + settings_.quiet_ns;
      any = true;
    } else {
      return false;
    }
  }
  return any;
}

/// Something changed in a few stores: listing these alone mostly tells that nothing is finished yet. Twins may be anywhere, so for a file that is ready
/// all stores are looked at.
bool Watcher::nothing_ready() {
  if (all_changed_ || polling_ || changed_.empty()) return false;
  const std::int64_t t = now();
  const auto changed_here = [&](const std::string& path) {
    return std::any_of(changed_.begin(), changed_.end(), [&](const catalog::Root& root) { return mlxbase::path::is_within(root.path, path); });
  };
  for (const Waiting& w : waiting_) {
    if (!changed_here(w.path) && w.until_ns != 0 && w.until_ns <= t) return false;
  }
  watch_below(changed_);  // before they are listed: what comes later is told of
  News news = look_at_stores(m_, settings_, state_.since_ns, changed_, roots_, settled_);
  if (!news.ready.empty() || cancelled()) return false;
  std::erase_if(waiting_, [&](const Waiting& w) { return changed_here(w.path); });
  waiting_.insert(waiting_.end(), news.waiting.begin(), news.waiting.end());
  changed_.clear();
  return true;
}

void Watcher::hear(const mlxbase::os::FolderChanges& heard) {
  bool news = heard.lost;
  all_changed_ = all_changed_ || heard.lost;
  for (const auto& change : heard.changes) {
    if (!is_news(change.name)) continue;
    news = true;
    const auto root = std::find_if(roots_.begin(), roots_.end(), [&](const catalog::Root& r) { return mlxbase::path::is_within(r.path, change.folder); });
    if (root == roots_.end()) {
      all_changed_ = true;
      continue;
    }
    // A store inside another: both.
    for (const catalog::Root& r : roots_) {
      if (mlxbase::path::is_within(r.path, change.folder) && std::find(changed_.begin(), changed_.end(), r) == changed_.end()) changed_.push_back(r);
    }
  }
  if (news) schedule_.changed(now());
}

Status Watcher::keep_watching() {
  // The watch begins before the first look, so that nothing comes unseen between the two.
  roots_ = stores::discover_all(m_.context, settings_.extra_roots);
  watch_below(roots_);
  around_ns_ = now();
  tell({.name = "started", .text = fmt::format("watches {} folders of {} stores", state_.folders, roots_.size()), .words = {{"way", state_.way}},
        .numbers = {{"pid", static_cast<std::uint64_t>(m_.pid)}, {"folders", state_.folders}, {"stores", roots_.size()}}});
  TRY(save());
  std::int64_t last = now();
  while (!cancelled()) {
    std::int64_t t = now();
    if (t < last - 60 * kSecond) {  // the clock was set back: what was due then may be far away now
      schedule_ = Schedule(settings_.quiet_ns);
      around_ns_ = t;
    }
    last = t;
    if (schedule_.due_ns() <= t) {
      const std::string held_before = state_.held_back;
      if (!may_work()) {
        schedule_.held_back(t);
        if (state_.held_back != held_before) TRY(save());  // a sleeping disk is not woken every minute
      } else if (!schedule_.changes_due(t) && only_waits()) {
        schedule_.waited(t, waiting_);
      } else if (schedule_.changes_due(t) && nothing_ready()) {
        schedule_.looked(t, now(), waiting_, polling_);
        TRY(save());
      } else {
        const std::int64_t began = t;
        auto looked = look();
        if (cancelled()) break;
        if (looked) {
          schedule_.looked(began, now(), waiting_, polling_);
          look_around();
        } else {
          const bool busy = looked.error().code == Code::busy;
          if (!busy) {
            state_.error = looked.error().message;
            state_.error_at_ns = now();
            tell({.name = "error", .text = fmt::format("could not look: {}", printable(state_.error)), .words = {{"message", state_.error}}, .numbers = {}});
          }
          schedule_.failed(now(), busy);
        }
        if (auto saved = save(); !saved) tell({.name = "error", .text = printable(saved.error().message), .words = {{"message", saved.error().message}}, .numbers = {}});
        if (m_.resting) m_.resting();
      }
      continue;
    }
    if (t - around_ns_ >= kLookAroundNs) {
      look_around();
      continue;
    }
    const std::int64_t until = std::min(schedule_.due_ns(), around_ns_ + kLookAroundNs);
    hear(TRY(m_.folders.wait(until - t, m_.cancel)));
  }
  return {};
}

Result<Outcome> Watcher::run() {
  if (!settings_.dry_run) {
    for (int tries = 1; !lock_; ++tries) {
      auto lock = lock_watcher(m_.context.fs, m_.home);
      if (lock) {
        lock_ = std::move(*lock);
      } else if (lock.error().code != Code::busy || tries == kLockTries || cancelled()) {
        return fail(lock.error());
      } else {
        (void)TRY(m_.folders.wait(kSecond / 20, m_.cancel));
      }
    }
  }
  TRY(begin());
  const auto ended = settings_.once ? look_once() : keep_watching();
  state_.ended_at_ns = now();
  const auto saved = save();
  if (!settings_.once) tell({.name = "stopped", .text = "stopped", .words = {}, .numbers = {{"pid", static_cast<std::uint64_t>(m_.pid)}}});
  TRY(ended);
  TRY(saved);
  Outcome out{.state = std::move(state_), .actions = std::move(actions_), .cancelled = cancelled()};
  return out;
}

}  // namespace

Result<Outcome> run(const Machine& machine, const Settings& settings) { return Watcher(machine, settings).run(); }

}  // namespace mlxcache::watch
