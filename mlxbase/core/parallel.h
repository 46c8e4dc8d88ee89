#pragma once
// Ways to use all cores: a bounded loop, and loops inside its items that threads join when they have nothing left to do. (Apple's libc++ has
// neither jthread nor parallel algorithms.)
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace mlxbase {

/// Cores this process may use, at least 1.
inline unsigned worker_count() { return std::max(1U, std::thread::hardware_concurrency()); }

/// Calls body(i) for each i in [0, count), on up to `workers` threads; items are handed out one at a time, in order.
/// `body` must not throw. Returns when all are done.
template <class Body>
void parallel_for(std::size_t count, unsigned workers, Body&& body) {
  workers = static_cast<unsigned>(std::min<std::size_t>(workers, count));
  if (workers <= 1) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) body(i);
  };
  std::vector<std::thread> threads;
  threads.reserve(workers - 1);
  for (unsigned t = 1; t < workers; ++t) threads.emplace_back(work);
  work();
  for (auto& thread : threads) thread.join();
}

/// The threads of one crew_for.
class Crew {
 public:
  /// A loop that any of them may take items of.
  struct Loop {
    std::size_t count;
    void (*call)(void* body, std::size_t i);
    void* body;
    std::atomic<std::size_t> next{0};
    unsigned helpers = 0;

    void take_items() {
      for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) call(body, i);
    }
  };

  explicit Crew(unsigned threads) : at_work_(threads) {}
  /// The crew of this thread; null outside of crew_for.
  static Crew*& here() {
    static thread_local Crew* crew = nullptr;
    return crew;
  }

  /// Runs the loop with whoever is free; returns when all its items are done.
  void run(Loop& loop) {
    {
      const std::scoped_lock lock(mutex_);
      open_.push_back(&loop);
    }
    changed_.notify_all();
    loop.take_items();
    std::unique_lock lock(mutex_);
    std::erase(open_, &loop);
    changed_.wait(lock, [&] { return loop.helpers == 0; });
  }

  /// Joins loops until nobody has any work left.
  void help() {
    std::unique_lock lock(mutex_);
    --at_work_;
    changed_.notify_all();
    for (;;) {
      const auto at = std::find_if(open_.begin(), open_.end(), [](const Loop* l) { return l->next.load() < l->count; });
      if (at == open_.end()) {
        if (at_work_ == 0) return;
        changed_.wait(lock);
        continue;
      }
      Loop& loop = **at;
      ++loop.helpers;
      ++at_work_;
      lock.unlock();
      loop.take_items();
      lock.lock();
      --at_work_;
      --loop.helpers;
      changed_.notify_all();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Loop*> open_;  // oldest first
  unsigned at_work_;         // threads inside an item
};

/// Calls body(i) for each i in [0, count), from several threads if it is called inside an item of crew_for and some of that crew have nothing left to
/// do, then or later; else it is an ordinary loop. `body` must not throw. Returns when all are done.
template <class Body>
void shared_for(std::size_t count, Body&& body) {
  Crew* const crew = Crew::here();
  if (crew == nullptr || count < 2) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  Crew::Loop loop{.count = count, .call = [](void* b, std::size_t i) { (*static_cast<Plain*>(b))(i); }, .body = std::addressof(body)};
  crew->run(loop);
}

/// As parallel_for, with `workers` threads however few the items are: who has none left joins the loops that others run with shared_for.
template <class Body>
void crew_for(std::size_t count, unsigned workers, Body&& body) {
  if (workers <= 1 || count == 0) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  Crew crew(workers);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    Crew* const before = std::exchange(Crew::here(), &crew);
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) body(i);
    crew.help();
    Crew::here() = before;
  };
  std::vector<std::thread> threads;
  threads.reserve(workers - 1);
  for (unsigned t = 1; t < workers; ++t) threads.emplace_back(work);
  work();
  for (auto& thread : threads) thread.join();
}

}  // namespace mlxbase
