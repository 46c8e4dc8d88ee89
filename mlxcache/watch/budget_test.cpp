#include "mlxcache/watch/budget.h"

#include <gtest/gtest.h>

namespace mlxcache::watch {
namespace {

constexpr std::int64_t kHour = std::int64_t{3600} * 1'000'000'000;
constexpr std::int64_t kNow = std::int64_t{1'800'000'000} * 1'000'000'000;

TEST(ReadLimitText, IsAnAmountADayOrAnHour) {
  EXPECT_EQ(parse_read_limit("20G/day"), (ReadLimit{20'000'000'000, 24 * kHour}));
  EXPECT_EQ(parse_read_limit("5G/hour"), (ReadLimit{5'000'000'000, kHour}));
  EXPECT_EQ(parse_read_limit("1GiB"), (ReadLimit{std::uint64_t{1} << 30U, 24 * kHour}));
  for (const auto* wrong : {"", "/day", "0", "0/hour", "5G/", "5G/week", "5G/day/day", "G/day", "-1G/day"}) EXPECT_FALSE(parse_read_limit(wrong)) << wrong;
}

TEST(ReadBudget, WithoutALimitAdmitsEverything) {
  Budget b(std::nullopt, 5, kNow);
  b.take(UINT64_MAX, kNow);
  EXPECT_TRUE(b.admits(UINT64_MAX, kNow));
  EXPECT_EQ(b.when(1, kNow), kNow);
}

TEST(ReadBudget, RefusesWhatDoesNotFitAndSaysWhenItWill) {
  Budget b(ReadLimit{1000, kHour}, 0, kNow);
  b.take(900, kNow);
  EXPECT_TRUE(b.admits(100, kNow));
  EXPECT_FALSE(b.admits(101, kNow));
  const std::int64_t when = b.when(600, kNow);
  EXPECT_NEAR(static_cast<double>(when - kNow), 0.5 * static_cast<double>(kHour), 1e9);
  EXPECT_FALSE(b.admits(600, when - kHour / 100));
  EXPECT_TRUE(b.admits(600, when));
}

TEST(ReadBudget, AFileLargerThanAllOfItWaitsUntilNothingIsUsedAndIsPaidOffAfterwards) {
  Budget b(ReadLimit{1000, kHour}, 0, kNow);
  b.take(1, kNow);
  EXPECT_FALSE(b.admits(5000, kNow));
  std::int64_t t = b.when(5000, kNow);
  EXPECT_TRUE(b.admits(5000, t));
  b.take(5000, t);
  t += 3 * kHour;
  EXPECT_FALSE(b.admits(1, t));
  t = b.when(1, t);
  EXPECT_NEAR(static_cast<double>(t - kNow), 4.0 * static_cast<double>(kHour), 2e10);
  EXPECT_TRUE(b.admits(1, t));
}

TEST(ReadBudget, ManySmallLooksDoNotRoundTheDrainAway) {
  Budget b(ReadLimit{3600, kHour}, 0, kNow);  // a byte a second
  b.take(1000, kNow);
  std::uint64_t left = 0;
  for (std::int64_t t = kNow; t <= kNow + 100 * std::int64_t{1'000'000'000}; t += 10'000'000) left = b.used(t);
  EXPECT_NEAR(static_cast<double>(left), 900, 2);
}

TEST(ReadBudget, AClockSetBackFreesNothingAndLocksNothing) {
  Budget b(ReadLimit{1000, kHour}, 0, kNow);
  b.take(1000, kNow);
  EXPECT_EQ(b.used(kNow - 5 * kHour), 1000U);
  EXPECT_EQ(b.used(kNow - 4 * kHour), 0U);
}

}  // namespace
}  // namespace mlxcache::watch
