#include "mlxbase/core/small_list.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace mlxbase {
namespace {

std::vector<std::uint32_t> values(const SmallList<std::uint32_t>& list) { return {list.begin(), list.end()}; }

TEST(SmallList, KeepsOrderFromOneValueToMany) {
  SmallList<std::uint32_t> list;
  EXPECT_TRUE(list.empty());
  std::vector<std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 100; ++i) {
    list.push_back(i * 3);
    expected.push_back(i * 3);
    EXPECT_EQ(values(list), expected);
  }
  EXPECT_EQ(list.front(), 0U);
  EXPECT_EQ(list[99], 297U);
}

TEST(SmallList, CopiesAreApartAndMovesLeaveNothing) {
  for (const SmallList<std::uint32_t>& original : {SmallList<std::uint32_t>{7}, SmallList<std::uint32_t>{7, 8, 9}}) {
    SmallList<std::uint32_t> copy = original;
    copy.push_back(1);
    EXPECT_EQ(copy.size(), original.size() + 1);
    EXPECT_NE(copy, original);
    const SmallList<std::uint32_t> moved = std::move(copy);
    EXPECT_TRUE(copy.empty());  // NOLINT(bugprone-use-after-move): that is the claim
    EXPECT_EQ(moved.size(), original.size() + 1);
    copy = original;
    EXPECT_EQ(copy, original);
  }
}

TEST(SmallList, TakesInAnother) {
  SmallList<std::uint32_t> list{1};
  const SmallList<std::uint32_t> more{2, 3};
  list.append(more.begin(), more.end());
  EXPECT_EQ(values(list), (std::vector<std::uint32_t>{1, 2, 3}));
}

}  // namespace
}  // namespace mlxbase
