#pragma once
// Weights where they lie: a matrix in whatever coding the file has it.
#include <cstddef>
#include <cstdint>

namespace mlxhub::model {

/// How weights are coded. GGUF's types have ggml's numbers.
enum class Coding : std::uint8_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30,
  mxfp4 = 39,
  affine = 255,  // MLX: codes of `bits` in 32-bit words, a scale and a bias for each `group`
};

inline constexpr std::size_t kMostColumns = 65536;  // the largest feed-forward layers have 53,248

/// rows x columns; y = W x has `rows` values. Row r begins at data + r * row_bytes.
struct Matrix {
  Coding coding = Coding::f32;
  std::size_t rows = 0, columns = 0;
  const std::byte* data = nullptr;
  std::size_t row_bytes = 0;
  // Of affine: columns / group of each a row, one row after the other.
  const std::byte* scales = nullptr;
  const std::byte* biases = nullptr;
  Coding scale_coding = Coding::f16;
  unsigned bits = 0, group = 0;

  explicit operator bool() const { return data != nullptr; }
  /// Rows [first, first + count) as a matrix of their own.
  Matrix slice(std::size_t first, std::size_t count) const;
};

/// Writes row r as floats, exactly as the format defines it. `out` has room for all columns.
void row_to_floats(const Matrix& matrix, std::size_t r, float* out);

float half_to_float(std::uint16_t half);
inline float brain_to_float(std::uint16_t brain) {
  const std::uint32_t bits = static_cast<std::uint32_t>(brain) << 16U;
  float value = 0;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

}  // namespace mlxhub::model
