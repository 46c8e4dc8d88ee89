#include "mlxcache/codec/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "mlxbase/core/bytes.h"
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {
namespace {

using Bytes = std::vector<std::byte>;

constexpr Dtype kAll[] = {Dtype::bytes, Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8_e4m3, Dtype::f8_e5m2, Dtype::i64,
                          Dtype::u64,   Dtype::i32, Dtype::u32, Dtype::i16, Dtype::u16,  Dtype::i8,      Dtype::u8,      Dtype::boolean};

std::uint16_t bf16_of(float f) {
  std::uint32_t u;
  std::memcpy(&u, &f, 4);
  return static_cast<std::uint16_t>((u + 0x7FFFU + (u >> 16 & 1U)) >> 16);
}
std::uint16_t f16_of(float f) {  // of normal numbers of its range; smaller ones become zero
  std::uint32_t u;
  std::memcpy(&u, &f, 4);
  const int e = static_cast<int>(u >> 23 & 255U) - 112;
  return static_cast<std::uint16_t>(u >> 16 & 0x8000U) | static_cast<std::uint16_t>(e <= 0 ? 0 : std::min(e, 30) << 10 | static_cast<int>(u >> 13 & 1023U));
}

void put(Bytes& out, std::size_t i, Dtype dtype, float f) {
  if (dtype == Dtype::f32) {
    std::memcpy(out.data() + 4 * i, &f, 4);
  } else if (dtype == Dtype::f64) {
    const double d = f;
    std::memcpy(out.data() + 8 * i, &d, 8);
  } else {
    const std::uint16_t v = dtype == Dtype::bf16 ? bf16_of(f) : f16_of(f);
    std::memcpy(out.data() + 2 * i, &v, 2);
  }
}

/// Weights as training leaves them: gaussian, each row and column with a scale of its own.
std::vector<float> weights(std::size_t rows, std::size_t columns, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row_scale(rows), column_scale(columns), all(rows * columns);
  for (float& s : row_scale) s = std::exp2(normal(random));
  for (float& s : column_scale) s = std::exp2(normal(random));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = 0.02F * normal(random) * row_scale[i / columns] * column_scale[i % columns];
  return all;
}
Bytes bytes_of(const std::vector<float>& values, Dtype dtype) {
  Bytes out(values.size() * width_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) put(out, i, dtype, values[i]);
  return out;
}
std::vector<float> updated(std::vector<float> values, float by, unsigned seed = 2) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (float& v : values) v += by * normal(random);
  return values;
}
Bytes noise(std::size_t n, unsigned seed = 3) {
  std::mt19937 random(seed);
  Bytes out(n);
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  return out;
}

/// Encodes, decodes with every kernel and in ranges, and compares; returns the coded bytes.
Bytes round_trip(const Bytes& tensor, const Layout& layout, const Bytes& base = {}, const Layout* base_layout = nullptr, Options options = {}) {
  const auto coded = encode(tensor, layout, base, base_layout, options);
  if (!coded) {
    ADD_FAILURE() << coded.error().message;
    return {};
  }
  EXPECT_LE(coded->size(), tensor.size() + kPlainOverhead);
  const auto info = inspect(*coded);
  EXPECT_TRUE(info) << info.error().message;
  if (!info) return {};
  EXPECT_EQ(info->size, tensor.size());
  EXPECT_EQ(info->coded_size, coded->size());
  const auto with = info->kind == Kind::delta ? std::span<const std::byte>(base) : std::span<const std::byte>();
  for (const Kernel kernel : kernels()) {
    Options other = options;
    other.kernel = kernel;
    EXPECT_EQ(encode(tensor, layout, base, base_layout, other).value(), *coded) << to_string(kernel);
    Bytes out(tensor.size(), std::byte{0x5A});
    const auto done = decode(*coded, with, out, other);
    EXPECT_TRUE(done) << to_string(kernel) << ": " << done.error().message;
    EXPECT_TRUE(out == tensor) << to_string(kernel);
  }
  const auto decoder = Decoder::open(ByteSource::of(*coded), ByteSource::of(with));
  EXPECT_TRUE(decoder) << decoder.error().message;
  if (!decoder) return {};
  for (const auto& [offset, length] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 3}, {kBlockBytes - 3, 7}, {tensor.size() / 2, 1000}, {0, tensor.size()}, {tensor.size(), 0}}) {
    if (offset > tensor.size()) continue;
    Bytes part(std::min(length, tensor.size() - offset));
    const auto done = decoder->read(offset, part);
    EXPECT_TRUE(done) << offset << ": " << done.error().message;
    EXPECT_TRUE(std::equal(part.begin(), part.end(), tensor.begin() + static_cast<std::ptrdiff_t>(offset))) << offset;
  }
  return *coded;
}
double ratio(const Bytes& coded, const Bytes& tensor) { return static_cast<double>(coded.size()) / static_cast<double>(tensor.size()); }

TEST(Codec, GivesBackEveryDtypeAtEverySize) {
  for (const Dtype dtype : kAll) {
    for (const std::size_t n : {0UL, 1UL, 2UL, 3UL, 63UL, 64UL, 65UL, 1000UL, 4097UL}) {
      const Bytes random = noise(n * width_of(dtype));
      round_trip(random, {.dtype = dtype, .rows = 1, .columns = n});
      const Bytes base = noise(n * width_of(dtype), 4);
      const Layout layout{.dtype = dtype, .rows = 1, .columns = n};
      round_trip(random, layout, base, &layout);
      round_trip(random, layout, random, &layout);
      Bytes skewed = random;
      for (std::byte& b : skewed) b &= std::byte{0x11};
      round_trip(skewed, layout);
    }
  }
}

TEST(Codec, GivesBackFloatsOfEveryKind) {
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16, Dtype::f32}) {
    const std::size_t width = width_of(dtype), rows = 300, columns = 700;  // more than a block, no round number of them
    Bytes tensor = bytes_of(weights(rows, columns), dtype);
    for (const std::size_t drop : {0UL, 1UL, 3UL}) {
      for (const std::uint8_t phase : {0, 1}) {
        Bytes odd(tensor.begin(), tensor.end() - static_cast<std::ptrdiff_t>(drop));
        odd.insert(odd.begin(), phase, std::byte{7});
        round_trip(odd, Layout::flat(dtype, odd.size(), phase));
      }
    }
    // NaN payloads, infinities, denormals, both zeros, numbers far from the others: all bits patterns of the upper half, in between.
    std::mt19937 random(5);
    for (std::size_t i = 0; i < tensor.size() / width; i += 13) {
      const auto v = static_cast<std::uint16_t>(random());
      std::memcpy(tensor.data() + i * width + (width - 2), &v, 2);
    }
    for (std::size_t i = 5; i < tensor.size() / width; i += 17) {
      static constexpr std::uint16_t kSpecial[] = {0x7FC0, 0xFF81, 0x7F80, 0xFF80, 0, 0x8000, 1, 0x8001, 0x7C01, 0xFC00, 0x7BFF, 0x03FF};
      std::memcpy(tensor.data() + i * width + (width - 2), &kSpecial[i % 12], 2);
    }
    const Layout layout{.dtype = dtype, .rows = rows, .columns = columns};
    round_trip(tensor, layout);
    const Bytes base = bytes_of(weights(rows, columns), dtype);
    round_trip(tensor, layout, base, &layout);
    round_trip(base, layout, tensor, &layout);
  }
}

TEST(Codec, UsesTheScalesOfRowsAndColumns) {
  const Bytes tensor = bytes_of(weights(512, 512), Dtype::bf16);
  const double with = ratio(round_trip(tensor, {.dtype = Dtype::bf16, .rows = 512, .columns = 512}), tensor);
  const double without = ratio(round_trip(tensor, Layout::flat(Dtype::bf16, tensor.size())), tensor);
  EXPECT_LT(with, 0.668);
  EXPECT_GT(without - with, 0.03);
}

TEST(Codec, CodesAFineTuneAsItsDifference) {
  const auto base = weights(400, 512);
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16, Dtype::f32}) {
    const Bytes from = bytes_of(base, dtype), tensor = bytes_of(updated(base, 2e-4F), dtype);
    const Layout layout{.dtype = dtype, .rows = 400, .columns = 512};
    const auto coded = round_trip(tensor, layout, from, &layout);
    EXPECT_EQ(inspect(coded)->kind, Kind::delta);
    EXPECT_LT(ratio(coded, tensor), dtype == Dtype::bf16 ? 0.3 : 0.65) << to_string(dtype);
  }
}

TEST(Codec, EqualBlocksAndRowsCostNothing) {
  auto values = weights(1024, 512);
  const Bytes base = bytes_of(values, Dtype::bf16);
  const Layout layout{.dtype = Dtype::bf16, .rows = 1024, .columns = 512};
  const auto same = round_trip(base, layout, base, &layout);
  EXPECT_LT(same.size(), 200U);
  for (std::size_t r = 3; r < 256; r += 50) {
    for (std::size_t c = 0; c < 512; ++c) values[r * 512 + c] *= 1.01F;
  }
  const auto coded = round_trip(bytes_of(values, Dtype::bf16), layout, base, &layout);
  EXPECT_LT(coded.size(), 3000U);  // six rows of 512 elements, below four bits each
  EXPECT_EQ(inspect(coded)->blocks.back().kind, BlockKind::copy);
}

TEST(Codec, AResizedEmbeddingCostsItsNewRows) {
  const auto all = weights(1064, 512);
  const Bytes tensor = bytes_of(all, Dtype::bf16);
  const Bytes base(tensor.begin(), tensor.begin() + 1000 * 1024);
  const Layout layout{.dtype = Dtype::bf16, .rows = 1064, .columns = 512}, base_layout{.dtype = Dtype::bf16, .rows = 1000, .columns = 512};
  EXPECT_LT(round_trip(tensor, layout, base, &base_layout).size(), 66'000U);  // 64 rows are 65,536 bytes
}

TEST(Codec, AnF32TensorCostsHalfWithItsTwin) {
  const auto values = weights(256, 512);
  const Bytes tensor = bytes_of(values, Dtype::f32);
  const Layout layout{.dtype = Dtype::f32, .rows = 256, .columns = 512};
  for (const Dtype twin : {Dtype::bf16, Dtype::f16}) {
    const Layout base_layout{.dtype = twin, .rows = 256, .columns = 512};
    const auto coded = round_trip(tensor, layout, bytes_of(values, twin), &base_layout);
    EXPECT_EQ(inspect(coded)->kind, Kind::delta);
    EXPECT_LT(ratio(coded, tensor), 0.51);
  }
}

TEST(Codec, LeavesPlainWhatGainsNothing) {
  const Bytes random = noise(300'000);
  for (const Dtype dtype : kAll) {
    const auto coded = round_trip(random, Layout::flat(dtype, random.size()));
    EXPECT_EQ(inspect(coded)->kind, Kind::plain);
    EXPECT_EQ(coded.size(), random.size() + kPlainOverhead);
  }
}

TEST(Codec, CodesBytesOfOtherDtypesThatAreSkewed) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal(0, 20);
  Bytes tensor(400'000);
  for (std::byte& b : tensor) b = static_cast<std::byte>(static_cast<std::int8_t>(normal(random)));
  EXPECT_LT(ratio(round_trip(tensor, Layout::flat(Dtype::i8, tensor.size())), tensor), 0.82);
}

TEST(Codec, TwoThreadsGiveTheSameBytes) {
  const auto base = weights(600, 1024);
  const Layout layout{.dtype = Dtype::bf16, .rows = 600, .columns = 1024};
  const Bytes from = bytes_of(base, Dtype::bf16), tensor = bytes_of(updated(base, 1e-3F), Dtype::bf16);
  const auto one = encode(tensor, layout).value(), one_delta = encode(tensor, layout, from, &layout).value();
  EXPECT_EQ(round_trip(tensor, layout, {}, nullptr, {.threads = 2}), one);
  EXPECT_EQ(round_trip(tensor, layout, from, &layout, {.threads = 3}), one_delta);
}

TEST(Codec, RefusesALayoutLongerThanItsBytes) {
  const Bytes tensor(10);
  EXPECT_EQ(encode(tensor, {.dtype = Dtype::bf16, .rows = 2, .columns = 3}).error().code, mlxbase::Code::invalid);
  EXPECT_EQ(encode(tensor, {.dtype = Dtype::bf16, .rows = ~0ULL, .columns = ~0ULL}).error().code, mlxbase::Code::invalid);
  EXPECT_EQ(encode(tensor, {.dtype = Dtype::bf16, .rows = 1, .columns = 1, .phase = 2}).error().code, mlxbase::Code::invalid);
}

TEST(Codec, DecodingNeedsTheRightBaseAndRoom) {
  const auto base = weights(64, 512);
  const Bytes from = bytes_of(base, Dtype::bf16), tensor = bytes_of(updated(base, 1e-3F), Dtype::bf16);
  const Layout layout{.dtype = Dtype::bf16, .rows = 64, .columns = 512};
  const auto coded = encode(tensor, layout, from, &layout).value();
  Bytes out(tensor.size());
  EXPECT_EQ(decode(coded, {}, out).error().code, mlxbase::Code::invalid);
  out.pop_back();
  EXPECT_EQ(decode(coded, from, out).error().code, mlxbase::Code::invalid);
  EXPECT_EQ(decode_range(coded, from, tensor.size(), std::span(out).first(1)).error().code, mlxbase::Code::invalid);
}

// What an attacker does who knows the format: checksums of all blocks and of the head made to fit (offsets: docs/formats/codec.md).
void repair_checksums(Bytes& coded) {
  const auto fnv = [](std::span<const std::byte> bytes, std::uint32_t sum) {
    for (const std::byte b : bytes) sum = (sum ^ std::to_integer<std::uint32_t>(b)) * 0x01000193U;
    return sum;
  };
  const auto put_u32 = [&](std::size_t at, std::uint32_t v) { std::memcpy(coded.data() + at, &v, 4); };
  std::uint32_t side = 0;
  std::memcpy(&side, coded.data() + 36, 4);
  std::uint64_t size = 0;
  std::memcpy(&size, coded.data() + 8, 8);
  const std::size_t blocks = (static_cast<std::size_t>(size) + kBlockBytes - 1) / kBlockBytes;
  std::size_t at = 56 + 8 * blocks + side;
  for (std::size_t b = 0; b < blocks; ++b) {
    std::uint32_t entry = 0;
    std::memcpy(&entry, coded.data() + 56 + 8 * b, 4);
    const std::size_t length = entry & 0x3FFFFFFFU;
    if (at + length > coded.size()) return;
    put_u32(60 + 8 * b, scalar_kernels().checksum(reinterpret_cast<const std::uint8_t*>(coded.data()) + at, length));
    at += length;
  }
  const std::size_t head = 56 + 8 * blocks + side;
  put_u32(52, fnv(std::span(coded).subspan(56, head - 56), fnv(std::span(coded).first(52), 0x811C9DC5U)));
}

// A coded tensor of each scheme, small enough to be damaged at every byte.
struct Sample {
  const char* name;
  Bytes coded, base, tensor;
};
std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto add = [&](const char* name, const Bytes& tensor, const Layout& layout, const Bytes& base = {}, const Layout* base_layout = nullptr) {
    Options options;
    options.least_gain = -10;
    all.push_back({name, encode(tensor, layout, base, base_layout, options).value(), base, tensor});
    if (inspect(all.back().coded)->kind == Kind::alone) all.back().base.clear();
  };
  const auto values = weights(64, 32), more = updated(values, 1e-3F);
  const Layout bf16{.dtype = Dtype::bf16, .rows = 64, .columns = 32}, f16{.dtype = Dtype::f16, .rows = 64, .columns = 32},
      f32{.dtype = Dtype::f32, .rows = 64, .columns = 32};
  add("bf16", bytes_of(values, Dtype::bf16), bf16);
  add("f16", bytes_of(values, Dtype::f16), f16);
  add("f32", bytes_of(values, Dtype::f32), f32);
  add("difference", bytes_of(more, Dtype::bf16), bf16, bytes_of(values, Dtype::bf16), &bf16);
  add("difference of f32", bytes_of(more, Dtype::f32), f32, bytes_of(values, Dtype::f32), &f32);
  add("twin", bytes_of(values, Dtype::f32), f32, bytes_of(values, Dtype::bf16), &bf16);
  Bytes skewed = noise(3000);
  for (std::byte& b : skewed) b &= std::byte{0x33};
  add("bytes", skewed, Layout::flat(Dtype::i8, skewed.size()));
  return all;
}

TEST(CodecDamage, EveryCutIsNoticed) {
  for (const Sample& s : samples()) {
    ASSERT_NE(inspect(s.coded)->kind, Kind::plain) << s.name;
    Bytes out(s.tensor.size());
    for (std::size_t n = 0; n < s.coded.size(); ++n) {
      const Bytes cut(s.coded.begin(), s.coded.begin() + static_cast<std::ptrdiff_t>(n));  // of its own, so that reading past it is seen
      EXPECT_FALSE(decode(cut, s.base, out)) << s.name << " cut to " << n;
    }
    Bytes longer = s.coded;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode(longer, s.base, out)) << s.name;
  }
}

TEST(CodecDamage, EveryFlippedByteIsAnError) {
  for (const Sample& s : samples()) {
    Bytes out(s.tensor.size()), damaged = s.coded;
    for (std::size_t at = 0; at < damaged.size(); ++at) {
      damaged[at] ^= static_cast<std::byte>(1U << at % 8);
      EXPECT_FALSE(decode(damaged, s.base, out)) << s.name << " at " << at;
      damaged[at] ^= static_cast<std::byte>(1U << at % 8);
    }
  }
}

TEST(CodecDamage, AHostileBlockWithTheRightChecksumDoesNoHarm) {
  std::mt19937 random(8);
  for (const Sample& s : samples()) {
    Bytes out(s.tensor.size());
    for (int round = 0; round < 60; ++round) {
      Bytes damaged = s.coded;
      const std::size_t at = inspect(s.coded)->blocks.front().at, many = 1 + random() % 4;
      for (std::size_t i = 0; i < many; ++i) damaged[at + random() % (damaged.size() - at)] = static_cast<std::byte>(random());
      repair_checksums(damaged);
      ASSERT_TRUE(inspect(damaged)) << s.name;
      for (const Kernel kernel : kernels()) {
        Bytes mine(s.tensor.size());
        const auto done = decode(damaged, s.base, mine, {.kernel = kernel});
        if (kernel == Kernel::scalar) out = done ? mine : Bytes();
        EXPECT_EQ(done ? mine : Bytes(), out) << s.name << " " << to_string(kernel);  // kernels agree on nonsense too
      }
    }
  }
}

TEST(CodecDetect, TellsFloatsByTheirBytes) {
  const auto values = weights(256, 256);
  for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
    for (std::uint8_t phase = 0; phase < width_of(dtype); ++phase) {
      Bytes bytes = bytes_of(values, dtype);
      bytes.insert(bytes.begin(), phase, std::byte{1});
      const Detected d = detect(bytes);
      EXPECT_EQ(d.dtype, dtype) << to_string(dtype);
      EXPECT_EQ(d.phase, phase) << to_string(dtype);
      const auto coded = round_trip(bytes, Layout::flat(Dtype::bytes, bytes.size()));
      EXPECT_EQ(inspect(coded)->layout.dtype, dtype);
    }
  }
  EXPECT_EQ(detect(noise(100'000)).dtype, Dtype::bytes);
  EXPECT_EQ(detect({}).dtype, Dtype::bytes);
}

TEST(CodecSketch, KnowsARelativeByContent) {
  const auto base = weights(500, 256), other = weights(500, 256, 99);
  const Layout bf16{.dtype = Dtype::bf16, .rows = 500, .columns = 256}, f32{.dtype = Dtype::f32, .rows = 500, .columns = 256};
  const auto sketch_of = [&](const std::vector<float>& v, const Layout& l) { return sketch(bytes_of(v, l.dtype), l); };
  const Sketch mine = sketch_of(base, bf16);
  EXPECT_EQ(similarity(mine, mine), 1);
  const double near = similarity(mine, sketch_of(updated(base, 2e-4F), bf16)), far = similarity(mine, sketch_of(updated(base, 5e-3F), bf16));
  EXPECT_GT(near, far);
  EXPECT_GT(far, similarity(mine, sketch_of(other, bf16)) + 0.1);
  EXPECT_LT(similarity(mine, sketch_of(other, bf16)), 0.3);
  EXPECT_GT(similarity(mine, sketch_of(base, f32)), 0.8);  // a twin
  auto longer = base;
  longer.resize(564 * 256, 0.01F);
  const Layout resized{.dtype = Dtype::bf16, .rows = 564, .columns = 256};
  EXPECT_GT(similarity(mine, sketch_of(longer, resized)), 0.8);
}

TEST(CodecEstimate, IsCloseToWhatEncodingComesTo) {
  const auto base = weights(700, 512);
  const Layout layout{.dtype = Dtype::bf16, .rows = 700, .columns = 512};
  const Bytes from = bytes_of(base, Dtype::bf16), tensor = bytes_of(updated(base, 1e-3F), Dtype::bf16);
  const Estimate e = estimate(tensor, layout, from, &layout);
  EXPECT_EQ(e.kind, Kind::delta);
  EXPECT_NEAR(static_cast<double>(e.bytes) / static_cast<double>(encode(tensor, layout, from, &layout)->size()), 1, 0.05);
  EXPECT_EQ(estimate(noise(100'000), Layout::flat(Dtype::u8, 100'000)).kind, Kind::plain);
}

}  // namespace
}  // namespace mlxcache::codec
