#include "mlxcache/watch/schedule.h"

#include <gtest/gtest.h>

namespace mlxcache::watch {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = std::int64_t{1'800'000'000} * kSecond;
constexpr std::int64_t kQuiet = 30 * kSecond;

TEST(WatchSchedule, LooksAtTheStartAndThenNotBeforeSomethingChanges) {
  Schedule s(kQuiet);
  EXPECT_LE(s.due_ns(), kNow);
  s.looked(kNow, kNow + kSecond, {}, false);
  EXPECT_EQ(s.due_ns(), INT64_MAX);
}

TEST(WatchSchedule, AChangeIsLookedAtWhenItMayBeQuiet) {
  Schedule s(kQuiet);
  s.looked(kNow, kNow, {}, false);
  s.changed(kNow + 10 * kSecond);
  EXPECT_EQ(s.due_ns(), kNow + 10 * kSecond + kQuiet);
  s.changed(kNow + 20 * kSecond);  // a stream of changes does not put it off for ever
  EXPECT_EQ(s.due_ns(), kNow + 10 * kSecond + kQuiet);
}

TEST(WatchSchedule, LooksAgainWhenTheFirstThatWaitsMayBeReady) {
  Schedule s(kQuiet);
  s.looked(kNow, kNow, {{"/a", Why::download, 0, 1}, {"/b", Why::quiet, kNow + 50 * kSecond, 1}, {"/c", Why::budget, kNow + 40 * kSecond, 1}}, false);
  EXPECT_EQ(s.due_ns(), kNow + 40 * kSecond);
  EXPECT_FALSE(s.changes_due(kNow + 40 * kSecond));
}

TEST(WatchSchedule, ALookThatTookLongIsNotSoonRepeated) {
  Schedule s(kQuiet);
  s.looked(kNow, kNow + 10 * kSecond, {}, false);
  s.changed(kNow + 11 * kSecond);
  EXPECT_EQ(s.due_ns(), kNow + 10 * kSecond + 200 * kSecond);
  s.looked(kNow, kNow + 3600 * kSecond, {}, false);
  s.changed(kNow + 3600 * kSecond);
  EXPECT_EQ(s.due_ns(), kNow + 3600 * kSecond + 600 * kSecond);
}

TEST(WatchSchedule, PollsWhereNobodyTells) {
  Schedule s(kQuiet);
  s.looked(kNow, kNow, {}, true);
  EXPECT_EQ(s.due_ns(), kNow + 60 * kSecond);
  EXPECT_TRUE(s.changes_due(kNow + 60 * kSecond));
  s.looked(kNow, kNow + kSecond / 4, {}, true);
  EXPECT_EQ(s.due_ns(), kNow + kSecond / 4 + 250 * kSecond);  // the longer a look takes, the rarer it is
  s.looked(kNow, kNow + 10 * kSecond, {}, true);
  EXPECT_EQ(s.due_ns(), kNow + 610 * kSecond);
}

TEST(WatchSchedule, ABusyMachineIsAskedAgainSoonAnErrorLater) {
  Schedule s(kQuiet);
  s.failed(kNow, true);
  EXPECT_EQ(s.due_ns(), kNow + 5 * kSecond);
  for (int i = 0; i < 10; ++i) s.failed(kNow, true);
  EXPECT_EQ(s.due_ns(), kNow + 60 * kSecond);
  s.looked(kNow, kNow, {}, false);
  s.failed(kNow, false);
  EXPECT_EQ(s.due_ns(), kNow + 60 * kSecond);
  for (int i = 0; i < 20; ++i) s.failed(kNow, false);
  EXPECT_EQ(s.due_ns(), kNow + 3600 * kSecond);
}

TEST(WatchSchedule, OnBatteryItAsksEveryMinuteAndForgetsNoChange) {
  Schedule s(kQuiet);
  s.looked(kNow, kNow, {}, false);
  s.changed(kNow);
  s.held_back(kNow + kQuiet);
  EXPECT_EQ(s.due_ns(), kNow + kQuiet + 60 * kSecond);
  EXPECT_TRUE(s.changes_due(kNow + kQuiet + 60 * kSecond));
}

}  // namespace
}  // namespace mlxcache::watch
