#include "mlxcache/watch/pace.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "mlxbase/testing/fake_clock.h"

namespace mlxcache::watch {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

class WatchPace : public testing::Test {
 protected:
  Pace make(unsigned percent) {
    return Pace(mlxbase::no_progress(), clock, cancel, percent, [this] { return cpu; }, [this](std::int64_t ns) {
      longest = std::max(longest, ns);
      rested += ns;
      clock.advance_ns(ns);
      if (stop_after > 0 && rested >= stop_after) cancel.request();
    });
  }
  /// Work that takes so much processor time.
  void work(Pace& pace, std::int64_t ns) {
    cpu += ns;
    clock.advance_ns(ns);
    pace.advance(1);
  }
  mlxbase::testing::FakeClock clock;
  std::int64_t cpu = 0;
  std::int64_t rested = 0;
  std::int64_t longest = 0;
  std::int64_t stop_after = 0;
  mlxbase::Cancel cancel;
};

TEST_F(WatchPace, KeepsToItsPartOfTheProcessor) {
  Pace pace = make(20);
  for (int i = 0; i < 100; ++i) work(pace, 10'000'000);  // a second of work
  EXPECT_NEAR(static_cast<double>(rested), 4.0 * static_cast<double>(kSecond), 0.1 * static_cast<double>(kSecond));
}

TEST_F(WatchPace, WithoutALimitNeverRests) {
  Pace pace = make(0);
  for (int i = 0; i < 100; ++i) work(pace, 10'000'000);
  EXPECT_EQ(rested, 0);
}

TEST_F(WatchPace, DoesNotRestWhileAFileIsHeldAgainstWriters) {
  Pace pace = make(20);
  pace.stage("sharing", 100, true);
  for (int i = 0; i < 50; ++i) work(pace, 10'000'000);
  EXPECT_EQ(rested, 0);
  pace.item("the next file");
  EXPECT_NEAR(static_cast<double>(rested), 2.0 * static_cast<double>(kSecond), 0.1 * static_cast<double>(kSecond));
  EXPECT_LE(longest, 500'000'000);  // at most this long at once, so that a request to stop is heard
}

TEST_F(WatchPace, ARequestToStopEndsTheRest) {
  Pace pace = make(1);
  stop_after = kSecond;
  pace.stage("sharing", 100, true);
  for (int i = 0; i < 50; ++i) work(pace, 10'000'000);
  pace.item("the next file");  // would rest for most of a minute
  EXPECT_LT(rested, 2 * kSecond);
}

TEST_F(WatchPace, IdleTimeIsNoCreditForLater) {
  Pace pace = make(20);
  clock.advance_ns(3600 * kSecond);
  pace.begin();
  for (int i = 0; i < 10; ++i) work(pace, 10'000'000);
  EXPECT_GT(rested, 300'000'000);
}

}  // namespace
}  // namespace mlxcache::watch
