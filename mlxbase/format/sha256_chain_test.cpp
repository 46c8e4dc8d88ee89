#include "mlxbase/format/sha256_chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mlxbase/format/hasher.h"

namespace mlxbase {
namespace {

constexpr std::size_t kPiece = kChainPieceBytes;

std::vector<std::byte> noise(std::size_t size) {
  std::vector<std::byte> out(size);
  std::uint32_t state = 7;
  for (auto& byte : out) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24U);
  }
  return out;
}

Digest sha256_of(std::span<const std::byte> bytes) {
  Hasher hasher(Algorithm::sha256);
  hasher.update(bytes);
  return hasher.finish();
}

Chain chain_of(std::span<const std::byte> bytes, std::size_t step) {
  Sha256Chain hash;
  for (std::size_t at = 0; at < bytes.size(); at += step) hash.update(bytes.subspan(at, std::min(step, bytes.size() - at)));
  Chain out{.sha256 = hash.finish(), .size = bytes.size(), .links = {}};
  out.links = hash.links();
  return out;
}

bool piece_is_good(const Chain& chain, std::span<const std::byte> bytes, std::uint64_t piece) {
  PieceCheck check(chain, piece);
  const auto begin = std::min<std::size_t>(piece * kPiece, bytes.size());
  check.update(bytes.subspan(begin, std::min<std::size_t>(chain.piece_size(piece), bytes.size() - begin)));
  return check.finish();
}

TEST(Sha256Chain, ThisPlatformLetsItsStateBeSeen) { EXPECT_TRUE(can_chain()); }

TEST(Sha256Chain, GivesTheDigestOfAnyHasherHoweverTheBytesArrive) {
  const auto bytes = noise(2 * kPiece + 12'345);
  for (const std::size_t step : {std::size_t{1} << 20U, std::size_t{999'983}, kPiece, bytes.size()}) {
    const Chain chain = chain_of(bytes, step);
    EXPECT_EQ(chain.sha256, sha256_of(bytes)) << step;
    EXPECT_EQ(chain.links.size(), 2U) << step;
    EXPECT_EQ(chain.links, chain_of(bytes, 65'537).links) << step;
  }
}

TEST(Sha256Chain, HasOneLinkFewerThanPieces) {
  EXPECT_EQ(chain_length(0), 0U);
  EXPECT_EQ(chain_length(1), 0U);
  EXPECT_EQ(chain_length(kPiece), 0U);
  EXPECT_EQ(chain_length(kPiece + 1), 1U);
  EXPECT_EQ(chain_length(3 * kPiece), 2U);
  const auto bytes = noise(2 * kPiece);
  EXPECT_EQ(chain_of(bytes, 1'000'000).links.size(), 1U);
}

TEST(Sha256Chain, TellsEachPieceByItselfWhateverTheOthersAre) {
  auto bytes = noise(3 * kPiece + 77);
  const Chain chain = chain_of(bytes, 1U << 20U);
  ASSERT_EQ(chain.pieces(), 4U);
  for (std::uint64_t p = 0; p < 4; ++p) EXPECT_TRUE(piece_is_good(chain, bytes, p)) << p;
  bytes[kPiece + 5] ^= std::byte{1};
  bytes[3 * kPiece + 76] ^= std::byte{128};
  EXPECT_TRUE(piece_is_good(chain, bytes, 0));
  EXPECT_FALSE(piece_is_good(chain, bytes, 1));
  EXPECT_TRUE(piece_is_good(chain, bytes, 2));
  EXPECT_FALSE(piece_is_good(chain, bytes, 3));
}

TEST(Sha256Chain, APieceThatIsTooShortIsNone) {
  const auto bytes = noise(kPiece + 100);
  const Chain chain = chain_of(bytes, 1U << 20U);
  EXPECT_FALSE(piece_is_good(chain, std::span(bytes).first(kPiece - 64), 0));
  EXPECT_FALSE(piece_is_good(chain, std::span(bytes).first(kPiece + 99), 1));
}

TEST(Sha256Chain, ACloneGoesItsOwnWay) {
  const auto bytes = noise(kPiece + 10);
  Sha256Chain one;
  one.update(std::span(bytes).first(kPiece));
  Sha256Chain two = one.clone();
  two.update(std::span(bytes).first(10));
  one.update(std::span(bytes).subspan(kPiece));
  EXPECT_EQ(one.finish(), sha256_of(bytes));
  EXPECT_NE(two.finish(), sha256_of(bytes));
  EXPECT_EQ(one.links(), two.links());
}

}  // namespace
}  // namespace mlxbase
