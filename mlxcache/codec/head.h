#pragma once
// Everything in front of the blocks: what the tensor is, where its blocks lie, and what decoding them takes.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/codec/tables.h"

namespace mlxcache::codec {

inline constexpr std::size_t kPlainHead = 32;   // of every coded tensor
inline constexpr std::size_t kCodedHead = 56;   // of those that are not plain, before the block table
inline constexpr std::size_t kBlockEntry = 8;   // kind and length u32, checksum u32
inline constexpr std::uint64_t kMostSize = std::uint64_t{1} << 40;

inline constexpr std::uint64_t kMostScales = std::uint64_t{1} << 24;  // rows or columns; more are coded without

enum class Scheme : std::uint8_t { bytes, floats, difference, twin };

/// A byte (or six bits) of each element.
struct Plane {
  enum class Mode : std::uint8_t { raw, constant, coded, six } mode = Mode::raw;
  std::uint8_t value = 0;  // constant
  std::vector<Frequencies> tables;
};

struct Head {
  Kind kind = Kind::plain;
  Scheme scheme = Scheme::bytes;
  Layout layout;
  std::uint64_t size = 0;
  Layout base;                  // dtype and phase
  std::uint64_t base_size = 0;

  std::vector<Frequencies> tables;        // of symbols
  // bytes
  std::vector<std::uint8_t> period;       // table of each position; 1 to 256 of them
  // floats
  std::int16_t exponent = 0;              // half of what is added to all scales
  std::vector<std::uint8_t> row_scales, column_scales;
  Plane rest, low[2];
  // difference
  std::int16_t lowest = 0;                // exponent of context 0
  std::array<std::uint8_t, 16> contexts{};  // table of each context
  // twin
  std::uint32_t offset = 0;

  std::vector<std::byte> edge;            // what lies before the first and behind the last element

  unsigned width() const { return width_of(layout.dtype); }
  std::uint64_t elements() const { return (size - layout.phase) / width(); }
  std::uint64_t body() const { return elements() * width(); }
  std::uint64_t blocks() const { return (body() + kBlockBytes - 1) / kBlockBytes; }
  /// Elements that are flagged as changed or not as one.
  std::uint64_t run() const { return layout.columns >= 64 && layout.columns <= 65536 ? layout.columns : 1024; }
  std::uint64_t rows() const { return layout.columns == 0 ? 0 : (elements() + layout.columns - 1) / layout.columns; }
};

bool has_exponent(Dtype dtype);  // bf16, f16, f32: what the schemes for floats take

void write_plain_head(mlxbase::ByteWriter& out, const Layout& layout, std::uint64_t size);
/// Head, block table and side information; each block is kind and length.
std::vector<std::byte> write_head(const Head& head, std::span<const Block> blocks);

struct Parsed {
  Head head;
  Info info;
};
/// How many bytes parse_head needs, from the first kCodedHead ones (or all there are). Errors: corrupt, unsupported.
Result<std::uint64_t> head_bytes(std::span<const std::byte> start, std::uint64_t coded_size);
/// `bytes` starts with a whole head. Errors: corrupt, unsupported.
Result<Parsed> parse_head(std::span<const std::byte> bytes, std::uint64_t coded_size);

}  // namespace mlxcache::codec
