#pragma once
// The inner loops, once for each instruction set; all give equal bytes. What the streams are: docs/formats/codec.md.
// kernel_loops.h holds what compilers vectorise by themselves; the files kernel_<set>.cpp add what they do not.
#include <cstddef>
#include <cstdint>

#include "mlxcache/codec/codec.h"

namespace mlxcache::codec {

inline constexpr unsigned kLanes = 64;        // rANS states that take turns
inline constexpr unsigned kTableBits = 12;    // frequencies of a table add up to 2^12; none is all of it
inline constexpr unsigned kTableSize = 1U << kTableBits;
inline constexpr unsigned kLeastState = 1U << 15;  // states stay in [2^15, 2^31) between symbols
inline constexpr unsigned kFusedBits = 3;     // extra bits that share the renormalisation of their symbol
inline constexpr unsigned kStepBits = 15;     // and those that one further renormalisation brings
inline constexpr std::size_t kChunk = 4096;   // elements handled at a time, so that what is between two loops stays in the nearest cache

/// Of one slot: symbol in bits 0–7, frequency in 8–19, slot minus the symbol's first slot in 20–31.
using DecodeEntry = std::uint32_t;

/// Of one symbol: how to push it onto a state without dividing.
struct EncodeEntry {
  std::uint32_t reciprocal = 0;  // floor(x / frequency) = (x * reciprocal >> 32) >> shift
  std::uint16_t frequency = 0;
  std::uint16_t bias = 0;        // the symbol's first slot, and for a frequency of 1 what its reciprocal lacks
  std::uint16_t complement = 0;  // 2^kTableBits - frequency
  std::uint16_t shift = 0;
};
static_assert(sizeof(EncodeEntry) == 12);

/// The tables of one plane, 256 symbols each, in two shapes: what multiplies by a reciprocal takes `entries`; what divides sixteen at a time takes
/// `slots`, which stay in the nearest cache (frequency in bits 0-15, first slot in 16-31).
struct EncodeView {
  const EncodeEntry* entries = nullptr;
  const std::uint32_t* slots = nullptr;
};

struct DecodeState {
  std::uint32_t lane[kLanes];
  const std::uint8_t* at;   // next word (two bytes, little-endian)
  const std::uint8_t* end;
  bool bad = false;         // words ran out
};

struct EncodeState {
  std::uint32_t lane[kLanes];
  std::uint8_t* at;  // words are written downwards from here; the caller made room
};

struct Kernels {
  /// n symbols; context[i] picks the table (null: the first). n is a multiple of kLanes, or it is the last call for the stream.
  void (*decode)(DecodeState& state, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols);
  /// The same for signed numbers: symbol and extra bits, see extra_bits().
  void (*decode_numbers)(DecodeState& state, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::int32_t* numbers);
  /// The mirror images, from the last element to the first; n as above, the last part of a stream coming first.
  void (*encode)(EncodeState& state, const EncodeView& tables, const std::uint8_t* context, std::size_t n, const std::uint8_t* symbols);
  void (*encode_numbers)(EncodeState& state, const EncodeView& tables, const std::uint8_t* context, std::size_t n, const std::uint8_t* symbols,
                         const std::uint32_t* extra);

  /// 16-bit floats to symbols and rest, and back. scale: one an element, half octaves (null: all 0).
  ///   bf16: rest has 6 bits. f16: rest has 8 bits.   stride: bytes between elements (4: the upper halves of F32), 2 or 4
  void (*split_bf16)(const std::uint8_t* in, std::size_t stride, const std::uint8_t* scale, int base, std::size_t n, std::uint8_t* symbols, std::uint8_t* rest);
  void (*merge_bf16)(const std::uint8_t* symbols, const std::uint8_t* rest, const std::uint8_t* scale, int base, std::size_t n, std::uint16_t* out);
  void (*split_f16)(const std::uint8_t* in, const std::uint8_t* scale, int base, std::size_t n, std::uint8_t* symbols, std::uint8_t* rest);
  void (*merge_f16)(const std::uint8_t* symbols, const std::uint8_t* rest, const std::uint8_t* scale, int base, std::size_t n, std::uint16_t* out);
  /// Six bits an element, 64 elements in 48 bytes; n is rounded up.
  void (*pack6)(const std::uint8_t* in, std::size_t n, std::uint8_t* out);
  void (*unpack6)(const std::uint8_t* in, std::size_t n, std::uint8_t* out);

  /// Ordered differences to the base: contexts from its exponent, then symbol and extra bits.
  void (*differ16)(const std::uint8_t* in, const std::uint8_t* base, std::size_t n, std::uint8_t* symbols, std::uint32_t* extra);
  void (*differ32)(const std::uint8_t* in, const std::uint8_t* base, std::size_t n, std::uint8_t* symbols, std::uint32_t* extra);
  void (*add16)(const std::int32_t* numbers, const std::uint8_t* base, std::size_t n, std::uint8_t* out);
  void (*add32)(const std::int32_t* numbers, const std::uint8_t* base, std::size_t n, std::uint8_t* out);
  /// exponent = (element >> shift) & mask, context = clamp(exponent - low, 0, 15).  width: 2 or 4
  void (*exponents)(const std::uint8_t* base, std::size_t width, unsigned shift, unsigned mask, int low, std::size_t n, std::uint8_t* context);
  /// context[i] = map[context[i]], all below 16.
  void (*map16)(const std::uint8_t* map, std::size_t n, std::uint8_t* context);
  /// scale[i] = min(255, row + columns[i]), parity[i] = scale[i] & 1
  void (*add_scales)(std::uint8_t row, const std::uint8_t* columns, std::size_t n, std::uint8_t* scale, std::uint8_t* parity);
  /// Sums of 15-bit magnitudes of 16-bit floats for the scales: columns[i] += clamp(m); returns the row's sum.
  std::uint64_t (*magnitudes)(const std::uint8_t* in, std::size_t stride, std::uint32_t floor, std::size_t n, std::uint32_t* columns);

  /// F32 against a 16-bit twin (widened to F32 bits in `base`): high = zigzag of what is left above 16 bits, 255: does not fit; low 16 bits.
  void (*widen_bf16)(const std::uint8_t* in, std::size_t n, std::uint32_t* out);
  void (*widen_f16)(const std::uint8_t* in, std::size_t n, std::uint32_t* out);
  void (*split_twin)(const std::uint8_t* in, const std::uint32_t* base, std::uint32_t offset, std::size_t n, std::uint8_t* high, std::uint8_t* low0, std::uint8_t* low1);
  void (*merge_twin)(const std::uint8_t* high, const std::uint8_t* low0, const std::uint8_t* low1, const std::uint32_t* base, std::uint32_t offset, std::size_t n,
                     std::uint8_t* out);
  /// F32 halves: upper 16 bits in `upper`, lower in planes.
  void (*merge_f32)(const std::uint16_t* upper, const std::uint8_t* low0, const std::uint8_t* low1, std::size_t n, std::uint8_t* out);
  /// counts[256 context + symbol] += 1
  void (*count)(const std::uint8_t* symbols, const std::uint8_t* context, std::size_t n, std::uint32_t* counts);
  /// Whether a symbol below `limit` is there.
  bool (*any_below)(const std::uint8_t* symbols, std::uint8_t limit, std::size_t n);
  /// Sixteen FNV-1a sums over words in turns, then one over them: a changed byte always shows.
  std::uint32_t (*checksum)(const std::uint8_t* in, std::size_t n);
  void (*take_plane)(const std::uint8_t* in, std::size_t stride, std::size_t n, std::uint8_t* out);
};

/// Extra bits of a number's symbol. |number| below 16: the symbol is its magnitude, extra its sign. Above: symbol 16 + 8 (bits - 5) + the three bits
/// under the leading one; extra is the sign in bit 0 and the lower bits above it.
constexpr unsigned extra_bits(unsigned symbol) { return symbol >= 16 ? symbol >> 3 : (symbol != 0 ? 1 : 0); }

const Kernels& scalar_kernels();
/// What this processor runs, fastest last; never empty.
struct NamedKernels {
  Kernel name;
  const Kernels* kernels;
};
std::vector<NamedKernels> available_kernels();
const Kernels& kernels_of(Kernel kernel);

}  // namespace mlxcache::codec
