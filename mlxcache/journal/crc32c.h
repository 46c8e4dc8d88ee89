#pragma once
// CRC-32C (Castagnoli), as iSCSI, ext4 and leveldb use it: catches every burst of up to 32 damaged bits.
#include <cstddef>
#include <cstdint>
#include <span>

namespace mlxcache::journal {

/// Checksum of `bytes`, going on from `before` (the checksum of what came first; 0 at the start).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);
/// The same without the processor's instruction for it.
std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace mlxcache::journal
