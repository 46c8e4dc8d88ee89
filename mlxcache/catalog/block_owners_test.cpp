#include "mlxcache/catalog/block_owners.h"

#include <gtest/gtest.h>

namespace mlxcache::catalog {
namespace {

using mlxbase::os::Extent;

Extent at(std::uint64_t physical, std::uint64_t length, bool shared = false) {
  return {.logical = 0, .physical = physical, .length = length, .shared = shared};
}

TEST(BlockOwners, CutsExtentsAtEachOthersBorders) {
  BlockOwners owners;
  owners.add(1, {at(0, 100, true)});
  owners.add(2, {at(50, 100, true)});
  const auto runs = owners.runs();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].length, 50U);
  EXPECT_EQ(runs[0].owners, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(runs[1].owners, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(runs[2].length, 50U);
  EXPECT_EQ(runs[2].owners, (std::vector<std::uint32_t>{2}));
}

TEST(BlockOwners, SharedRunWithOneKnownOwnerHasAnUnknownOne) {
  BlockOwners owners;
  owners.add(7, {at(0, 10, true), at(10, 10, false)});
  const auto runs = owners.runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_TRUE(runs[0].has_unknown_owner());
  EXPECT_FALSE(runs[1].has_unknown_owner());
}

TEST(BlockOwners, BlocksThatOneFileUsesTwiceBelongToItAlone) {
  BlockOwners owners;
  owners.add(3, {at(0, 10, true), at(0, 10, true)});
  const auto runs = owners.runs();
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].owners, (std::vector<std::uint32_t>{3}));
  EXPECT_FALSE(runs[0].has_unknown_owner());
}

TEST(BlockOwners, GapsAndUnsettledExtentsCountNothing) {
  BlockOwners owners;
  Extent delayed = at(1000, 10);
  delayed.settled = false;
  owners.add(1, {at(0, 10), at(100, 10), delayed});
  std::uint64_t sum = 0;
  for (const auto& run : owners.runs()) sum += run.length;
  EXPECT_EQ(sum, 20U);
}

}  // namespace
}  // namespace mlxcache::catalog
