#include "mlxcache/vault/recipe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "mlxbase/core/bytes.h"

namespace mlxcache::vault {

using codec::Dtype;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kPayload = 10;
constexpr std::size_t kBlock = 32;  // weights of a GGUF block

std::uint16_t load16(const std::byte* p) {
  std::uint16_t v = 0;
  std::memcpy(&v, p, 2);
  return v;
}
void store16(std::byte* p, std::uint16_t v) { std::memcpy(p, &v, 2); }

float from_f16(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16U;
  const std::uint32_t exponent = h >> 10U & 31U;
  const std::uint32_t mantissa = h & 1023U;
  if (exponent == 0) {
    const float f = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -f : f;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | mantissa << 13U);
  return std::bit_cast<float>(sign | (exponent + 112) << 23U | mantissa << 13U);
}
/// To the nearest, ties to even.
std::uint16_t to_f16(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  const std::uint32_t sign = bits >> 16U & 0x8000U;
  const std::uint32_t size = bits & 0x7FFFFFFFU;
  if (size > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7C00U | std::max<std::uint32_t>(size >> 13U & 1023U, 1));
  if (size >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (size < 0x38800000U) {  // below 2^-14: units of 2^-24
    const float scaled = std::bit_cast<float>(size) + 0.5F;  // the sum's last place is 2^-24
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(scaled) - 0x3F000000U));
  }
  return static_cast<std::uint16_t>(sign | (size - 0x38000000U + 0xFFFU + (size >> 13U & 1U)) >> 13U);
}
float from_bf16(std::uint16_t b) { return std::bit_cast<float>(static_cast<std::uint32_t>(b) << 16U); }
std::uint16_t to_bf16(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>(bits >> 16U | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}

void load_values(const Recipe& r, const std::byte* in, std::size_t n, float* out) {
  switch (r.input) {
    case Dtype::f32: std::memcpy(out, in, n * 4); break;
    case Dtype::f16:
      for (std::size_t i = 0; i < n; ++i) out[i] = from_f16(load16(in + 2 * i));
      break;
    default:
      for (std::size_t i = 0; i < n; ++i) out[i] = from_bf16(load16(in + 2 * i));
  }
  if (r.through == Dtype::f16) {
    for (std::size_t i = 0; i < n; ++i) out[i] = from_f16(to_f16(out[i]));
  } else if (r.through == Dtype::bf16) {
    for (std::size_t i = 0; i < n; ++i) out[i] = from_bf16(to_bf16(out[i]));
  }
}

void store_value(Dtype dtype, float value, std::byte* out) {
  switch (dtype) {
    case Dtype::f32: std::memcpy(out, &value, 4); break;
    case Dtype::f16: store16(out, to_f16(value)); break;
    default: store16(out, to_bf16(value));
  }
}

// ---- GGUF ---------------------------------------------------------------------------------------------------------------

/// trunc(x * by + half), between 0 and most.
unsigned code_of(Recipe::Rounding rounding, float x, float by, float half, unsigned most) {
  double v = 0;
  switch (rounding) {
    case Recipe::Rounding::each: {
      const float product = x * by;
      v = product + half;
      break;
    }
    case Recipe::Rounding::none: v = static_cast<double>(x) * by + half; break;
    case Recipe::Rounding::sum: v = static_cast<float>(static_cast<double>(x) * by + half); break;
  }
  if (!(v > 0)) return 0;
  return v >= most ? most : static_cast<unsigned>(v);
}

/// d = the value of largest magnitude / -steps; codes around the middle.
void make_symmetric(const Recipe& r, const float* x, unsigned steps, std::byte* out) {
  float largest = 0, value = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    if (largest < std::fabs(x[i])) {
      largest = std::fabs(x[i]);
      value = x[i];
    }
  }
  const float d = value / -static_cast<float>(steps), by = d != 0 ? 1.0F / d : 0.0F;
  store16(out, to_f16(d));
  std::byte* codes = out + (steps == 16 ? 6 : 2);
  std::uint32_t fifth = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned a = code_of(r.rounding, x[j], by, static_cast<float>(steps) + 0.5F, 2 * steps - 1);
    const unsigned b = code_of(r.rounding, x[j + 16], by, static_cast<float>(steps) + 0.5F, 2 * steps - 1);
    codes[j] = static_cast<std::byte>((a & 15U) | (b & 15U) << 4U);
    fifth |= (a >> 4U) << j | (b >> 4U) << (j + 16);
  }
  if (steps == 16) std::memcpy(out + 2, &fifth, 4);
}

/// d = (largest - smallest) / most; codes from the smallest.
void make_ranged(const Recipe& r, const float* x, unsigned most, std::byte* out) {
  float low = x[0], high = x[0];
  for (std::size_t i = 1; i < kBlock; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  const float d = (high - low) / static_cast<float>(most), by = d != 0 ? 1.0F / d : 0.0F;
  store16(out, to_f16(d));
  store16(out + 2, to_f16(low));
  std::byte* codes = out + (most == 31 ? 8 : 4);
  std::uint32_t fifth = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned a = code_of(r.rounding, x[j] - low, by, 0.5F, most), b = code_of(r.rounding, x[j + 16] - low, by, 0.5F, most);
    codes[j] = static_cast<std::byte>((a & 15U) | (b & 15U) << 4U);
    fifth |= (a >> 4U) << j | (b >> 4U) << (j + 16);
  }
  if (most == 31) std::memcpy(out + 4, &fifth, 4);
}

void make_q8_0(const float* x, std::byte* out) {
  float largest = 0;
  for (std::size_t i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127.0F, by = d != 0 ? 1.0F / d : 0.0F;
  store16(out, to_f16(d));
  for (std::size_t i = 0; i < kBlock; ++i) {
    const float v = x[i] * by, size = std::fabs(v);
    if (!(size < 128.0F)) {
      out[2 + i] = std::byte{0};
      continue;
    }
    int whole = static_cast<int>(size);
    whole += size - static_cast<float>(whole) >= 0.5F ? 1 : 0;
    out[2 + i] = static_cast<std::byte>(v < 0 ? -whole : whole);
  }
}

// ---- MLX ----------------------------------------------------------------------------------------------------------------

struct Affine {
  float scale, bias;
};
Affine affine_of(const float* x, std::size_t n, unsigned bits) {
  float low = x[0], high = x[0];
  for (std::size_t i = 1; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  const bool below = std::fabs(low) > std::fabs(high);
  const float step = (high - low) / static_cast<float>((1U << bits) - 1), least = step > 1e-7F ? step : 1e-7F;
  Affine a{below ? least : -least, 0};
  const float edge = below ? low : high, at = std::nearbyint(edge / a.scale);
  if (at != 0) a = {edge / at, edge};
  return a;
}

void make_codes(const float* x, std::size_t n, unsigned bits, std::byte* out) {
  const Affine a = affine_of(x, n, bits);
  const float most = static_cast<float>((1U << bits) - 1);
  std::uint64_t held = 0;
  unsigned used = 0;
  for (std::size_t i = 0; i < n; ++i) {
    float v = (x[i] - a.bias) / a.scale;
    v = v > 0 ? v : 0;
    v = v < most ? v : most;
    v = (v + 0x1.8p23F) - 0x1.8p23F;  // to the nearest whole number, ties to even
    held |= static_cast<std::uint64_t>(v) << used;
    for (used += bits; used >= 8; used -= 8, held >>= 8U) *out++ = static_cast<std::byte>(held);
  }
}

bool known(const Recipe& r) {
  if (!is_castable(r.input) || (r.through != Dtype::bytes && r.through != Dtype::f16 && r.through != Dtype::bf16)) return false;
  if (r.maker == Recipe::Maker::gguf) return gguf_block_bytes(r.output) != 0 && r.bits == 0 && r.group == 0;
  if (r.rounding != Recipe::Rounding::each) return false;
  if (r.maker != Recipe::Maker::mlx_weight && !is_castable(static_cast<Dtype>(r.output))) return false;
  if (r.maker == Recipe::Maker::cast) return r.bits == 0 && r.group == 0;
  return r.bits >= 2 && r.bits <= 8 && r.bits != 7 && (r.group == 32 || r.group == 64 || r.group == 128);
}

}  // namespace

std::uint64_t gguf_block_bytes(std::uint32_t type) {
  switch (type) {
    case kGgufQ4_0: return 18;
    case kGgufQ4_1: return 20;
    case kGgufQ5_0: return 22;
    case kGgufQ5_1: return 24;
    case kGgufQ8_0: return 34;
    default: return 0;
  }
}

std::uint64_t Recipe::unit_elements() const {
  switch (maker) {
    case Maker::cast: return 1;
    case Maker::gguf: return kBlock;
    default: return group;
  }
}
std::uint64_t Recipe::unit_bytes() const {
  switch (maker) {
    case Maker::gguf: return gguf_block_bytes(output);
    case Maker::mlx_weight: return std::uint64_t{group} * bits / 8;
    default: return codec::width_of(static_cast<Dtype>(output));
  }
}

void make(const Recipe& r, std::span<const std::byte> in, std::span<std::byte> out) {
  constexpr std::size_t kMost = 1024;  // elements at a time: a multiple of every unit
  std::array<float, kMost> x{};
  const std::size_t unit = static_cast<std::size_t>(r.unit_elements()), bytes = static_cast<std::size_t>(r.unit_bytes()), width = codec::width_of(r.input);
  const std::size_t elements = in.size() / width / unit * unit;
  std::byte* to = out.data();
  for (std::size_t at = 0; at < elements; at += kMost) {
    const std::size_t n = std::min(kMost, elements - at);
    load_values(r, in.data() + at * width, n, x.data());
    for (std::size_t i = 0; i < n; i += unit, to += bytes) {
      const float* from = x.data() + i;
      switch (r.maker) {
        case Recipe::Maker::cast: store_value(static_cast<Dtype>(r.output), *from, to); break;
        case Recipe::Maker::gguf:
          if (r.output == kGgufQ8_0) make_q8_0(from, to);
          if (r.output == kGgufQ4_0) make_symmetric(r, from, 8, to);
          if (r.output == kGgufQ5_0) make_symmetric(r, from, 16, to);
          if (r.output == kGgufQ4_1) make_ranged(r, from, 15, to);
          if (r.output == kGgufQ5_1) make_ranged(r, from, 31, to);
          break;
        case Recipe::Maker::mlx_weight: make_codes(from, unit, r.bits, to); break;
        case Recipe::Maker::mlx_scales: store_value(static_cast<Dtype>(r.output), affine_of(from, unit, r.bits).scale, to); break;
        case Recipe::Maker::mlx_biases: store_value(static_cast<Dtype>(r.output), affine_of(from, unit, r.bits).bias, to); break;
      }
    }
  }
}

std::vector<std::byte> encode_recipe(const Recipe& r) {
  mlxbase::ByteWriter w;
  w.put(kVersion);
  w.put(static_cast<std::uint8_t>(r.maker));
  w.put(static_cast<std::uint8_t>(r.input));
  w.put(static_cast<std::uint8_t>(r.through));
  w.put(r.output);
  w.put(static_cast<std::uint8_t>(r.rounding));
  w.put(r.bits);
  w.put(std::uint8_t{0});
  w.put(r.group);
  return {w.bytes().begin(), w.bytes().end()};
}

Result<Recipe> parse_recipe(std::span<const std::byte> payload) {
  mlxbase::ByteReader in(payload);
  const auto version = in.get<std::uint8_t>();
  const auto maker = in.get<std::uint8_t>();
  if (!in.ok()) return fail(Code::corrupt, "its recipe is cut short");
  if (version != kVersion || maker < 1 || maker > 5) return fail(Code::unsupported, "it is made by a recipe that this program does not know: a later mlxcache froze it");
  Recipe r;
  r.maker = static_cast<Recipe::Maker>(maker);
  r.input = static_cast<Dtype>(in.get<std::uint8_t>());
  r.through = static_cast<Dtype>(in.get<std::uint8_t>());
  r.output = in.get<std::uint8_t>();
  const auto rounding = in.get<std::uint8_t>();
  r.rounding = static_cast<Recipe::Rounding>(rounding);
  r.bits = in.get<std::uint8_t>();
  const auto zero = in.get<std::uint8_t>();
  r.group = in.get<std::uint16_t>();
  if (!in.ok() || payload.size() != kPayload || zero != 0 || rounding > 2 || !known(r)) return fail(Code::corrupt, "its recipe is damaged");
  return r;
}

mlxbase::Status check_recipe(const Recipe& r, std::uint64_t base, std::uint64_t object) {
  const std::uint64_t units = base / r.unit_input();
  if (base % r.unit_input() != 0 || object % r.unit_bytes() != 0 || object / r.unit_bytes() != units) return fail(Code::corrupt, "its recipe does not go with its base");
  return {};
}

std::optional<std::vector<std::byte>> widen_blocks(std::uint32_t type, std::span<const std::byte> blocks) {
  const auto size = static_cast<std::size_t>(gguf_block_bytes(type));
  if (size == 0 || blocks.size() % size != 0) return std::nullopt;
  std::vector<std::byte> out(blocks.size() / size * kBlock * 4);
  std::byte* to = out.data();
  const bool ranged = type == kGgufQ4_1 || type == kGgufQ5_1, five = type == kGgufQ5_0 || type == kGgufQ5_1;
  for (std::size_t at = 0; at < blocks.size(); at += size) {
    const std::byte* b = blocks.data() + at;
    const float d = from_f16(load16(b));
    const float from = ranged ? from_f16(load16(b + 2)) : 0;
    const float middle = ranged ? 0 : five ? 16 : 8;
    std::uint32_t fifth = 0;
    if (five) std::memcpy(&fifth, b + (ranged ? 4 : 2), 4);
    const std::byte* codes = b + (ranged ? 4 : 2) + (five ? 4 : 0);
    for (std::size_t j = 0; j < kBlock; ++j, to += 4) {
      float value = 0;
      if (type == kGgufQ8_0) {
        value = d * static_cast<float>(static_cast<std::int8_t>(b[2 + j]));
      } else {
        const unsigned nibble = std::to_integer<unsigned>(codes[j % 16]) >> (j < 16 ? 0U : 4U) & 15U;
        value = d * (static_cast<float>(nibble | (fifth >> j & 1U) << 4U) - middle) + from;
      }
      std::memcpy(to, &value, 4);
    }
  }
  return out;
}

}  // namespace mlxcache::vault
