#include <algorithm>
#include <array>
#include <cstring>

#include "mlxcache/codec/codec.h"
#include "mlxcache/codec/tables.h"

namespace mlxcache::codec {
namespace {

constexpr std::uint64_t kOneBit = 1U << 16;
constexpr std::size_t kPieces = 16, kPiece = 4096;

/// Bits that the field above `low` of every element of `width` bytes would cost, a byte of data, in 2^-16; and what it leaves as it is.
std::uint64_t cost(std::span<const std::byte> bytes, unsigned width, unsigned phase, unsigned field_at, unsigned field_bits) {
  std::array<std::uint32_t, 65536 / 64> counts{};
  std::uint64_t total = 0;
  const std::size_t pieces = bytes.size() <= kPieces * kPiece ? 1 : kPieces;
  const std::size_t length = pieces == 1 ? bytes.size() : kPiece;
  for (std::size_t p = 0; p < pieces; ++p) {
    std::size_t begin = pieces == 1 ? 0 : (bytes.size() - length) / (pieces - 1) * p;
    begin = begin / 16 * 16;  // so that each piece starts in the same phase
    for (std::size_t at = begin + phase; at + width <= begin + length; at += width) {
      std::uint32_t v = 0;
      for (unsigned b = 0; b < width; ++b) v |= std::to_integer<std::uint32_t>(bytes[at + b]) << (8 * b);
      ++counts[v >> field_at & ((1U << field_bits) - 1)];
      ++total;
    }
  }
  if (total == 0) return ~std::uint64_t{0};
  std::uint64_t sum = 0;
  for (const std::uint32_t c : counts) {
    if (c != 0) sum += c * std::uint64_t{log2_of(total) - log2_of(c)};
  }
  const std::uint64_t as_is = std::uint64_t{8 * width - field_bits} << 16;
  return (sum / total + as_is) / width;
}

}  // namespace

Detected detect(std::span<const std::byte> bytes) {
  Detected best;
  if (bytes.size() < 256) return best;
  struct Shape {
    Dtype dtype;
    unsigned width, field_at, field_bits;
  };
  // Exponents alone: signs and mantissas cost what they cost whatever the dtype.
  constexpr Shape kShapes[] = {{Dtype::f32, 4, 23, 8}, {Dtype::f16, 2, 10, 5}, {Dtype::bf16, 2, 7, 8}};
  std::uint64_t least = std::min(cost(bytes, 1, 0, 0, 8), std::uint64_t{8} << 16);
  least -= least / 40;  // must be better than bytes by more than chance
  for (const Shape& s : kShapes) {
    for (unsigned phase = 0; phase < s.width; ++phase) {
      const std::uint64_t c = cost(bytes, s.width, phase, s.field_at, s.field_bits);
      // BF16's exponent is F16's and three bits of its mantissa, which are never quite even: it must win by more than those.
      if (c + (s.dtype == Dtype::bf16 && best.dtype == Dtype::f16 ? kOneBit / 8 : 0) >= least) continue;
      least = c;
      best = {s.dtype, static_cast<std::uint8_t>(phase)};
    }
  }
  return best;
}

}  // namespace mlxcache::codec
