#include "mlxdash/web/feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "mlxbase/format/json.h"
#include "mlxdash/sample/json.h"

namespace mlxdash::web {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kHeartbeat{15'000};  // so that a proxy in between does not take silence for death
constexpr std::uint32_t kFirstMs = 1500;    // the first picture waits no longer for a source that hangs

}  // namespace

Feed::Feed(collect::Board& board, FeedOptions options) : board_(board), options_(std::move(options)), awake_(board) {
  thread_ = std::thread([this] { run(); });
}

Feed::~Feed() {
  end();
  thread_.join();
}

void Feed::end() {
  std::map<std::uint64_t, Sink> gone;  // ended without the lock: what a sink holds may call remove()
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    gone.swap(sinks_);
  }
  changed_.notify_all();
}

std::uint64_t Feed::add(Sink sink) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return 0;
    number = ++last_sink_;
    sinks_.emplace(number, std::move(sink));
    newcomer_ = true;
  }
  changed_.notify_all();
  return number;
}

void Feed::remove(std::uint64_t sink) {
  Sink gone;
  {
    const std::lock_guard lock(mutex_);
    const auto at = sinks_.find(sink);
    if (at == sinks_.end()) return;
    gone = std::move(at->second);
    sinks_.erase(at);
  }
  changed_.notify_all();
}

std::size_t Feed::watchers() const {
  const std::lock_guard lock(mutex_);
  return sinks_.size();
}

Snapshot Feed::derived() {
  Snapshot snapshot = board_.snapshot();
  const std::lock_guard lock(forecasts_mutex_);
  derive(snapshot, &forecasts_);
  return snapshot;
}

Snapshot Feed::now(std::uint32_t most_ms) {
  const Awake::Claim claim(awake_);
  awake_.wait_fresh(most_ms);
  return derived();
}

void Feed::send(const std::string& event) {
  const auto shared = std::make_shared<const std::string>(event);
  for (const auto& [number, sink] : sinks_) sink(shared);
}

void Feed::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    changed_.wait(lock, [&] { return ending_ || !idle(); });
    if (ending_) return;
    std::optional<Awake::Claim> claim;
    lock.unlock();
    claim.emplace(awake_);
    board_.wait_fresh(kFirstMs);
    lock.lock();
    auto next = SteadyClock::now();
    auto last_sent = next;
    while (!ending_ && !idle()) {
      const auto now = SteadyClock::now();
      if (now >= next || newcomer_) {
        const bool due = now >= next;
        newcomer_ = false;
        lock.unlock();
        const Snapshot snapshot = derived();
        if (due && options_.on_sample) options_.on_sample(snapshot);
        const std::string data = mlxbase::json::dump(to_json(snapshot));
        lock.lock();
        send(fmt::format("id: {}\nevent: snapshot\ndata: {}\n\n", ++last_event_, data));
        last_sent = now;
        if (due) next = std::max(next + milliseconds(options_.interval_ms), now);
      } else if (now - last_sent >= kHeartbeat) {
        send(": still here\n\n");
        last_sent = now;
      }
      changed_.wait_until(lock, std::min(next, last_sent + kHeartbeat), [&] { return ending_ || idle() || newcomer_; });
    }
    lock.unlock();
    claim.reset();
    lock.lock();
  }
}

}  // namespace mlxdash::web
