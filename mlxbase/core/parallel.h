#pragma once
// One way to use all cores: a bounded loop. (Apple's libc++ has neither jthread nor parallel algorithms.)
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
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

}  // namespace mlxbase
