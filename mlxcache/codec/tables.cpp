#include "mlxcache/codec/tables.h"

#include <algorithm>
#include <bit>

namespace mlxcache::codec {
namespace {

using mlxbase::Code;
using mlxbase::fail;

constexpr std::uint64_t kOne = 1U << 16;  // a bit, in units of cost

// log2(1 + i / 256) in 2^-16, by squaring: each squaring of a number in [1, 2) yields the next bit of its logarithm.
constexpr std::array<std::uint32_t, 257> make_logs() {
  std::array<std::uint32_t, 257> logs{};
  for (std::uint64_t i = 0; i < 256; ++i) {
    std::uint64_t x = (256 + i) << 23;  // 1.0 is 2^31
    std::uint32_t log = 0;
    for (int bit = 0; bit < 16; ++bit) {
      x = x * x >> 31;
      log <<= 1;
      if (x >> 32 != 0) {
        log |= 1;
        x >>= 1;
      }
    }
    logs[i] = log;
  }
  logs[256] = kOne;
  return logs;
}
constexpr auto kLogs = make_logs();

class BitWriter {
 public:
  explicit BitWriter(mlxbase::ByteWriter& out) : out_(out) {}
  ~BitWriter() {
    if (used_ > 0) out_.put(static_cast<std::uint8_t>(held_));
  }
  BitWriter(const BitWriter&) = delete;
  BitWriter& operator=(const BitWriter&) = delete;
  void put(unsigned value, unsigned bits) {
    held_ |= value << used_;
    used_ += bits;
    for (; used_ >= 8; used_ -= 8, held_ >>= 8) out_.put(static_cast<std::uint8_t>(held_));
  }

 private:
  mlxbase::ByteWriter& out_;
  unsigned held_ = 0, used_ = 0;
};

class BitReader {
 public:
  explicit BitReader(mlxbase::ByteReader& in) : in_(in) {}
  unsigned get(unsigned bits) {
    for (; used_ < bits; used_ += 8) held_ |= static_cast<unsigned>(in_.get<std::uint8_t>()) << used_;
    const unsigned value = held_ & ((1U << bits) - 1);
    held_ >>= bits;
    used_ -= bits;
    return value;
  }

 private:
  mlxbase::ByteReader& in_;
  unsigned held_ = 0, used_ = 0;
};

unsigned width_bits(unsigned width, unsigned before) { return width == before ? 1 : width + 1 == before ? 2 : width == before + 1 ? 3 : 7; }

std::uint64_t sum(const Counts& counts) {
  std::uint64_t total = 0;
  for (const std::uint32_t c : counts) total += c;
  return total;
}

}  // namespace

std::uint32_t log2_of(std::uint64_t x) {
  const auto whole = static_cast<unsigned>(std::bit_width(x)) - 1;
  const std::uint64_t fraction = (whole >= 16 ? x >> (whole - 16) : x << (16 - whole)) & 0xFFFFU;  // of 2^16
  const std::uint32_t low = kLogs[fraction >> 8], high = kLogs[(fraction >> 8) + 1];
  return static_cast<std::uint32_t>(whole * kOne) + low + static_cast<std::uint32_t>((high - low) * (fraction & 0xFFU) >> 8);
}

Frequencies normalise(const Counts& counts) {
  Frequencies f{};
  const std::uint64_t total = sum(counts);
  int left = kTableSize;
  std::array<std::uint8_t, 256> present{};
  unsigned many = 0;
  const auto largest = static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  if (counts[largest] == total) {  // no frequency is all of the table: an entry has twelve bits for it
    f[largest] = kTableSize - 1;
    f[largest == 0 ? 1 : largest - 1] = 1;
    return f;
  }
  for (unsigned s = 0; s < 256; ++s) {
    if (counts[s] == 0) continue;
    f[s] = static_cast<std::uint16_t>(std::clamp<std::uint64_t>((counts[s] * std::uint64_t{kTableSize} + total / 2) / total, 1, kTableSize - 1));
    left -= f[s];
    present[many++] = static_cast<std::uint8_t>(s);
  }
  // What rounding left over goes where a step gains most or costs least: count / frequency is the slope.
  while (left != 0) {
    unsigned best = 256;
    for (unsigned k = 0; k < many; ++k) {
      const unsigned s = present[k];
      if (left < 0 ? f[s] <= 1 : f[s] >= kTableSize - 1) continue;
      if (best == 256) {
        best = s;
        continue;
      }
      const std::uint64_t mine = std::uint64_t{counts[s]} * f[best], other = std::uint64_t{counts[best]} * f[s];
      if (left > 0 ? mine > other : mine < other) best = s;
    }
    const int step = left > 0 ? 1 : -1;
    f[best] = static_cast<std::uint16_t>(f[best] + step);
    left -= step;
  }
  return f;
}

std::uint64_t ideal_cost(const Counts& counts) {
  const std::uint64_t total = sum(counts);
  if (total == 0) return 0;
  const std::uint64_t log_total = log2_of(total);
  std::uint64_t cost = 0;
  for (const std::uint32_t c : counts) {
    if (c != 0) cost += c * (log_total - log2_of(c));
  }
  return cost;
}

std::uint64_t table_cost(const Counts& counts) {
  unsigned first = 256, last = 0, present = 0;
  for (unsigned s = 0; s < 256; ++s) {
    if (counts[s] == 0) continue;
    first = std::min(first, s);
    last = s;
    ++present;
  }
  return present == 0 ? 0 : (16 + std::uint64_t{present} * 5 + (last - first + 1 - present)) * kOne;
}

void write_tables(mlxbase::ByteWriter& out, std::span<const Frequencies> tables) {
  out.put(static_cast<std::uint8_t>(tables.size()));
  for (const Frequencies& f : tables) {
    unsigned first = 0, last = 255;
    while (f[first] == 0) ++first;
    while (f[last] == 0) --last;
    out.put(static_cast<std::uint8_t>(first));
    out.put(static_cast<std::uint8_t>(last));
    BitWriter bits(out);
    unsigned before = 0;
    for (unsigned s = first; s <= last; ++s) {
      const auto width = static_cast<unsigned>(std::bit_width(f[s]));
      switch (width_bits(width, before)) {
        case 1: bits.put(0, 1); break;
        case 2: bits.put(1, 2); break;
        case 3: bits.put(3, 3); break;
        default: bits.put(7 | width << 3, 7);
      }
      if (width > 1) bits.put(f[s] & ((1U << (width - 1)) - 1), width - 1);
      before = width;
    }
  }
}

mlxbase::Result<std::vector<Frequencies>> read_tables(mlxbase::ByteReader& in) {
  const unsigned many = in.get<std::uint8_t>();
  if (many < 1 || many > 16) return fail(Code::corrupt, "coded tensor: a number of tables that cannot be");
  std::vector<Frequencies> tables(many);
  for (Frequencies& f : tables) {
    const unsigned first = in.get<std::uint8_t>(), last = in.get<std::uint8_t>();
    BitReader bits(in);
    unsigned before = 0, total = 0;
    for (unsigned s = first; s <= last && in.ok(); ++s) {
      unsigned width = before;
      if (bits.get(1) != 0) {
        if (bits.get(1) == 0) {
          --width;
        } else {
          width = bits.get(1) == 0 ? width + 1 : bits.get(4);
        }
      }
      if (width > kTableBits) return fail(Code::corrupt, "coded tensor: a damaged table");
      if (width > 0) f[s] = static_cast<std::uint16_t>(1U << (width - 1) | (width > 1 ? bits.get(width - 1) : 0U));
      total += f[s];
      before = width;
    }
    if (!in.ok() || total != kTableSize) return fail(Code::corrupt, "coded tensor: a damaged table");
  }
  return tables;
}

std::vector<DecodeEntry> decode_entries(std::span<const Frequencies> tables) {
  std::vector<DecodeEntry> entries(tables.size() * kTableSize);
  auto at = entries.begin();
  for (const Frequencies& f : tables) {
    for (std::uint32_t s = 0; s < 256; ++s) {
      for (std::uint32_t k = 0; k < f[s]; ++k) *at++ = s | std::uint32_t{f[s]} << 8 | k << 20;
    }
  }
  return entries;
}

EncodeTable encode_table(std::span<const Frequencies> tables) {
  EncodeTable table{.entries = std::vector<EncodeEntry>(tables.size() * 256), .slots = {}};
  table.slots.reserve(tables.size() * 256);
  auto at = table.entries.begin();
  for (const Frequencies& f : tables) {
    std::uint32_t start = 0;
    for (std::uint32_t s = 0; s < 256; ++s, ++at) {
      // x / f by multiplication, exact for x below 2^31: Alverson 1991, as in ryg_rans.
      at->frequency = f[s];
      at->complement = static_cast<std::uint16_t>(kTableSize - f[s]);
      if (f[s] < 2) {
        at->reciprocal = ~0U;
        at->bias = static_cast<std::uint16_t>(start + kTableSize - 1);
      } else {
        const auto shift = static_cast<unsigned>(std::bit_width(static_cast<std::uint16_t>(f[s] - 1)));
        at->reciprocal = static_cast<std::uint32_t>(((std::uint64_t{1} << (shift + 31)) + f[s] - 1) / f[s]);
        at->shift = static_cast<std::uint16_t>(shift - 1);
        at->bias = static_cast<std::uint16_t>(start);
      }
      table.slots.push_back(f[s] | start << 16);
      start += f[s];
    }
  }
  return table;
}

}  // namespace mlxcache::codec
