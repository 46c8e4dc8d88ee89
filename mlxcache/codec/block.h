#pragma once
// One block: from elements to bytes and back. Holds scratch memory (about 2 MiB), so one a thread.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mlxcache/codec/head.h"
#include "mlxcache/codec/kernel.h"
#include "mlxcache/codec/stream.h"

namespace mlxcache::codec {

/// Bytes of the base that go with a run of elements; what the base lacks is zero.
class BaseView {
 public:
  BaseView(const Head& head, std::span<const std::byte> base) : head_(&head), base_(base) {}
  /// Stays valid until the next call.
  const std::uint8_t* at(std::uint64_t first, std::size_t n);

 private:
  const Head* head_;
  std::span<const std::byte> base_;
  std::vector<std::uint8_t> padded_;
};

/// Fills scales and their parities for n elements from `first`; the head has some.
void fill_scales(const Head& head, const Kernels& k, std::uint64_t first, std::size_t n, std::uint8_t* scale, std::uint8_t* parity);

/// Tables made ready, once for a tensor.
struct EncodeTables {
  explicit EncodeTables(const Head& head);
  EncodeTable symbols, rest, low[2];
};
struct DecodeTables {
  explicit DecodeTables(const Head& head);
  std::vector<DecodeEntry> symbols, rest, low[2];
};

class BlockEncoder {
 public:
  BlockEncoder(const Head& head, const EncodeTables& tables, const Kernels& k);
  /// Appends n elements, whose bytes are at `in` and those of the base at `base`.
  BlockKind encode(std::uint64_t first, std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::byte>& out);

 private:
  void encode_floats(std::uint64_t first, std::size_t n, const std::uint8_t* in, std::vector<std::byte>& out);
  void encode_difference(std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::byte>& out);
  void encode_twin(std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::byte>& out);
  void encode_bytes(std::uint64_t first, std::size_t n, const std::uint8_t* in, std::vector<std::byte>& out);
  void encode_plane(const Plane& plane, const EncodeTable& tables, const std::uint8_t* bytes, std::size_t n, std::vector<std::byte>& out);

  const Head& head_;
  const EncodeTables& tables_;
  const Kernels& k_;
  StreamWriter writer_, plane_writer_;
  std::vector<std::uint8_t> rest_, low_[2], in_, base_;
  std::vector<std::uint8_t> symbols_, context_, scale_;
  std::vector<std::uint32_t> extra_;
};

class BlockDecoder {
 public:
  BlockDecoder(const Head& head, const DecodeTables& tables, const Kernels& k);
  /// Errors: corrupt.
  Status decode(std::uint64_t first, std::size_t n, std::span<const std::byte> coded, const std::uint8_t* base, std::uint8_t* out);

 private:
  Status decode_floats(std::uint64_t first, std::size_t n, mlxbase::ByteReader& in, std::uint8_t* out);
  Status decode_difference(std::size_t n, mlxbase::ByteReader& in, const std::uint8_t* base, std::uint8_t* out);
  Status decode_twin(std::size_t n, mlxbase::ByteReader& in, const std::uint8_t* base, std::uint8_t* out);
  Status decode_bytes(std::uint64_t first, std::size_t n, mlxbase::ByteReader& in, std::uint8_t* out);
  /// Points at the plane's bytes: in `in` where they are stored as such, else in `room`.
  Result<const std::uint8_t*> decode_plane(const Plane& plane, const std::vector<DecodeEntry>& tables, std::size_t n, mlxbase::ByteReader& in,
                                           std::vector<std::uint8_t>& room);

  const Head& head_;
  const DecodeTables& tables_;
  const Kernels& k_;
  std::vector<std::uint8_t> rest_, low_[2], in_, base_;
  std::vector<std::uint8_t> symbols_, context_, scale_;
  std::vector<std::uint16_t> upper_;
  std::vector<std::int32_t> numbers_;
  std::vector<std::uint32_t> wide_;
};

/// The context of n elements from their base, as a table's number: exponents() and then the head's map.
void fill_contexts(const Head& head, const Kernels& k, const std::uint8_t* base, std::size_t n, std::uint8_t* context);

/// Of a block's runs, those that differ from the base, moved together. Returns how many elements; flags has one bit a run.
std::size_t gather_changed(const Head& head, std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::uint8_t>& flags,
                           std::vector<std::uint8_t>& in_changed, std::vector<std::uint8_t>& base_changed);

}  // namespace mlxcache::codec
