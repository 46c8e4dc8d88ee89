#pragma once
// Frequencies: from counts, in the file, and as the entries that the inner loops look up. Integers only, so equal everywhere.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/result.h"
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {

using Counts = std::array<std::uint32_t, 256>;
using Frequencies = std::array<std::uint16_t, 256>;  // add up to kTableSize

/// log2(x) in units of 2^-16, from integers only; x >= 1.
std::uint32_t log2_of(std::uint64_t x);

/// Frequencies that code `counts` nearly best; what was counted gets at least 1, and at least two symbols something.
Frequencies normalise(const Counts& counts);
/// What coding `counts` with ideal frequencies costs, and what their table costs in the file; both in 2^-16 bits.
std::uint64_t ideal_cost(const Counts& counts);
std::uint64_t table_cost(const Counts& counts);

/// 1 to 16 tables as written: count u8, then for each: first and last symbol u8, and a bit stream of frequencies.
void write_tables(mlxbase::ByteWriter& out, std::span<const Frequencies> tables);
/// Errors: corrupt (frequencies do not add up, or fewer bytes than they need).
mlxbase::Result<std::vector<Frequencies>> read_tables(mlxbase::ByteReader& in);

std::vector<DecodeEntry> decode_entries(std::span<const Frequencies> tables);  // kTableSize each

struct EncodeTable {
  std::vector<EncodeEntry> entries;   // 256 each
  std::vector<std::uint32_t> slots;
  EncodeView view() const { return {entries.data(), slots.data()}; }
};
EncodeTable encode_table(std::span<const Frequencies> tables);

}  // namespace mlxcache::codec
