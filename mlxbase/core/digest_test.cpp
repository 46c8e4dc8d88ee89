#include "mlxbase/core/digest.h"

#include <gtest/gtest.h>

#include <string>
#include <unordered_set>

namespace mlxbase {
namespace {

const std::string kHex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Digest, HexSurvivesTheRoundTripInLowerCase) {
  const auto digest = Digest::parse(Algorithm::sha256, "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855");
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->hex(), kHex);
  EXPECT_EQ(digest->to_string(), "sha256:" + kHex);
}

TEST(Digest, OnlyTheExactLengthIsParsed) {
  for (std::size_t n = 0; n < kHex.size(); ++n) EXPECT_FALSE(Digest::parse(Algorithm::sha256, kHex.substr(0, n))) << n;
  EXPECT_FALSE(Digest::parse(Algorithm::sha256, kHex + "00"));
  EXPECT_FALSE(Digest::parse(Algorithm::git_sha1, kHex));
  EXPECT_TRUE(Digest::parse(Algorithm::git_sha1, kHex.substr(0, 40)));
  EXPECT_TRUE(Digest::parse(Algorithm::md5, kHex.substr(0, 32)));
  EXPECT_FALSE(Digest::parse(Algorithm::none, ""));
}

TEST(Digest, NothingButHexIsParsed) {
  for (std::size_t i = 0; i < kHex.size(); ++i) {
    for (const char bad : {'g', ' ', '/', '\0', '-', 'G', ':'}) {
      std::string hex = kHex;
      hex[i] = bad;
      EXPECT_FALSE(Digest::parse(Algorithm::sha256, hex)) << i;
    }
  }
}

TEST(Digest, TheSameBytesUnderAnotherAlgorithmAreAnotherDigest) {
  const auto sha = Digest::parse(Algorithm::sha256, kHex);
  const auto xet = Digest::parse(Algorithm::xet, kHex);
  EXPECT_FALSE(*sha == *xet);
  EXPECT_TRUE(*sha < *xet || *xet < *sha);
  const std::unordered_set<Digest> both{*sha, *xet};
  EXPECT_EQ(both.size(), 2U);
}

TEST(Digest, APrefixAsInFileNamesMatchesOnlyWhatItBegins) {
  const auto full = Digest::parse(Algorithm::sha256, kHex);
  const auto prefix = Digest::parse(Algorithm::sha256_prefix, kHex.substr(0, 8));
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->is_prefix_of(*full));
  EXPECT_FALSE(full->is_prefix_of(*prefix));
  EXPECT_FALSE(Digest::parse(Algorithm::sha256_prefix, "00000000")->is_prefix_of(*full));
  EXPECT_FALSE(Digest().is_prefix_of(*full)) << "nothing is not a prefix that proves anything";
}

TEST(Digest, APrefixOfFewerThanEightDigitsProvesTooLittle) {
  EXPECT_FALSE(Digest::parse(Algorithm::sha256_prefix, "e3b0c4"));
  EXPECT_FALSE(Digest::parse(Algorithm::sha256_prefix, "e3b0c4429"));
}

}  // namespace
}  // namespace mlxbase
