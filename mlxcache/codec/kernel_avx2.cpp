// x86 with AVX2 and BMI2.
#include <immintrin.h>

#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {
namespace {
#include "mlxcache/codec/kernel_loops.h"

// For each mask of lanes: which of the next words each lane gets.
struct Ranks {
  std::uint8_t of[256][8];
};
constexpr Ranks make_ranks() {
  Ranks r{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    std::uint8_t next = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      r.of[mask][lane] = next;
      if ((mask >> lane & 1U) != 0) ++next;
    }
  }
  return r;
}
constexpr Ranks kRanks = make_ranks();

struct Words {
  const std::uint8_t* at;

  __m256i refill(__m256i x) {
    const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(kLeastState), x);  // states are below 2^31
    const auto mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
    const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    const __m256i ranks = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kRanks.of[mask])));
    at += 2 * static_cast<unsigned>(__builtin_popcount(mask));
    const __m256i filled = _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(words, ranks));
    return _mm256_blendv_epi8(x, filled, low);
  }
};

inline __m256i entries(__m256i x, const DecodeEntry* tables, const std::uint8_t* context) {
  __m256i slot = _mm256_and_si256(x, _mm256_set1_epi32(kTableSize - 1));
  if (context != nullptr) {
    const __m256i table = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(context)));
    slot = _mm256_or_si256(slot, _mm256_slli_epi32(table, kTableBits));
  }
  return _mm256_i32gather_epi32(reinterpret_cast<const int*>(tables), slot, 4);
}
inline __m256i advance(__m256i x, __m256i entry) {
  const __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(entry, 8), _mm256_set1_epi32(0xFFF));
  return _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, kTableBits)), _mm256_srli_epi32(entry, 20));
}
inline __m256i load(const std::uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store(std::uint32_t* p, __m256i v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

template <bool kContext>
std::size_t decode_groups(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols) {
  const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  __m256i x[8];
  for (int v = 0; v < 8; ++v) x[v] = load(s.lane + 8 * v);
  Words words{s.at};
  std::size_t i = 0;
  for (; n - i >= kLanes && s.end - words.at >= 128; i += kLanes) {
    for (int v = 0; v < 8; ++v) {
      const __m256i entry = entries(x[v], tables, kContext ? context + i + 8 * v : nullptr);
      const __m256i bytes = _mm256_shuffle_epi8(entry, low_bytes);
      const std::uint32_t halves[2] = {static_cast<std::uint32_t>(_mm256_extract_epi32(bytes, 0)), static_cast<std::uint32_t>(_mm256_extract_epi32(bytes, 4))};
      __builtin_memcpy(symbols + i + 8 * v, halves, 8);
      x[v] = words.refill(advance(x[v], entry));
    }
  }
  for (int v = 0; v < 8; ++v) store(s.lane + 8 * v, x[v]);
  s.at = words.at;
  return i;
}

void decode_wide(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols) {
  const std::size_t done = context != nullptr ? decode_groups<true>(s, tables, context, n, symbols) : decode_groups<false>(s, tables, context, n, symbols);
  decode_some(s, tables, context != nullptr ? context + done : nullptr, n - done, symbols + done);
}

void decode_numbers_wide(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::int32_t* numbers) {
  const __m256i one = _mm256_set1_epi32(1), all = _mm256_set1_epi32(-1), fused = _mm256_set1_epi32(kFusedBits), step = _mm256_set1_epi32(kStepBits);
  Words words{s.at};
  std::size_t i = 0;
  for (; n - i >= kLanes && s.end - words.at >= 4 * 96 + 32; i += kLanes) {
    for (int v = 0; v < 4; ++v) {  // two halves of sixteen lanes, each phase for both before the next
      __m256i y[2], symbol[2], large[2], bits[2], extra[2], left[2];
      for (int h = 0; h < 2; ++h) {
        const __m256i x = load(s.lane + 16 * v + 8 * h);
        const __m256i entry = entries(x, tables, context != nullptr ? context + i + 16 * v + 8 * h : nullptr);
        symbol[h] = _mm256_and_si256(entry, _mm256_set1_epi32(0xFF));
        large[h] = _mm256_cmpgt_epi32(symbol[h], _mm256_set1_epi32(15));
        bits[h] = _mm256_blendv_epi8(_mm256_min_epu32(symbol[h], one), _mm256_srli_epi32(symbol[h], 3), large[h]);
        const __m256i before = advance(x, entry), now = _mm256_min_epu32(bits[h], fused);
        extra[h] = _mm256_andnot_si256(_mm256_sllv_epi32(all, now), before);
        y[h] = words.refill(_mm256_srlv_epi32(before, now));
        left[h] = _mm256_sub_epi32(bits[h], now);
      }
      for (unsigned done = kFusedBits;; done += kStepBits) {
        const __m256i any = _mm256_or_si256(left[0], left[1]);
        if (_mm256_testz_si256(any, any) != 0) break;
        for (int h = 0; h < 2; ++h) {
          const __m256i some = _mm256_min_epu32(left[h], step);
          const __m256i value = _mm256_andnot_si256(_mm256_sllv_epi32(all, some), y[h]);
          extra[h] = _mm256_or_si256(extra[h], _mm256_sll_epi32(value, _mm_cvtsi32_si128(static_cast<int>(done))));
          y[h] = words.refill(_mm256_srlv_epi32(y[h], some));
          left[h] = _mm256_sub_epi32(left[h], some);
        }
      }
      for (int h = 0; h < 2; ++h) {
        store(s.lane + 16 * v + 8 * h, y[h]);
        const __m256i lead = _mm256_or_si256(_mm256_and_si256(symbol[h], _mm256_set1_epi32(7)), _mm256_set1_epi32(8));
        const __m256i long_size = _mm256_or_si256(_mm256_sllv_epi32(lead, _mm256_sub_epi32(bits[h], one)), _mm256_srli_epi32(extra[h], 1));
        const __m256i size = _mm256_blendv_epi8(symbol[h], long_size, large[h]);
        const __m256i negative = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_and_si256(extra[h], one));
        const __m256i number = _mm256_sub_epi32(_mm256_xor_si256(size, negative), negative);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(numbers + i + 16 * v + 8 * h), number);
      }
    }
  }
  s.at = words.at;
  decode_numbers_some(s, tables, context != nullptr ? context + i : nullptr, n - i, numbers + i);
}

void map16_wide(const std::uint8_t* map, std::size_t n, std::uint8_t* context) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(map)));
  std::size_t i = 0;
  for (; n - i >= 32; i += 32) {
    auto* at = reinterpret_cast<__m256i*>(context + i);
    _mm256_storeu_si256(at, _mm256_shuffle_epi8(table, _mm256_loadu_si256(at)));
  }
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

const Kernels& avx2_kernels() { return kKernels; }

}  // namespace mlxcache::codec
