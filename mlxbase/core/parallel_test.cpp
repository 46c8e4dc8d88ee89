#include "mlxbase/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace mlxbase {
namespace {

TEST(ParallelFor, DoesEveryItemOnce) {
  for (const unsigned workers : {0U, 1U, 2U, 7U, 64U}) {
    std::vector<std::atomic<int>> times(1000);
    parallel_for(times.size(), workers, [&](std::size_t i) { times[i].fetch_add(1); });
    for (const auto& t : times) ASSERT_EQ(t.load(), 1) << workers;
  }
}

TEST(ParallelFor, IsOverWhenItReturns) {
  std::vector<int> plain(5000, 0);  // no atomics: what the workers wrote must be visible here
  parallel_for(plain.size(), 4, [&](std::size_t i) { plain[i] = static_cast<int>(i); });
  for (std::size_t i = 0; i < plain.size(); ++i) ASSERT_EQ(plain[i], static_cast<int>(i));
}

TEST(ParallelFor, StaysOnTheCallersThreadForOneItem) {
  const auto self = std::this_thread::get_id();
  std::thread::id used;
  parallel_for(1, 8, [&](std::size_t) { used = std::this_thread::get_id(); });
  EXPECT_EQ(used, self);
  parallel_for(0, 8, [&](std::size_t) { FAIL(); });
}

TEST(CrewFor, DoesEveryItemOfEveryLoopOnce) {
  for (const unsigned workers : {1U, 2U, 5U}) {
    for (const std::size_t outer : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{40}}) {
      std::vector<std::atomic<int>> times(outer * 100);
      crew_for(outer, workers, [&](std::size_t o) {
        shared_for(10, [&](std::size_t m) { shared_for(10, [&](std::size_t i) { times[o * 100 + m * 10 + i].fetch_add(1); }); });
      });
      for (const auto& t : times) ASSERT_EQ(t.load(), 1) << workers;
    }
  }
}

TEST(CrewFor, SendsThreadsWithoutItemsIntoTheLoopsOfOthers) {
  std::atomic<int> inside{0};
  crew_for(1, 2, [&](std::size_t) {
    // Neither of the two items ends before the other began: only two threads can do that.
    shared_for(2, [&](std::size_t) {
      inside.fetch_add(1);
      while (inside.load() < 2) std::this_thread::yield();
    });
  });
  EXPECT_EQ(inside.load(), 2);
}

TEST(CrewFor, IsOverWhenItReturns) {
  std::vector<int> plain(3000, 0);
  crew_for(3, 3, [&](std::size_t o) { shared_for(1000, [&](std::size_t i) { plain[o * 1000 + i] = 1; }); });
  for (const int p : plain) ASSERT_EQ(p, 1);
}

TEST(SharedFor, IsAnOrdinaryLoopElsewhere) {
  const auto self = std::this_thread::get_id();
  shared_for(100, [&](std::size_t) { EXPECT_EQ(std::this_thread::get_id(), self); });
}

}  // namespace
}  // namespace mlxbase
