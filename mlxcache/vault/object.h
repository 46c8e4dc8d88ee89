#pragma once
// What a vault knows of one run of bytes that it holds. The SHA-256 of the bytes is their name. Format: docs/formats/vault.md.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"

namespace mlxcache::vault {

using mlxbase::Digest;

/// How an object's bytes are kept. The numbers are in the format.
enum class Kind : std::uint8_t {
  plain = 0,    // as they are
  coded = 1,    // by the codec, alone
  delta = 2,    // by the codec, as the difference to the one base
  pieces = 3,   // ranges of its bases, one behind the other
  derived = 4,  // a recipe makes it of its base
};
inline constexpr std::uint8_t kKinds = 5;
std::string_view to_string(Kind kind);

/// The name of these bytes: their SHA-256.
Digest digest_of(std::span<const std::byte> bytes);

/// Numbers of dtypes in the format: below 32 those of codec::Dtype, then blocks that the codec does not look into.
enum class Dtype : std::uint8_t {
  bytes = 0, f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, u64, i32, u32, i16, u16, i8, u8, boolean,
  packed = 32,  // MLX, AWQ: words of 32 bits with several weights each
  q8_0, q4_0, q4_1,
  blocks,       // other blocks of GGUF
};

/// How bytes are made up: `phase` bytes, then rows of `columns` elements. It steers how well they pack, and nothing else.
struct Layout {
  Dtype dtype = Dtype::bytes;
  std::uint8_t phase = 0;
  std::uint64_t columns = 0;  // 0: not known
  friend bool operator==(const Layout&, const Layout&) = default;
};

inline constexpr std::uint64_t kPartBytes = std::uint64_t{8} << 20U;       // longer tensors are cut into parts of about this
inline constexpr std::uint64_t kMaxObjectBytes = std::uint64_t{64} << 20U;  // a reader refuses longer ones
inline constexpr std::uint8_t kMaxDepth = 2;                                // a read touches at most two bases one behind the other
inline constexpr std::uint32_t kMaxBases = 65536;
inline constexpr std::uint32_t kMaxSketchBytes = 4096;

/// A record's head, as it stands before the payload and again in the pack's index.
struct Head {
  Digest digest;                 // SHA-256
  Kind kind = Kind::plain;
  std::uint8_t depth = 0;        // 0: needs no other object; else one more than the deepest base
  Layout layout;
  std::uint64_t size = 0;        // of the bytes
  std::uint64_t payload = 0;     // bytes in the pack
  std::uint64_t first_row = 0;   // hash of the first row, by which it is found in longer tensors; 0: none
  std::vector<Digest> bases;
  std::string sketch;            // what the codec finds similar bytes by; may be empty
  friend bool operator==(const Head&, const Head&) = default;
};

/// A head and where its record lies.
struct Entry {
  Head head;
  std::uint64_t offset = 0;  // of the record in its pack
  friend bool operator==(const Entry&, const Entry&) = default;
};

}  // namespace mlxcache::vault
