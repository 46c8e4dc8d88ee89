#pragma once
// One entropy-coded stream: u32 bytes of words, 64 u32 states, the words. docs/formats/codec.md.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/result.h"
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {

inline constexpr std::size_t kStreamHead = 4 + 4 * kLanes;

/// Takes elements from the last chunk to the first, each chunk of kChunk elements but the last one, and grows downwards in a buffer that is used again.
class StreamWriter {
 public:
  /// Makes room for `elements` of at most `most_bits` each.
  void start(std::size_t elements, unsigned most_bits);
  EncodeState& state() { return state_; }
  /// Appends the finished stream.
  void finish(std::vector<std::byte>& out);

 private:
  std::unique_ptr<std::uint8_t[]> room_;  // not cleared: what is written is read
  std::size_t size_ = 0;
  EncodeState state_{};
};

/// Elements from the first to the last, in chunks of a multiple of kLanes but the last one.
class StreamReader {
 public:
  /// Takes one stream from the front of `bytes`. Errors: corrupt.
  static mlxbase::Result<StreamReader> open(mlxbase::ByteReader& bytes);
  DecodeState& state() { return state_; }
  /// After the last element: nothing may be left over. Errors: corrupt.
  mlxbase::Status finish() const;

 private:
  DecodeState state_{};
};

/// n bytes as a stream of their own tables, or as they are if that is shorter; for side information.
void write_packed(mlxbase::ByteWriter& out, std::span<const std::uint8_t> bytes);
mlxbase::Result<std::vector<std::uint8_t>> read_packed(mlxbase::ByteReader& in, std::size_t n);

}  // namespace mlxcache::codec
