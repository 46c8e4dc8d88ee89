#pragma once
// Packs as bytes: header, records, index, trailer. Format: docs/formats/vault.md. No length in them is trusted.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"
#include "mlxcache/vault/object.h"

namespace mlxcache::vault {

inline constexpr std::size_t kPackHeaderBytes = 32;
inline constexpr std::size_t kPackTrailerBytes = 40;
inline constexpr std::size_t kRecordFixedBytes = 16;          // magic, head length, checksums length, checksum of both
inline constexpr std::uint32_t kBlockBytes = 64 * 1024;       // of a payload, each with its own checksum
inline constexpr std::uint32_t kMaxHeadBytes = 4 * 1024 * 1024;

std::vector<std::byte> encode_pack_header(std::uint64_t salt);
/// The pack's salt. Errors: corrupt, unsupported (a later version).
mlxbase::Result<std::uint64_t> parse_pack_header(std::span<const std::byte> bytes);

void put_head(mlxbase::ByteWriter& out, const Head& head);
/// Nothing if a value is out of its range or bytes are missing.
std::optional<Head> get_head(mlxbase::ByteReader& in);

/// Everything of a record before its payload.
std::vector<std::byte> encode_record(const Head& head, std::span<const std::byte> payload, std::uint64_t salt);

/// A record's front, as read back.
struct Record {
  Head head;
  std::vector<std::uint32_t> checksums;  // of each block of the payload
  std::uint64_t payload_offset = 0;      // in the pack
  std::uint64_t end() const { return payload_offset + head.payload; }
};
/// Reads the front of the record at `offset`. Errors: corrupt (with the offset), those of the source.
mlxbase::Result<Record> read_record(const mlxbase::ByteSource& pack, std::uint64_t offset, std::uint64_t salt);
/// The checksum of block `index` of a payload.
std::uint32_t block_checksum(std::span<const std::byte> block, std::uint64_t index, std::uint64_t salt);
/// Compares the checksums of the blocks that `bytes` (which begins with block `first`) covers. Errors: corrupt, naming the range in the pack.
mlxbase::Status check_blocks(const Record& record, std::uint64_t first, std::span<const std::byte> bytes, std::uint64_t salt);

std::vector<std::byte> encode_index(std::span<const Entry> entries, std::uint64_t index_offset, std::uint64_t salt);  // with the trailer

/// Where bytes of a pack mean nothing.
struct Damage {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string what;
};
/// What a pack holds.
struct Contents {
  std::uint64_t salt = 0;
  std::vector<Entry> entries;
  bool rebuilt = false;          // the index was damaged or missing, and was made anew from the records
  std::vector<Damage> damage;
};
/// By its index; where that is damaged, by reading the records. Errors: corrupt (the header and the trailer are), unsupported, those of the source.
mlxbase::Result<Contents> read_contents(const mlxbase::ByteSource& pack);
/// By reading the records one after the other, looking for the next whole one behind what is damaged.
Contents scan_records(const mlxbase::ByteSource& pack, std::uint64_t salt, std::uint64_t end);

}  // namespace mlxcache::vault
