#include "mlxbase/core/bytes.h"

#include <gtest/gtest.h>

#include <limits>

namespace mlxbase {
namespace {

TEST(Bytes, IntegersAreLittleEndian) {
  ByteWriter w;
  w.put(std::uint32_t{0x01020304});
  ASSERT_EQ(w.bytes().size(), 4U);
  EXPECT_EQ(w.bytes()[0], std::byte{4});
  EXPECT_EQ(w.bytes()[3], std::byte{1});
}

TEST(Bytes, EveryValueSurvivesTheRoundTrip) {
  ByteWriter w;
  w.put(std::int64_t{-2});
  w.put(std::numeric_limits<std::uint64_t>::max());
  w.put(std::uint8_t{255});
  w.put_string("a\0b");
  ByteReader r(w.bytes());
  EXPECT_EQ(r.get<std::int64_t>(), -2);
  EXPECT_EQ(r.get<std::uint64_t>(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(r.get<std::uint8_t>(), 255);
  EXPECT_EQ(r.get_string(), std::string("a\0b"));
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.left(), 0U);
}

TEST(Bytes, AReaderThatRanOutSaysSoForEver) {
  ByteWriter w;
  w.put(std::uint64_t{7});
  for (std::size_t n = 0; n < 8; ++n) {
    ByteReader r(std::span(w.bytes()).first(n));
    EXPECT_EQ(r.get<std::uint64_t>(), 0U);
    EXPECT_FALSE(r.ok());
    EXPECT_EQ(r.get<std::uint8_t>(), 0) << "even where a byte is left";
    EXPECT_EQ(r.left(), 0U);
  }
}

TEST(Bytes, ALengthThatLiesReadsNothing) {
  ByteWriter w;
  w.put(std::numeric_limits<std::uint32_t>::max());
  w.put(std::uint8_t{1});
  ByteReader r(w.bytes());
  EXPECT_EQ(r.get_string(), "");
  EXPECT_FALSE(r.ok());
}

}  // namespace
}  // namespace mlxbase
