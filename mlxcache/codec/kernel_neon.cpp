// 64-bit ARM, which always has NEON.
#include <arm_neon.h>

#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {
namespace {
#include "mlxcache/codec/kernel_loops.h"

// For each mask of four lanes: which of the next words each lane gets, as bytes of a table look-up.
struct Ranks {
  std::uint8_t of[16][16];
};
constexpr Ranks make_ranks() {
  Ranks r{};
  for (unsigned mask = 0; mask < 16; ++mask) {
    unsigned next = 0;
    for (unsigned lane = 0; lane < 4; ++lane) {
      for (unsigned b = 0; b < 4; ++b) r.of[mask][4 * lane + b] = static_cast<std::uint8_t>(b < 2 ? 2 * next + b : 255);
      if ((mask >> lane & 1U) != 0) ++next;
    }
  }
  return r;
}
constexpr Ranks kRanks = make_ranks();

struct Words {
  const std::uint8_t* at;

  uint32x4_t refill(uint32x4_t x) {
    static constexpr std::uint32_t kBits[4] = {1, 2, 4, 8};
    const uint32x4_t low = vcltq_u32(x, vdupq_n_u32(kLeastState));
    const unsigned mask = vaddvq_u32(vandq_u32(low, vld1q_u32(kBits)));
    const uint8x16_t words = vcombine_u8(vld1_u8(at), vdup_n_u8(0));
    const uint32x4_t mine = vreinterpretq_u32_u8(vqtbl1q_u8(words, vld1q_u8(kRanks.of[mask])));
    at += 2 * static_cast<unsigned>(__builtin_popcount(mask));
    return vbslq_u32(low, vorrq_u32(vshlq_n_u32(x, 16), mine), x);
  }
};

inline uint32x4_t entries(uint32x4_t x, const DecodeEntry* tables, const std::uint8_t* context) {
  const uint32x4_t slot = vandq_u32(x, vdupq_n_u32(kTableSize - 1));
  const auto at = [&](std::uint32_t s, unsigned k) { return tables + (context != nullptr ? context[k] * kTableSize : 0U) + s; };
  uint32x4_t e = vld1q_dup_u32(at(vgetq_lane_u32(slot, 0), 0));
  e = vld1q_lane_u32(at(vgetq_lane_u32(slot, 1), 1), e, 1);
  e = vld1q_lane_u32(at(vgetq_lane_u32(slot, 2), 2), e, 2);
  return vld1q_lane_u32(at(vgetq_lane_u32(slot, 3), 3), e, 3);
}
inline uint32x4_t advance(uint32x4_t x, uint32x4_t entry) {
  return vmlaq_u32(vshrq_n_u32(entry, 20), vandq_u32(vshrq_n_u32(entry, 8), vdupq_n_u32(0xFFF)), vshrq_n_u32(x, kTableBits));
}

void decode_wide(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols) {
  Words words{s.at};
  std::size_t i = 0;
  for (; n - i >= kLanes && s.end - words.at >= 136; i += kLanes) {
    for (unsigned v = 0; v < kLanes / 8; ++v) {
      uint32x4_t entry[2];
      for (unsigned h = 0; h < 2; ++h) {
        const unsigned lane = 8 * v + 4 * h;
        const uint32x4_t x = vld1q_u32(s.lane + lane);
        entry[h] = entries(x, tables, context != nullptr ? context + i + lane : nullptr);
        vst1q_u32(s.lane + lane, words.refill(advance(x, entry[h])));
      }
      vst1_u8(symbols + i + 8 * v, vmovn_u16(vcombine_u16(vmovn_u32(entry[0]), vmovn_u32(entry[1]))));
    }
  }
  s.at = words.at;
  decode_some(s, tables, context != nullptr ? context + i : nullptr, n - i, symbols + i);
}

void decode_numbers_wide(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::int32_t* numbers) {
  const uint32x4_t one = vdupq_n_u32(1);
  const auto low_bits = [](uint32x4_t x, uint32x4_t bits) { return vbicq_u32(x, vshlq_u32(vdupq_n_u32(~0U), vreinterpretq_s32_u32(bits))); };
  const auto drop = [](uint32x4_t x, uint32x4_t bits) { return vshlq_u32(x, vnegq_s32(vreinterpretq_s32_u32(bits))); };
  Words words{s.at};
  std::size_t i = 0;
  for (; n - i >= kLanes && s.end - words.at >= 4 * 96 + 32; i += kLanes) {
    for (unsigned v = 0; v < 4; ++v) {  // four quarters of sixteen lanes, each phase for all before the next
      uint32x4_t y[4], symbol[4], bits[4], extra[4], left[4];
      for (unsigned q = 0; q < 4; ++q) {
        const unsigned lane = 16 * v + 4 * q;
        const uint32x4_t x = vld1q_u32(s.lane + lane);
        const uint32x4_t entry = entries(x, tables, context != nullptr ? context + i + lane : nullptr);
        symbol[q] = vandq_u32(entry, vdupq_n_u32(0xFF));
        bits[q] = vbslq_u32(vcgeq_u32(symbol[q], vdupq_n_u32(16)), vshrq_n_u32(symbol[q], 3), vminq_u32(symbol[q], one));
        const uint32x4_t before = advance(x, entry), now = vminq_u32(bits[q], vdupq_n_u32(kFusedBits));
        extra[q] = low_bits(before, now);
        y[q] = words.refill(drop(before, now));
        left[q] = vsubq_u32(bits[q], now);
      }
      for (unsigned done = kFusedBits;; done += kStepBits) {
        if (vmaxvq_u32(vorrq_u32(vorrq_u32(left[0], left[1]), vorrq_u32(left[2], left[3]))) == 0) break;
        for (unsigned q = 0; q < 4; ++q) {
          const uint32x4_t some = vminq_u32(left[q], vdupq_n_u32(kStepBits));
          extra[q] = vorrq_u32(extra[q], vshlq_u32(low_bits(y[q], some), vdupq_n_s32(static_cast<std::int32_t>(done))));
          y[q] = words.refill(drop(y[q], some));
          left[q] = vsubq_u32(left[q], some);
        }
      }
      for (unsigned q = 0; q < 4; ++q) {
        const unsigned lane = 16 * v + 4 * q;
        vst1q_u32(s.lane + lane, y[q]);
        const uint32x4_t lead = vorrq_u32(vandq_u32(symbol[q], vdupq_n_u32(7)), vdupq_n_u32(8));
        const uint32x4_t long_size = vorrq_u32(vshlq_u32(lead, vreinterpretq_s32_u32(vsubq_u32(bits[q], one))), vshrq_n_u32(extra[q], 1));
        const uint32x4_t size = vbslq_u32(vcgeq_u32(symbol[q], vdupq_n_u32(16)), long_size, symbol[q]);
        const int32x4_t negative = vnegq_s32(vreinterpretq_s32_u32(vandq_u32(extra[q], one)));
        vst1q_s32(numbers + i + lane, vsubq_s32(veorq_s32(vreinterpretq_s32_u32(size), negative), negative));
      }
    }
  }
  s.at = words.at;
  decode_numbers_some(s, tables, context != nullptr ? context + i : nullptr, n - i, numbers + i);
}

void map16_wide(const std::uint8_t* map, std::size_t n, std::uint8_t* context) {
  const uint8x16_t table = vld1q_u8(map);
  std::size_t i = 0;
  for (; n - i >= 16; i += 16) vst1q_u8(context + i, vqtbl1q_u8(table, vld1q_u8(context + i)));
  map16(map, n - i, context + i);
}

constexpr Kernels make_wide() {
  Kernels k = make_kernels();
  k.decode = decode_wide;
  k.decode_numbers = decode_numbers_wide;
  k.map16 = map16_wide;
  return k;
}
constexpr Kernels kKernels = make_wide();
}  // namespace

const Kernels& neon_kernels() { return kKernels; }

}  // namespace mlxcache::codec
