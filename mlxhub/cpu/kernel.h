#pragma once
// The inner loops, once for each instruction set. kernel_loops.h is written over a vector type; the files kernel_<set>.cpp say what that is.
// Sums are taken in another order by each, so results differ in the last bits of a float.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "mlxhub/model/matrix.h"

namespace mlxhub::cpu {

/// One row of activations, prepared for matvec.
struct Input {
  const float* x = nullptr;           // all columns, behind them zeros up to a multiple of 32
  const float* interleaved = nullptr;  // of each 32: those with even index, then those with odd index (MLX's order of nibbles)
  const float* sums = nullptr;        // of each 32: {0, sum, 0, 0}
};

struct Attention {
  std::size_t head_size = 0, positions = 0;
  const float* query = nullptr;   // head_size
  const float* keys = nullptr;    // positions x head_size
  const float* values = nullptr;  // positions x head_size
  float scale = 1;
  float* scores = nullptr;        // room for positions, rounded up to a multiple of 16
  float* out = nullptr;           // head_size
};

inline constexpr std::size_t kMostTileRows = 8;

struct Kernels {
  std::string_view name;
  std::size_t tile_rows;  // weight rows that gemm takes at once, at most kMostTileRows

  /// y[i] = row (first + i) of w times x, for i < count.
  void (*matvec)(const model::Matrix& w, const Input& x, std::size_t first, std::size_t count, float* y);
  /// Row r of w as floats.
  void (*to_floats)(const model::Matrix& w, std::size_t r, float* out);
  /// y[i * y_stride + j] = x row i times w row j, for i < m and j < n <= tile_rows. w has tile_rows rows to read, k a multiple of 16; rows of x
  /// are x_stride apart, of w w_stride.
  void (*gemm)(const float* x, std::size_t x_stride, std::size_t m, const float* w, std::size_t w_stride, std::size_t n, std::size_t k, float* y, std::size_t y_stride);
  void (*norm)(const float* x, const float* weight, float* out, std::size_t n, float epsilon);
  /// a[i] = silu(a[i]) * b[i]
  void (*gate)(float* a, const float* b, std::size_t n);
  /// x[i] += scale * y[i]
  void (*add)(float* x, const float* y, float scale, std::size_t n);
  void (*attend)(const Attention& a);
};

/// What this processor runs, fastest last; never empty.
const std::vector<const Kernels*>& kernels();
/// The fastest.
const Kernels& best_kernels();

// One a file, chosen by CMake and by the processor.
const Kernels& plain_kernels();
std::vector<const Kernels*> available_kernels();

}  // namespace mlxhub::cpu
