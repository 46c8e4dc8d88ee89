#include <algorithm>
#include <bit>
#include <cstring>

#include "mlxcache/codec/codec.h"
#include "mlxcache/codec/kernel.h"
#include "mlxcache/codec/head.h"

namespace mlxcache::codec {
namespace {

/// 16 bits of an element that keep its order: of floats the upper half of their F32 value.
std::uint16_t value_of(Dtype dtype, const std::byte* p) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, p, width_of(dtype));
  std::uint32_t upper = 0;
  switch (dtype) {
    case Dtype::f32: upper = static_cast<std::uint32_t>(bits >> 16); break;
    case Dtype::bf16: upper = static_cast<std::uint32_t>(bits); break;
    case Dtype::f16: {
      std::uint32_t wide = 0;
      scalar_kernels().widen_f16(reinterpret_cast<const std::uint8_t*>(p), 1, &wide);
      upper = wide >> 16;
      break;
    }
    case Dtype::f64: {
      const auto f = static_cast<float>(std::bit_cast<double>(bits));
      upper = std::bit_cast<std::uint32_t>(f) >> 16;
      break;
    }
    default: return static_cast<std::uint16_t>(bits);
  }
  return static_cast<std::uint16_t>((upper & 0x8000U) != 0 ? ~upper : upper | 0x8000U);
}

bool comparable(Dtype a, Dtype b) {
  const auto is_float = [](Dtype d) { return d == Dtype::f64 || has_exponent(d); };
  return a == b || (is_float(a) && is_float(b));
}

}  // namespace

Sketch sketch(std::span<const std::byte> tensor, const Layout& layout) {
  Sketch s{.dtype = layout.dtype, .columns = layout.columns, .rows = layout.rows};
  const std::size_t width = width_of(layout.dtype);
  if (layout.columns == 0 || layout.rows == 0 || layout.phase > tensor.size()) return s;
  const std::uint64_t there = (tensor.size() - layout.phase) / width;
  // Half of the places lie in the first rows, each further pair in twice as many, so tensors of different length share most of them.
  std::uint64_t state = 0x9E3779B97F4A7C15U;
  for (std::size_t i = 0; i < Sketch::kValues; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const std::uint64_t reach = std::uint64_t{16} << (i / 4 < 24 ? i / 4 : 24), row = (state >> 33) % reach % layout.rows;
    const std::uint64_t at = row * layout.columns + (state >> 11) % layout.columns;
    if (at < there) s.values[i] = value_of(layout.dtype, tensor.data() + layout.phase + at * width);
  }
  return s;
}

double similarity(const Sketch& a, const Sketch& b) {
  if (a.columns != b.columns || a.columns == 0 || !comparable(a.dtype, b.dtype)) return 0;
  // Against what the values have in common by chance: how far a's values are from each other.
  double near = 0, far = 0;
  std::size_t equal = 0, constant = 0, used = 0;
  for (std::size_t i = 0; i < Sketch::kValues; ++i) {
    const std::uint64_t reach = std::uint64_t{16} << (i / 4 < 24 ? i / 4 : 24);
    if (a.rows != b.rows && reach > std::min(a.rows, b.rows)) continue;  // another place in each
    ++used;
    const auto bits = [](std::uint16_t x, std::uint16_t y) { return static_cast<double>(std::bit_width(static_cast<unsigned>(x > y ? x - y : y - x))); };
    near += bits(a.values[i], b.values[i]);
    far += bits(a.values[i], b.values[(i + 1) % Sketch::kValues]);
    equal += a.values[i] == b.values[i] ? 1 : 0;
    constant += a.values[i] == a.values[0] ? 1 : 0;
  }
  if (used == 0) return 0;
  if (equal == used) return 1;
  if (constant == used || far == 0) return 0;
  return std::clamp(1 - near / far, 0.0, 1.0);
}

}  // namespace mlxcache::codec
