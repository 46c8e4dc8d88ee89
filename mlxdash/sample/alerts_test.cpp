#include "mlxdash/sample/alerts.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mlxdash {
namespace {

/// Time in seconds, as a test says.
class AlertsTest : public ::testing::Test {
 protected:
  std::vector<Alert> at(double seconds, std::vector<Finding> findings) {
    Snapshot s;
    s.findings = std::move(findings);
    return alerts_.add(s, static_cast<std::int64_t>(seconds * 1e9));
  }
  /// The same each second from `from` to before `to`; what was told.
  std::vector<Alert> through(int from, int to, const std::vector<Finding>& findings) {
    std::vector<Alert> out;
    for (int t = from; t < to; ++t) {
      for (Alert& alert : at(t, findings)) out.push_back(std::move(alert));
    }
    return out;
  }
  const Finding swap_{"swap", Severity::warning, "memory is read back from swap"};
  const Finding worse_{"swap", Severity::alarm, "memory is read back from swap, much"};
  const Finding queue_{"queue", Severity::note, "a request waits"};
  Alerts alerts_;
};

TEST_F(AlertsTest, WhatLastsIsToldOnceAndWhenItIsOver) {
  const auto begun = through(0, 600, {swap_});
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].cause, "swap");
  EXPECT_FALSE(begun[0].over);
  EXPECT_EQ(begun[0].lasted, 15);
  EXPECT_TRUE(through(600, 659, {}).empty());
  const auto over = through(659, 1200, {});
  ASSERT_EQ(over.size(), 1U);
  EXPECT_TRUE(over[0].over);
  EXPECT_EQ(over[0].lasted, 599);
}

TEST_F(AlertsTest, WhatPassesByItselfIsNotTold) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(through(i * 20, i * 20 + 14, {swap_}).empty());
    EXPECT_TRUE(through(i * 20 + 14, i * 20 + 20, {}).empty());
  }
}

TEST_F(AlertsTest, WhatComesAndGoesIsOneAlert) {
  std::size_t told = through(0, 20, {swap_}).size();
  for (int i = 1; i < 50; ++i) told += through(i * 50, i * 50 + 10, {swap_}).size() + through(i * 50 + 10, i * 50 + 50, {}).size();
  EXPECT_EQ(told, 1U);
}

TEST_F(AlertsTest, WorseIsToldAgainAndMilderIsNot) {
  EXPECT_EQ(through(0, 30, {swap_}).size(), 1U);
  const auto worse = through(30, 60, {worse_});
  ASSERT_EQ(worse.size(), 1U);
  EXPECT_EQ(worse[0].severity, Severity::alarm);
  EXPECT_TRUE(through(60, 90, {swap_}).empty());
  EXPECT_TRUE(through(90, 120, {worse_}).empty());
}

TEST_F(AlertsTest, ANoteIsNoAlert) { EXPECT_TRUE(through(0, 600, {queue_}).empty()); }

TEST_F(AlertsTest, ATimeInWhichNobodyLookedIsNoEvidence) {
  EXPECT_TRUE(through(0, 10, {swap_}).empty());
  EXPECT_TRUE(at(5000, {swap_}).empty()) << "it was seen twice, and what was between nobody knows";
  EXPECT_EQ(through(5001, 5020, {swap_}).size(), 1U);
  EXPECT_TRUE(at(9000, {}).empty()) << "it is not over for not having been looked at";
  EXPECT_EQ(through(9001, 9100, {}).size(), 1U);
}

TEST_F(AlertsTest, AWeekOfComingAndGoingKeepsNothing) {
  std::size_t begun = 0, over = 0;
  for (int t = 0; t < 7 * 24 * 3600; ++t) {
    for (const Alert& alert : at(t, t % 3600 < 300 ? std::vector<Finding>{swap_} : std::vector<Finding>{})) ++(alert.over ? over : begun);
  }
  EXPECT_EQ(begun, 7U * 24);
  EXPECT_EQ(over, 7U * 24);
}

}  // namespace
}  // namespace mlxdash
