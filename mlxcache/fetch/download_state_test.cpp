#include "mlxcache/fetch/download_state.h"

#include <gtest/gtest.h>

#include "mlxbase/core/bytes.h"
#include "mlxcache/fetch/download_stream.h"

namespace mlxcache::fetch {
namespace {

using namespace mlxbase;

DownloadState example() {
  DownloadState state;
  state.size = 2 * kPieceBytes + 100;
  state.digest = *Digest::parse(Algorithm::sha256, std::string(64, 'a'));
  state.validator = "\"etag\"";
  state.pieces.resize(3);
  state.pieces[0] = {static_cast<std::uint32_t>(kPieceBytes), *Digest::parse(Algorithm::sha256, std::string(64, 'b'))};
  state.pieces[1].have = 4096;
  return state;
}

TEST(DownloadState, ReadsBackWhatItWrote) {
  const auto back = parse_state(as_bytes(encode_state(example())));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, example());
  EXPECT_LE(encode_state(example()).size(), max_state_bytes(example().size));
}

TEST(DownloadState, NoShorterOrChangedOneIsAccepted) {
  const std::string good = encode_state(example());
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(parse_state(as_bytes(std::string_view(good).substr(0, n)))) << n;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    EXPECT_FALSE(parse_state(as_bytes(bad))) << i;
  }
}

TEST(DownloadState, APieceHasNoMoreThanItsBytes) {
  auto state = example();
  state.pieces[2].have = 101;
  EXPECT_FALSE(parse_state(as_bytes(encode_state(state))));
  state = example();
  state.pieces[1].sha256 = state.pieces[0].sha256;  // not whole, so it has no digest
  EXPECT_FALSE(parse_state(as_bytes(encode_state(state))));
  state = example();
  state.pieces.pop_back();
  EXPECT_FALSE(parse_state(as_bytes(encode_state(state))));
}

TEST(ContentRange, IsParsedStrictly) {
  const auto good = parse_content_range("bytes 3-5/10");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->first, 3U);
  EXPECT_EQ(good->last, 5U);
  EXPECT_EQ(good->total, 10U);
  EXPECT_TRUE(parse_content_range("bytes 3-5/*"));
  for (const char* text : {"", "bytes", "bytes 5-3/10", "bytes 3-10/10", "bytes -3/10", "bytes 3-/10", "bytes */10", "items 3-5/10", "bytes 3-5", "bytes 3-5/",
                           "bytes 3-5/10x", "bytes +3-5/10", "bytes 3-99999999999999999999/*"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(Validator, IsTheEtagOrElseTheDate) {
  EXPECT_EQ(validator_of({{"ETag", "\"a\""}, {"Last-Modified", "x"}}), "\"a\"");
  EXPECT_EQ(validator_of({{"Last-Modified", "x"}}), "x");
  EXPECT_EQ(validator_of({{"ETag", std::string(5000, 'a')}}), "");
  EXPECT_TRUE(is_strong("\"a\""));
  EXPECT_FALSE(is_strong("W/\"a\""));
}

}  // namespace
}  // namespace mlxcache::fetch
