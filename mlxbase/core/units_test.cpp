#include "mlxbase/core/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace mlxbase {
namespace {
using namespace std::chrono_literals;

TEST(FormatBytes, ShowsThreeDigitsInPowersOfAThousand) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(1536), "1.54 kB");
  EXPECT_EQ(format_bytes(4'080'218'931), "4.08 GB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "18.4 EB");
}

TEST(FormatBytes, RoundsUpIntoTheNextUnitRatherThanToFourDigits) {
  EXPECT_EQ(format_bytes(999'499), "999 kB");
  EXPECT_EQ(format_bytes(999'500), "1.00 MB");
  EXPECT_EQ(format_bytes(9'999), "10.0 kB");
  EXPECT_EQ(format_bytes(99'960), "100 kB");
}

TEST(FormatExact, SeparatesThousands) {
  EXPECT_EQ(format_exact(0), "0");
  EXPECT_EQ(format_exact(999), "999");
  EXPECT_EQ(format_exact(1000), "1,000");
  EXPECT_EQ(format_exact(4'080'218'931), "4,080,218,931");
  EXPECT_EQ(format_exact(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
}

TEST(FormatDuration, PicksTheUnitThatAPersonWould) {
  EXPECT_EQ(format_duration(850ms), "850 ms");
  EXPECT_EQ(format_duration(3200ms), "3.2 s");
  EXPECT_EQ(format_duration(250s), "4 min 10 s");
  EXPECT_EQ(format_duration(7500s), "2 h 5 min");
}

TEST(FormatDuration, NeverShowsAFullUnitOfTheNextKind) {
  EXPECT_EQ(format_duration(999'700us), "1.0 s");
  EXPECT_EQ(format_duration(59'970ms), "1 min 0 s");
  EXPECT_EQ(format_duration(3'599'700ms), "1 h 0 min");
}

TEST(ParseBytes, UnderstandsWhatPeopleWrite) {
  EXPECT_EQ(parse_bytes("4096"), 4096U);
  EXPECT_EQ(parse_bytes("10k"), 10'000U);
  EXPECT_EQ(parse_bytes("500M"), 500'000'000U);
  EXPECT_EQ(parse_bytes("1.5GB"), 1'500'000'000U);
  EXPECT_EQ(parse_bytes("4GiB"), 4ULL << 30U);
  EXPECT_EQ(parse_bytes("1 MiB"), 1ULL << 20U);
  EXPECT_EQ(parse_bytes("0"), 0U);
  EXPECT_EQ(parse_bytes("7b"), 7U);
}

TEST(ParseBytes, RefusesEverythingElse) {
  for (const char* text : {"", " ", "-1", "+1", "k", ".", "1.2.3", "1e3", "10x", "10 MBs", "1,000", "nan", "inf", "0x10", "1 k b", "\xff"}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

TEST(ParseBytes, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(parse_bytes("15EiB"));
  EXPECT_FALSE(parse_bytes("16EiB"));
  EXPECT_FALSE(parse_bytes(std::string(400, '9')));
}

TEST(ParseBytes, KeepsWholeNumbersExact) {
  EXPECT_EQ(parse_bytes("9007199254740993"), 9007199254740993U);  // 2^53 + 1, which no double holds
  EXPECT_EQ(parse_bytes("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(parse_bytes("18446744073709551616"));
}

}  // namespace
TEST(Units, ReadsAges) {
  using std::chrono::seconds;
  EXPECT_EQ(parse_age("60d"), seconds(60 * 86'400));
  EXPECT_EQ(parse_age("2w"), seconds(14 * 86'400));
  EXPECT_EQ(parse_age("12h"), seconds(12 * 3600));
  EXPECT_EQ(parse_age("30m"), seconds(1800));
  EXPECT_EQ(parse_age("0s"), seconds(0));
  for (const char* text : {"", "d", "60", "-1d", "1.5d", "60 d", "60days", "9999999999999d", "99999999999999999999s"}) EXPECT_FALSE(parse_age(text)) << text;
}

}  // namespace mlxbase
