#include "mlxdash/collect/board.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace mlxdash::collect {
namespace {

using mlxbase::Code;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kBackOffMs[] = {1000, 2000, 5000, 15'000, 60'000};
constexpr std::int64_t kAskUnsupportedAgainMs = 60'000;
constexpr std::int64_t kShareOfCost = 20;  // a look may take a twentieth of a core
constexpr std::int64_t kLateMs = 3000;     // beyond its period, then its values are no longer true
constexpr int kWaitForLaneMs = 300;

/// Processor time of this thread: waiting for an answer costs nothing.
std::int64_t spent_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

struct Board::State {
  struct Entry {
    const Row* row = nullptr;
    std::unique_ptr<Looker> looker;
    // Guarded by `mutex`.
    std::int64_t due_ns = 0, read_ns = 0, began_ns = 0;  // began_ns != 0: it looks now
    std::uint32_t looks = 0;
    std::size_t failures = 0;
    SourceState state = SourceState::waiting;
    std::string message;
    double cost = 0;
    bool cleared = false;
  };

  explicit State(const Parts& p, BoardOptions o) : parts(p), options(std::move(o)) {}

  std::int64_t period_ms(const Entry& e) const { return e.row->period_ms != 0 ? e.row->period_ms : options.interval_ms; }

  /// Looks with one source and puts the result on the board.
  void look(Entry& e) {
    const Moment now{.wall_ns = parts.clock.wall_ns(), .steady_ns = parts.clock.steady_ns()};
    {
      const std::lock_guard lock(mutex);
      e.began_ns = now.steady_ns;
    }
    if (e.looker == nullptr) e.looker = e.row->make(parts);
    const std::int64_t before = spent_ns();
    auto seen = e.looker->look(now);
    const std::int64_t end = parts.clock.steady_ns();
    const std::int64_t cost = spent_ns() - before;
    const std::lock_guard lock(mutex);
    e.began_ns = 0;
    ++e.looks;
    e.cost = static_cast<double>(cost) / 1e9;
    std::int64_t wait_ms = std::max(period_ms(e), kShareOfCost * cost / kMs);
    if (seen) {
      (*seen)(board);
      e.state = SourceState::ok;
      e.message.clear();
      e.failures = 0;
      e.read_ns = end;
      e.cleared = false;
    } else {
      e.row->clear(board, absent_of(seen.error().code));
      const bool unsupported = seen.error().code == Code::unsupported || seen.error().code == Code::permission;
      e.state = seen.error().code == Code::unsupported ? SourceState::none : SourceState::failed;
      e.message = std::move(seen.error().message);
      wait_ms = std::max(wait_ms, unsupported ? kAskUnsupportedAgainMs : kBackOffMs[std::min(e.failures, std::size(kBackOffMs) - 1)]);
      ++e.failures;
    }
    board.wall_ns = now.wall_ns;
    // Kept in step with the clock, so that one waking serves all sources of a lane.
    e.due_ns += wait_ms * kMs;
    if (e.due_ns <= end) e.due_ns = end + wait_ms * kMs;
    changed.notify_all();
  }

  void run(Lane lane) {
    for (;;) {
      Entry* next = nullptr;
      {
        std::unique_lock lock(mutex);
        for (Entry& e : entries) {
          if (e.row->lane == lane && (next == nullptr || e.due_ns < next->due_ns)) next = &e;
        }
        const auto stop = [&] { return stopping; };
        if (next == nullptr || stopping) break;
        if (paused) {
          changed.wait(lock, [&] { return stopping || !paused; });
          continue;
        }
        const std::int64_t wait = next->due_ns - parts.clock.steady_ns();
        if (wait > 0) {
          woken.wait_for(lock, std::chrono::nanoseconds(wait), stop);
          continue;
        }
      }
      look(*next);
    }
    const std::lock_guard lock(mutex);
    --running;
    changed.notify_all();
  }

  /// Takes out what is too old. Called with the lock held.
  void age(std::int64_t now) {
    for (Entry& e : entries) {
      if (e.state != SourceState::ok && e.state != SourceState::late) continue;
      const std::int64_t limit = (period_ms(e) + kLateMs) * kMs + static_cast<std::int64_t>(e.cost * 1e9) * kShareOfCost;
      if (now - std::max(e.read_ns, resumed_ns) <= limit || paused) continue;
      e.state = SourceState::late;
      e.message = "no answer for some time";
      if (!e.cleared) e.row->clear(board, Absent::no_answer);
      e.cleared = true;
    }
    for (Entry& e : entries) {  // one that has never answered and hangs
      if (e.state == SourceState::waiting && e.began_ns != 0 && now - e.began_ns > kLateMs * kMs) e.message = "no answer so far";
    }
  }

  Parts parts;
  BoardOptions options;
  mutable std::mutex mutex;
  std::condition_variable changed, woken;
  Snapshot board;
  std::vector<Entry> entries;
  std::int64_t resumed_ns = 0;  // when it was last told to go on
  bool stopping = false, paused = false;
  int running = 0;
};

Board::Board(const Parts& parts, std::span<const Row> rows, BoardOptions options) : state_(std::make_shared<State>(parts, std::move(options))) {
  const bool mac = parts.environment.platform == mlxbase::os::Platform::macos;
  state_->board.host = state_->options.host;
  const std::int64_t now = parts.clock.steady_ns();
  std::vector<std::string_view> names;
  for (const Row& row : rows) {
    if (!(mac ? row.on.macos : row.on.linux_os)) {
      // Values that no source of this platform gives are missing for good.
      continue;
    }
    state_->entries.emplace_back();
    state_->entries.back().row = &row;
    state_->entries.back().due_ns = now;
    names.push_back(row.name);
  }
  for (const Row& row : rows) {
    if (std::ranges::find(names, row.name) == names.end()) row.clear(state_->board, Absent::not_supported);
  }
}

Board::~Board() {
  auto state = state_;
  std::unique_lock lock(state->mutex);
  state->stopping = true;
  state->woken.notify_all();
  state->changed.notify_all();
  state->changed.wait_for(lock, std::chrono::milliseconds(kWaitForLaneMs), [&] { return state->running == 0; });
}

void Board::start() {
  std::array<bool, kLanes> wanted{};
  for (const auto& e : state_->entries) wanted[static_cast<std::size_t>(e.row->lane)] = true;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    if (!wanted[lane]) continue;
    {
      const std::lock_guard lock(state_->mutex);
      ++state_->running;
    }
    // Detached, with a share of the state: a thread that hangs in the kernel must not keep the program from ending.
    std::thread([state = state_, lane] { state->run(static_cast<Lane>(lane)); }).detach();
  }
}

void Board::step(Lane lane) {
  for (auto& e : state_->entries) {
    if (e.row->lane == lane && e.due_ns <= state_->parts.clock.steady_ns()) state_->look(e);
  }
}

void Board::pause(bool paused) {
  const std::lock_guard lock(state_->mutex);
  state_->paused = paused;
  if (!paused) state_->resumed_ns = state_->parts.clock.steady_ns();
  state_->changed.notify_all();
  state_->woken.notify_all();
}

void Board::set_interval(std::uint32_t ms) {
  const std::lock_guard lock(state_->mutex);
  state_->options.interval_ms = ms;
}

Snapshot Board::snapshot() const {
  const std::lock_guard lock(state_->mutex);
  const std::int64_t now = state_->parts.clock.steady_ns();
  state_->age(now);
  Snapshot copy = state_->board;
  copy.wall_ns = state_->parts.clock.wall_ns();
  for (const auto& e : state_->entries) {
    copy.sources.push_back({.name = std::string(e.row->name), .state = e.state, .message = e.message,
                            .age = e.read_ns == 0 ? 0 : static_cast<double>(now - e.read_ns) / 1e9, .cost = e.cost});
  }
  return copy;
}

bool Board::wait_fresh(std::uint32_t most_ms) const {
  std::unique_lock lock(state_->mutex);
  const std::int64_t now = state_->parts.clock.steady_ns();
  return state_->changed.wait_for(lock, std::chrono::milliseconds(most_ms), [&] {
    return std::ranges::all_of(state_->entries, [&](const auto& e) { return e.due_ns > now && e.began_ns == 0; });
  });
}

bool Board::settled(std::uint32_t times) const { return wait_settled(times, 0); }

bool Board::wait_settled(std::uint32_t times, std::uint32_t most_ms) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, std::chrono::milliseconds(most_ms), [&] {
    return std::ranges::all_of(state_->entries, [&](const auto& e) {
      return e.state == SourceState::failed || e.state == SourceState::none || e.looks >= (e.row->period_ms == 0 ? times : 1);
    });
  });
}

}  // namespace mlxdash::collect
