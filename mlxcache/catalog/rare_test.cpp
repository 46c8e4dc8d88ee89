#include "mlxcache/catalog/rare.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace mlxcache::catalog {
namespace {

const mlxbase::Digest kOne = *mlxbase::Digest::parse(mlxbase::Algorithm::sha256, std::string(64, '1'));
const mlxbase::Digest kTwo = *mlxbase::Digest::parse(mlxbase::Algorithm::sha256, std::string(64, '2'));

TEST(RareDigest, IsMissingUntilGivenAndEqualByItsBytes) {
  RareDigest digest;
  EXPECT_FALSE(digest);
  EXPECT_EQ(digest, RareDigest(std::nullopt));
  EXPECT_EQ(digest, std::optional<mlxbase::Digest>());
  digest = kOne;
  EXPECT_EQ(*digest, kOne);
  EXPECT_EQ(digest, RareDigest(kOne));
  EXPECT_FALSE(digest == kTwo);
  EXPECT_FALSE(digest == RareDigest());
}

TEST(RareDigest, OutlivesTheOneItWasCopiedFrom) {
  RareDigest copy;
  {
    const RareDigest original(kOne);
    copy = original;
  }
  EXPECT_EQ(copy.get(), kOne);
  copy = kTwo;
  EXPECT_EQ(copy.get(), kTwo);
}

TEST(RareText, HoldsAnyBytesAndCopiesThem) {
  EXPECT_TRUE(RareText().empty());
  EXPECT_TRUE(RareText("").empty());
  const std::string bytes("a\0\xff", 3);
  RareText text(bytes);
  RareText copy = text;
  text = "other";
  EXPECT_EQ(copy.str(), bytes);
  const RareText moved = std::move(copy);
  EXPECT_EQ(moved, bytes);
  EXPECT_EQ(text, "other");
}

}  // namespace
}  // namespace mlxcache::catalog
