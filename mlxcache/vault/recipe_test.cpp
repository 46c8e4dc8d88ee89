// Recipes against what the real quantisers make of the same numbers, and in a vault.
#include "mlxcache/vault/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "mlxcache/vault/reader.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

using mlxbase::Code;
using Maker = Recipe::Maker;

/// 64 × 256 BF16 of 16 octaves and both signs; the reference bytes below were made of the same.
Bytes numbers() {
  Bytes out(std::size_t{64} * 256 * 2);
  std::uint32_t s = 12345;
  for (std::size_t i = 0; i < out.size() / 2; ++i) {
    s = s * 1664525U + 1013904223U;
    const std::uint32_t exponent = 112 + ((s >> 24U & 3U) != 0 ? s >> 20U & 15U : 12U);
    const auto bits = static_cast<std::uint16_t>((s >> 31U) << 15U | exponent << 7U | (s >> 12U & 127U));
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
  return out;
}

Bytes made(const Recipe& recipe, std::span<const std::byte> base) {
  Bytes out(static_cast<std::size_t>(base.size() / recipe.unit_input() * recipe.unit_bytes()));
  make(recipe, base, out);
  return out;
}
std::string hex_of(const Bytes& bytes) { return digest_of(bytes).hex(); }

// gguf of PyPI: gguf.quants.quantize(values as F32, type).
TEST(Recipe, MakesTheBytesOfGgufsQuantisers) {
  const struct {
    std::uint32_t type;
    const char* sha256;
  } kCases[] = {
      {kGgufQ4_0, "2ec7673df6d21d732cf5adee1e14847ac37cda03393f8db74171bc788aadcd2f"},
      {kGgufQ4_1, "7647daadce1d4b86e3ac7b82aa57137b7b95c7990547895ac776c4188b92d64e"},
      {kGgufQ5_0, "d705f27702cef2432236fee6008e44fabb1d2830212bb8b3e1ca93701edd9b21"},
      {kGgufQ5_1, "4ebe96d303065153e3128970921b6b093af337f42c86b70f751da7422d8f47d7"},
      {kGgufQ8_0, "a2a6925b8af11c13fc3fccaa41d4dde268b5bedd4783b327590e0e52a7e7d28c"},
  };
  for (const auto& c : kCases) {
    const Recipe recipe{.maker = Maker::gguf, .output = static_cast<std::uint8_t>(c.type)};
    EXPECT_EQ(hex_of(made(recipe, numbers())), c.sha256) << c.type;
  }
  EXPECT_EQ(hex_of(made({.maker = Maker::cast, .output = static_cast<std::uint8_t>(codec::Dtype::f16)}, numbers())),
            "2dc07394ee53e589f72c7e7a1fac85128eb4e0ec2775d3a55da2a969b858c448") << "numpy.float16";
}

// mlx 0.32 of PyPI: mlx.core.quantize on the processor.
TEST(Recipe, MakesTheBytesOfMlxsQuantiser) {
  const struct {
    std::uint8_t bits;
    std::uint16_t group;
    const char *weight, *scales, *biases;  // first 16 digits of the SHA-256
  } kCases[] = {
      {2, 32, "79ab9a62e5ca8b82", "bdcf2a2474459276", "f460180ef93f7f3b"},
      {2, 64, "6db28a2d11098d75", "efc5aa5596a8c862", "b78ad32204a01203"},
      {2, 128, "c5abbe84da1c2dc6", "4a505b934b6737a2", "ae9fe7515856bd59"},
      {3, 32, "75b7e3457d329a49", "a41977869909e962", "f460180ef93f7f3b"},
      {3, 64, "08d5993cf5e98769", "cc94f76268bef66f", "b78ad32204a01203"},
      {3, 128, "defd07f74d61da64", "f21de442d3b205ea", "ae9fe7515856bd59"},
      {4, 32, "c5657735892b98b4", "29e15965c490ccb2", "f460180ef93f7f3b"},
      {4, 64, "f6e3dc89202f928e", "2cfb4d5213d43900", "b78ad32204a01203"},
      {4, 128, "716b7384cbeb0d12", "3bd17229480ec3e8", "ae9fe7515856bd59"},
      {5, 32, "8e0bb5c84c212479", "f296d317407ee09f", "f460180ef93f7f3b"},
      {5, 64, "fe2d0b38c32ea18c", "790b3a972c860a57", "b78ad32204a01203"},
      {5, 128, "f7b72fdd6c2868a4", "b1247722cb2cba1d", "ae9fe7515856bd59"},
      {6, 32, "2626df19b0552048", "9365f352ebcc5030", "f460180ef93f7f3b"},
      {6, 64, "c84e68ee44956474", "382a8ca5054c527f", "b78ad32204a01203"},
      {6, 128, "db27e5c6396f9646", "d4f7386aa6542588", "ae9fe7515856bd59"},
      {8, 32, "430d45c58fadda80", "b85b0d4e5f25580e", "f460180ef93f7f3b"},
      {8, 64, "11818597b08832c5", "5fc4b5be9abb0a7a", "b78ad32204a01203"},
      {8, 128, "191e1d84008813ea", "941ab33bec5ee6dc", "ae9fe7515856bd59"},
  };
  const auto bf16 = static_cast<std::uint8_t>(codec::Dtype::bf16);
  for (const auto& c : kCases) {
    EXPECT_EQ(hex_of(made({.maker = Maker::mlx_weight, .bits = c.bits, .group = c.group}, numbers())).substr(0, 16), c.weight) << int{c.bits} << ' ' << c.group;
    EXPECT_EQ(hex_of(made({.maker = Maker::mlx_scales, .output = bf16, .bits = c.bits, .group = c.group}, numbers())).substr(0, 16), c.scales) << int{c.bits} << ' ' << c.group;
    EXPECT_EQ(hex_of(made({.maker = Maker::mlx_biases, .output = bf16, .bits = c.bits, .group = c.group}, numbers())).substr(0, 16), c.biases) << int{c.bits} << ' ' << c.group;
  }
}

TEST(Recipe, RefusesWhatItDoesNotKnow) {
  const Recipe recipe{.maker = Maker::mlx_weight, .bits = 4, .group = 64};
  const auto good = encode_recipe(recipe);
  EXPECT_EQ(*parse_recipe(good), recipe);
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(parse_recipe(std::span(good).first(n))) << n;
  auto later = good;
  later[0] = std::byte{2};
  EXPECT_EQ(parse_recipe(later).error().code, Code::unsupported);
  later = good;
  later[1] = std::byte{6};
  EXPECT_EQ(parse_recipe(later).error().code, Code::unsupported);
  later = good;
  later[6] = std::byte{7};  // bits
  EXPECT_EQ(parse_recipe(later).error().code, Code::corrupt);
  EXPECT_FALSE(check_recipe(recipe, 64 * 2 * 3, 32 * 2));
  EXPECT_TRUE(check_recipe(recipe, 64 * 2 * 3, 32 * 3));
}

class Derived : public testing::Test {
 protected:
  Bench b;
  std::unique_ptr<Vault> vault = b.writer();
  Bytes base = b.floats(256, 512, 1);

  void SetUp() override { put(base, {Dtype::bf16, 0, 512}); }
  Head put(const Bytes& bytes, const Layout& layout) {
    const auto put = vault->put(digest_of(bytes), bytes, layout);
    EXPECT_TRUE(put) << put.error().message;
    EXPECT_EQ(*vault->read(digest_of(bytes)), bytes);
    return put->head;
  }
  void expect_derived(const Recipe& recipe, const Layout& layout) {
    const Bytes bytes = made(recipe, base);
    const Head head = put(bytes, layout);
    EXPECT_EQ(head.kind, Kind::derived);
    EXPECT_LT(head.payload, 64U);
    EXPECT_THAT(head.bases, testing::ElementsAre(digest_of(base)));
    Reader reader(*vault);
    for (const std::size_t at : {std::size_t{0}, bytes.size() / 3, bytes.size() - 7}) {
      Bytes out(7);
      ASSERT_TRUE(reader.read(digest_of(bytes), at, out));
      EXPECT_TRUE(std::equal(out.begin(), out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at))) << at;
    }
    // One weight that somebody else rounded: kept in another way, and it comes back.
    Bytes other = bytes;
    other[other.size() - 3] ^= std::byte{1};
    EXPECT_NE(put(other, layout).kind, Kind::derived);
  }
};

TEST_F(Derived, FindsWhatGgufFilesWereMadeOf) {
  put(b.nudged(base, 2), {Dtype::bf16, 0, 512});
  expect_derived({.maker = Maker::gguf, .output = kGgufQ8_0}, {Dtype::q8_0, 0, 512});
  expect_derived({.maker = Maker::gguf, .output = kGgufQ4_0, .rounding = Recipe::Rounding::none}, {Dtype::q4_0, 0, 512});
  expect_derived({.maker = Maker::gguf, .through = codec::Dtype::f16, .output = kGgufQ4_1}, {Dtype::q4_1, 0, 512});
  expect_derived({.maker = Maker::gguf, .output = kGgufQ5_1}, {Dtype::blocks, 0, 512});
  expect_derived({.maker = Maker::cast, .output = static_cast<std::uint8_t>(codec::Dtype::f16)}, {Dtype::f16, 0, 512});
  expect_derived({.maker = Maker::cast, .output = static_cast<std::uint8_t>(codec::Dtype::f32)}, {Dtype::f32, 0, 512});
}

TEST_F(Derived, FindsWhatMlxFilesWereMadeOf) {
  const auto bf16 = static_cast<std::uint8_t>(codec::Dtype::bf16);
  put(b.floats(256, 512, 9), {Dtype::bf16, 0, 512});
  expect_derived({.maker = Maker::mlx_biases, .output = bf16, .bits = 4, .group = 64}, {Dtype::bf16, 0, 8});
  expect_derived({.maker = Maker::mlx_scales, .output = bf16, .bits = 4, .group = 64}, {Dtype::bf16, 0, 8});
  expect_derived({.maker = Maker::mlx_weight, .bits = 4, .group = 64}, {Dtype::packed, 0, 64});
  expect_derived({.maker = Maker::mlx_weight, .bits = 3, .group = 32}, {Dtype::packed, 0, 48});
}

TEST_F(Derived, NeedsNoMoreThanTwoBases) {
  const Bytes tuned = b.nudged(base, 2);
  EXPECT_EQ(put(tuned, {Dtype::bf16, 0, 512}).depth, 1);
  const Head head = put(made({.maker = Maker::gguf, .output = kGgufQ8_0}, tuned), {Dtype::q8_0, 0, 512});
  EXPECT_EQ(head.kind, Kind::derived);
  EXPECT_THAT(head.bases, testing::ElementsAre(digest_of(tuned)));
  EXPECT_EQ(head.depth, 2);
  ASSERT_TRUE(vault->publish());
  vault.reset();
  const auto verified = b.reader()->verify(1, mlxbase::no_progress(), nullptr);
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_THAT(verified->bad, testing::IsEmpty());
}

}  // namespace
}  // namespace mlxcache::vault
