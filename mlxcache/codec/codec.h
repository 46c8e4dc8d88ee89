#pragma once
// Tensors in few bytes: alone, or as the difference from a known tensor; readable at any offset.
// Format: docs/formats/codec.md. Pure: no disk, no clock; equal input gives equal bytes on every machine.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"

namespace mlxcache::codec {

using mlxbase::ByteSource;
using mlxbase::Result;
using mlxbase::Status;

/// What one element is. `bytes`: not known, or packed in a way that is not ours to know.
enum class Dtype : std::uint8_t { bytes, f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, u64, i32, u32, i16, u16, i8, u8, boolean };

/// As safetensors spells it: "BF16"; "bytes" for `bytes`.
std::string_view to_string(Dtype dtype);
/// Bytes of one element: 1 for `bytes` and `boolean`.
unsigned width_of(Dtype dtype);

/// How the bytes of a tensor are to be read: `phase` bytes, then rows × columns elements in row-major order, then what is left.
/// It only steers how well the bytes pack: a wrong layout costs space, never correctness.
struct Layout {
  Dtype dtype = Dtype::bytes;
  std::uint64_t rows = 1;
  std::uint64_t columns = 0;  // elements a row; a 1-D tensor is one row
  std::uint8_t phase = 0;     // bytes before the first element, below the width of one

  /// One row of as many whole elements as fit behind `phase`.
  static Layout flat(Dtype dtype, std::uint64_t bytes, std::uint8_t phase = 0);
  friend bool operator==(const Layout&, const Layout&) = default;
};

/// Which of the ways a coded tensor took. Only `delta` needs its base to be decoded.
enum class Kind : std::uint8_t { plain, alone, delta };
std::string_view to_string(Kind kind);

/// Which machine code does the work. All give equal bytes; `best` is what this processor does fastest.
enum class Kernel : std::uint8_t { best, scalar, avx2, avx512, neon };
std::string_view to_string(Kernel kernel);
/// Those that this build has and this processor runs; `scalar` always, the fastest last.
std::vector<Kernel> kernels();

struct Options {
  unsigned threads = 1;
  double least_gain = 0.02;       // what gains less stays plain: fast to read, and true to say
  Kernel kernel = Kernel::best;   // asking for one that kernels() lacks is the same as scalar
};

/// What coding adds to a tensor that does not pack, at most.
inline constexpr std::uint64_t kPlainOverhead = 32;
/// Bytes of the tensor that one block holds (the last one less): the grain of random access.
inline constexpr std::uint64_t kBlockBytes = 256 * 1024;

/// Codes a tensor the cheapest way: plain, alone, or (with a base) as the difference from it.
///   tensor   its bytes; at most 2^40
///   layout   of `tensor`; `bytes` lets the codec look for floats itself (detect)
///   base     bytes of a known tensor, best one with the same shape; empty: none. Of another length is allowed: row i is coded
///            against row i while there is one (a resized embedding), so both must have the same columns
///   base_layout  of `base`. Dtypes may differ as F32 with BF16 or F16 base; any other pair codes as if there were no base
/// Returns at most tensor.size() + kPlainOverhead bytes. Memory beyond that: below 100 MiB.
/// Errors: invalid (a layout is longer than its bytes, or its phase not below the width), out_of_memory.
Result<std::vector<std::byte>> encode(std::span<const std::byte> tensor, const Layout& layout, std::span<const std::byte> base = {},
                                      const Layout* base_layout = nullptr, const Options& options = {});

/// What a block is made of.
enum class BlockKind : std::uint8_t { plain, coded, copy };
struct Block {
  BlockKind kind{};           // copy: equal to the base's bytes at the same place, nothing stored
  std::uint64_t at = 0;       // in the coded bytes
  std::uint32_t checksum = 0; // of the coded bytes
  std::uint64_t bytes = 0;    // coded; kBlockBytes of the tensor (the last one: the rest)
};
struct Info {
  Kind kind{};
  Layout layout;
  std::uint64_t size = 0;       // of the tensor, decoded
  std::uint64_t base_size = 0;  // that the base must have, in bytes; 0 unless kind is delta
  std::uint64_t coded_size = 0; // of all coded bytes
  std::vector<Block> blocks;    // empty for plain: the tensor's bytes lie behind the head
};

/// Reads the head, without the blocks. Errors: corrupt, unsupported (a newer version).
Result<Info> inspect(std::span<const std::byte> coded);

/// Decodes the whole tensor into `out`.
///   base   as it was given to encode(), byte for byte; empty unless kind is delta
///   out    exactly Info::size bytes
/// Errors: corrupt (no bytes of `out` mean anything then), unsupported, invalid (out or base has the wrong size). Damage to
/// coded bytes is noticed by 32-bit checksums; those of a plain tensor have none, and a wrong base of the right size is not noticed at
/// all: whoever stores coded bytes keeps a strong digest of the tensor.
Status decode(std::span<const std::byte> coded, std::span<const std::byte> base, std::span<std::byte> out, const Options& options = {});

/// Random access without holding the coded bytes: reads the head once, then only the blocks that a range touches.
/// Sources must stay readable as long as it lives. const members may be called by several threads at once if the sources may.
class Decoder {
 public:
  /// Errors: corrupt, unsupported, invalid (the base has the wrong size), and those of the source.
  static Result<Decoder> open(ByteSource coded, ByteSource base = {}, Kernel kernel = Kernel::best);
  const Info& info() const;
  /// Fills `out` with the tensor's bytes from `offset`. One block is decoded whole to read a byte of it; memory: two blocks.
  /// Errors: invalid (past the end), corrupt, and those of the sources.
  Status read(std::uint64_t offset, std::span<std::byte> out) const;

  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();
  struct Parts;

 private:
  explicit Decoder(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// The same for bytes in memory, reading the head anew each time.
Status decode_range(std::span<const std::byte> coded, std::span<const std::byte> base, std::uint64_t offset, std::span<std::byte> out);

/// What encode() would come to, from a sample of at most 512 KiB: within a few percent for real weights.
struct Estimate {
  Kind kind{};
  std::uint64_t bytes = 0;
};
Estimate estimate(std::span<const std::byte> tensor, const Layout& layout, std::span<const std::byte> base = {}, const Layout* base_layout = nullptr);

/// A few values of a tensor at places that depend on the number of columns only: enough to tell a relative from a stranger by content.
/// F64, F32, BF16 and F16 tensors compare with each other (a twin in another dtype is near); others only with their own dtype.
struct Sketch {
  static constexpr std::size_t kValues = 64;
  Dtype dtype{};
  std::uint64_t columns = 0;
  std::uint64_t rows = 0;
  std::array<std::uint16_t, kValues> values{};  // order-preserving, as BF16
  friend bool operator==(const Sketch&, const Sketch&) = default;
};
Sketch sketch(std::span<const std::byte> tensor, const Layout& layout);
/// 0 (strangers, or other columns) to 1 (equal wherever it was looked): about the share of a tensor's coded size that a delta saves.
/// Row counts may differ. Two tensors of one value everywhere are similar to nothing but their equals.
double similarity(const Sketch& a, const Sketch& b);

/// The dtype that bytes of an unknown container look like, and where its elements start.
struct Detected {
  Dtype dtype = Dtype::bytes;  // f32, f16, bf16, or bytes when nothing packs
  std::uint8_t phase = 0;      // 0 to width - 1
};
Detected detect(std::span<const std::byte> bytes);

}  // namespace mlxcache::codec
