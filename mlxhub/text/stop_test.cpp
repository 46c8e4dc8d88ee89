#include "mlxhub/text/stop.h"

#include <gtest/gtest.h>

#include <string>

namespace mlxhub::text {
namespace {

TEST(StopMatcher, FindsAStopAcrossTokens) {
  StopMatcher matcher({"", "</s>", "\n\nUser:"});
  EXPECT_EQ(matcher.push("Hello <").text, "Hello ");
  EXPECT_EQ(matcher.push("/").text, "");
  const auto step = matcher.push("s> more");
  EXPECT_EQ(step.text, "");
  EXPECT_EQ(step.stop, 1U);
  EXPECT_EQ(matcher.push("x").text, "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, HoldsBackOnlyWhatMayStillMatch) {
  StopMatcher matcher({"aab"});
  EXPECT_EQ(matcher.push("xaaa").text, "xa");
  EXPECT_EQ(matcher.push("c").text, "aac");
  EXPECT_EQ(matcher.push("aa").text, "");
  EXPECT_EQ(matcher.finish(), "aa");
}

TEST(StopMatcher, TakesTheEarliestOfSeveral) {
  StopMatcher matcher({"world", "lo w"});
  const auto step = matcher.push("hello world");
  EXPECT_EQ(step.text, "hel");
  EXPECT_EQ(step.stop, 1U);
}

TEST(StopMatcher, SaysTheSameHoweverTheTextIsCut) {
  const std::string text = "ab abc abcabd abcabc";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    StopMatcher matcher({"abcabc", "zz"});
    std::string out;
    bool stopped = false;
    for (std::size_t at = 0; at < text.size(); at += size) {
      const auto step = matcher.push(text.substr(at, size));
      out += step.text;
      stopped = stopped || step.stop.has_value();
    }
    EXPECT_EQ(out + matcher.finish(), "ab abc abcabd ") << size;
    EXPECT_TRUE(stopped);
  }
}

}  // namespace
}  // namespace mlxhub::text
