#pragma once
// How a tensor is made of another one: casts, GGUF's blocks, MLX's affine quantisation. Format: docs/formats/vault.md. Pure; the same bytes on every
// machine: each operation is that of IEEE 754 in the precision that is named, and none is fused (CMakeLists.txt).
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/codec/codec.h"

namespace mlxcache::vault {

struct Recipe {
  enum class Maker : std::uint8_t { cast = 1, gguf = 2, mlx_weight = 3, mlx_scales = 4, mlx_biases = 5 };
  /// Where the sum of a product is rounded in GGUF's blocks: reference implementations differ, by language and by processor.
  enum class Rounding : std::uint8_t { each = 0, none = 1, sum = 2 };

  Maker maker = Maker::cast;
  codec::Dtype input = codec::Dtype::bf16;     // of the base: F32, F16 or BF16
  codec::Dtype through = codec::Dtype::bytes;  // F16 or BF16: the base was cast to it first; bytes: it was not
  std::uint8_t output = 0;                     // cast, scales, biases: codec::Dtype; gguf: type number (2, 3, 6, 7, 8)
  Rounding rounding = Rounding::each;
  std::uint8_t bits = 0;                       // MLX
  std::uint16_t group = 0;                     // MLX

  /// What is made at a time: so many elements of the base give so many bytes.
  std::uint64_t unit_elements() const;
  std::uint64_t unit_bytes() const;
  std::uint64_t unit_input() const { return unit_elements() * codec::width_of(input); }
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

inline constexpr std::uint32_t kGgufQ4_0 = 2, kGgufQ4_1 = 3, kGgufQ5_0 = 6, kGgufQ5_1 = 7, kGgufQ8_0 = 8;

/// What recipes start from, and casts end in: F32, F16, BF16.
constexpr bool is_castable(codec::Dtype d) { return d == codec::Dtype::f32 || d == codec::Dtype::f16 || d == codec::Dtype::bf16; }

/// in: units × unit_input() bytes, out: units × unit_bytes().
void make(const Recipe& recipe, std::span<const std::byte> in, std::span<std::byte> out);

/// Whether a base of so many bytes gives an object of so many. Errors: corrupt.
mlxbase::Status check_recipe(const Recipe& recipe, std::uint64_t base, std::uint64_t object);

std::vector<std::byte> encode_recipe(const Recipe& recipe);
/// Errors: unsupported (a later recipe), corrupt.
mlxbase::Result<Recipe> parse_recipe(std::span<const std::byte> payload);

/// F32 values of GGUF blocks, as near as a search for the base needs them. Nothing if the type is none of ours.
std::optional<std::vector<std::byte>> widen_blocks(std::uint32_t type, std::span<const std::byte> blocks);
std::uint64_t gguf_block_bytes(std::uint32_t type);  // of 32 weights; 0: not ours

}  // namespace mlxcache::vault
