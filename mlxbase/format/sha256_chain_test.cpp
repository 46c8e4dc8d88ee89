#include "mlxbase/format/sha256_chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
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

/// Both hashed in step, `a` in steps of another size than `b`.
std::pair<Chain, Chain> pair_of(std::span<const std::byte> a, std::size_t a_step, std::span<const std::byte> b, std::size_t b_step) {
  Sha256Chain one;
  Sha256Chain two;
  for (auto left = a, right = b; !left.empty() || !right.empty();) {
    const auto l = left.first(std::min(a_step, left.size()));
    const auto r = right.first(std::min(b_step, right.size()));
    Sha256Chain::update_pair(one, l, two, r);
    left = left.subspan(l.size());
    right = right.subspan(r.size());
  }
  Chain first{.sha256 = one.finish(), .size = a.size(), .links = one.links()};
  Chain second{.sha256 = two.finish(), .size = b.size(), .links = two.links()};
  return {first, second};
}

TEST(Sha256Chain, TwoInStepAreWhatTheyAreAlone) {
  if (!can_pair()) GTEST_SKIP() << "this processor has no instructions for SHA-256: two in step are two in a row";
  const auto bytes = noise(3 * kPiece + 777);
  const auto other = std::span(bytes).subspan(kPiece / 2 + 3);
  for (const std::size_t step : {std::size_t{1} << 20U, std::size_t{64}, std::size_t{999'983}, kPiece + 64}) {
    const auto small = std::span(bytes).first(step == 64 ? 10'000 : bytes.size());
    const auto [a, b] = pair_of(small, step, other, step == 64 ? 999'983 : step);
    EXPECT_EQ(a.sha256, sha256_of(small)) << step;
    EXPECT_EQ(b.sha256, sha256_of(other)) << step;
    EXPECT_EQ(a.links, chain_of(small, 1U << 20U).links) << step;
    EXPECT_EQ(b.links, chain_of(other, 1U << 20U).links) << step;
  }
  // Of borders between blocks that do not fall together.
  Sha256Chain odd;
  Sha256Chain even;
  odd.update(std::span(bytes).first(kPiece - 13));
  Sha256Chain::update_pair(odd, std::span(bytes).subspan(kPiece - 13), even, std::span(bytes).subspan(kPiece - 13));
  EXPECT_EQ(odd.finish(), sha256_of(bytes));
  EXPECT_EQ(odd.links(), chain_of(bytes, 1U << 20U).links);
  EXPECT_EQ(even.finish(), sha256_of(std::span(bytes).subspan(kPiece - 13)));
  for (std::size_t size = 0; size < 300; ++size) {
    const auto [a, b] = pair_of(std::span(bytes).first(size), 1000, std::span(bytes).subspan(size, 200), 1000);
    EXPECT_EQ(a.sha256, sha256_of(std::span(bytes).first(size))) << size;
    EXPECT_EQ(b.sha256, sha256_of(std::span(bytes).subspan(size, 200))) << size;
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
