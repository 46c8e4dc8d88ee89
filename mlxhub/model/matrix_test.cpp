#include "mlxhub/model/matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "mlxbase/testing/temporary_folder.h"
#include "mlxhub/model/seeded_fixture.h"

namespace mlxhub::model {
namespace {

struct Block {
  const char* name;
  Coding coding;
  std::size_t bytes, weights;
  std::vector<std::size_t> halves;
};
const std::vector<Block>& all_blocks() {
  static const std::vector<Block> table = {
      {"Q4_0", Coding::q4_0, 18, 32, {0}},       {"Q4_1", Coding::q4_1, 20, 32, {0, 2}}, {"Q5_0", Coding::q5_0, 22, 32, {0}},     {"Q5_1", Coding::q5_1, 24, 32, {0, 2}},
      {"Q8_0", Coding::q8_0, 34, 32, {0}},       {"Q2_K", Coding::q2_k, 84, 256, {80, 82}}, {"Q3_K", Coding::q3_k, 110, 256, {108}}, {"Q4_K", Coding::q4_k, 144, 256, {0, 2}},
      {"Q5_K", Coding::q5_k, 176, 256, {0, 2}},  {"Q6_K", Coding::q6_k, 210, 256, {208}}, {"IQ4_NL", Coding::iq4_nl, 18, 32, {0}}, {"IQ4_XS", Coding::iq4_xs, 136, 256, {0}},
      {"MXFP4", Coding::mxfp4, 17, 32, {}},
  };
  return table;
}

/// As block_bytes of tests/hub/reference.py.
std::string bytes_of(const Block& block, std::size_t count) {
  std::string data;
  for (std::size_t i = 0; i < block.bytes * count; ++i) data += static_cast<char>(noise_at(block.name, i) >> 56U);
  for (std::size_t b = 0; b < count; ++b) {
    for (const std::size_t at : block.halves) {
      char& high = data[b * block.bytes + at + 1];
      high = static_cast<char>((high & 0x83) | 0x20);
    }
    if (block.halves.empty()) data[b * block.bytes] = static_cast<char>(120 + static_cast<unsigned char>(data[b * block.bytes]) % 16);
  }
  return data;
}

std::uint32_t crc32(const std::vector<float>& values) {
  std::uint32_t crc = 0xFFFFFFFFU;
  const auto* p = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * 4; ++i) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

TEST(Matrix, DecodesEveryCodingOfGgufBitForBitAsItsOwnReaderDoes) {
  const auto reference = mlxbase::json::parse(mlxbase::testing::read_all(MLXHUB_MODEL_REFERENCE "/blocks.json"));
  ASSERT_TRUE(reference) << reference.error().message;
  ASSERT_EQ(reference->object().size(), all_blocks().size());
  for (const Block& block : all_blocks()) {
    const std::string data = bytes_of(block, 8);
    const Matrix m{.coding = block.coding, .rows = 1, .columns = 8 * block.weights, .data = mlxbase::as_bytes(data).data(), .row_bytes = data.size()};
    std::vector<float> values(m.columns);
    row_to_floats(m, 0, values.data());
    const auto& expected = (*reference)[block.name];
    double sum = 0;
    for (const float v : values) sum += v;
    for (std::size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(values[i], static_cast<float>(expected["first"].array()[i].number())) << block.name << ' ' << i;
    EXPECT_NEAR(sum, expected["sum"].number(), 1e-2) << block.name;
    EXPECT_EQ(crc32(values), expected["crc32"].u64()) << block.name;
  }
}

TEST(Matrix, KnowsEveryHalfFloat) {
  for (std::uint32_t h = 0; h < 65536; ++h) {
    const auto sign = (h & 0x8000U) != 0 ? -1.0 : 1.0;
    const int exponent = static_cast<int>(h >> 10U & 31U), fraction = static_cast<int>(h & 1023U);
    const float value = half_to_float(static_cast<std::uint16_t>(h));
    if (exponent == 31) {
      EXPECT_TRUE(fraction != 0 ? std::isnan(value) : std::isinf(value));
      continue;
    }
    const double expected = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(static_cast<double>(value), sign * expected) << h;
  }
}

TEST(Matrix, ReadsMlxGroupsOfAnyWidth) {
  for (unsigned bits = 2; bits <= 8; ++bits) {
    constexpr std::size_t kColumns = 128, kGroup = 64;
    std::vector<unsigned char> row(kColumns * bits / 8);
    std::vector<unsigned> codes(kColumns);
    for (std::size_t i = 0; i < kColumns; ++i) {
      codes[i] = static_cast<unsigned>(noise_at("codes", i)) & ((1U << bits) - 1);
      for (unsigned b = 0; b < bits; ++b) {
        if ((codes[i] >> b & 1U) != 0) row[(i * bits + b) / 8] |= static_cast<unsigned char>(1U << ((i * bits + b) % 8));
      }
    }
    const float scales[2] = {0.5F, -0.25F}, biases[2] = {1.0F, 3.0F};
    const Matrix m{.coding = Coding::affine, .rows = 1, .columns = kColumns, .data = reinterpret_cast<const std::byte*>(row.data()), .row_bytes = row.size(),
                   .scales = reinterpret_cast<const std::byte*>(scales), .biases = reinterpret_cast<const std::byte*>(biases), .scale_coding = Coding::f32, .bits = bits, .group = kGroup};
    std::vector<float> values(kColumns);
    row_to_floats(m, 0, values.data());
    for (std::size_t i = 0; i < kColumns; ++i) EXPECT_EQ(values[i], static_cast<float>(codes[i]) * scales[i / kGroup] + biases[i / kGroup]) << bits << ' ' << i;
  }
}

}  // namespace
}  // namespace mlxhub::model
