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

}  // namespace
}  // namespace mlxbase
