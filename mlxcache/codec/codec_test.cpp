#include "mlxcache/codec/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/core/bytes.h"

namespace mlxcache::codec {
namespace {

TEST(Codec, GivesBackWhatItWasGiven) {
  for (const std::string text : {"", "a", "some bytes of no known kind"}) {
    const auto coded = encode(mlxbase::as_bytes(text), Layout::flat(Dtype::bytes, text.size())).value();
    EXPECT_LE(coded.size(), text.size() + kPlainOverhead);
    std::vector<std::byte> out(text.size());
    ASSERT_TRUE(decode(coded, {}, out));
    EXPECT_EQ(mlxbase::as_text(out), text);
  }
}

}  // namespace
}  // namespace mlxcache::codec
