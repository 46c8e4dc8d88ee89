// x86 with AVX-512 F, BW, DQ, VL and CD, and BMI2.
#include <immintrin.h>

#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {
namespace {
#include "mlxcache/codec/kernel_loops.h"

struct Words {
  const std::uint8_t* at;

  __m512i refill(__m512i x) {
    const __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kLeastState));
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    at += 2 * static_cast<unsigned>(__builtin_popcount(low));
    return _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(low, words));
  }
};

inline __m512i slots(__m512i x, const std::uint8_t* context) {
  const __m512i slot = _mm512_and_si512(x, _mm512_set1_epi32(kTableSize - 1));
  if (context == nullptr) return slot;
  return _mm512_or_si512(slot, _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(context))), kTableBits));
}
inline __m512i advance(__m512i x, __m512i entry) {
  const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(entry, 8), _mm512_set1_epi32(0xFFF));
  return _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, kTableBits)), _mm512_srli_epi32(entry, 20));
}

template <bool kContext>
std::size_t decode_groups(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols) {
  __m512i x[4];
  for (int v = 0; v < 4; ++v) x[v] = _mm512_loadu_si512(s.lane + 16 * v);
  Words words{s.at};
  std::size_t i = 0;
  for (; n - i >= kLanes && s.end - words.at >= 128; i += kLanes) {
    __m512i entry[4];
    for (int v = 0; v < 4; ++v) entry[v] = _mm512_i32gather_epi32(slots(x[v], kContext ? context + i + 16 * v : nullptr), tables, 4);
    for (int v = 0; v < 4; ++v) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(symbols + i + 16 * v), _mm512_cvtepi32_epi8(entry[v]));
      x[v] = words.refill(advance(x[v], entry[v]));
    }
  }
  for (int v = 0; v < 4; ++v) _mm512_storeu_si512(s.lane + 16 * v, x[v]);
  s.at = words.at;
  return i;
}

void decode_wide(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols) {
  const std::size_t done = context != nullptr ? decode_groups<true>(s, tables, context, n, symbols) : decode_groups<false>(s, tables, context, n, symbols);
  decode_some(s, tables, context != nullptr ? context + done : nullptr, n - done, symbols + done);
}

void decode_numbers_wide(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::int32_t* numbers) {
  const __m512i one = _mm512_set1_epi32(1), fused = _mm512_set1_epi32(kFusedBits), step = _mm512_set1_epi32(kStepBits);
  __m512i x[4];
  for (int v = 0; v < 4; ++v) x[v] = _mm512_loadu_si512(s.lane + 16 * v);
  Words words{s.at};
  std::size_t i = 0;
  for (; n - i >= kLanes && s.end - words.at >= 4 * 96 + 32; i += kLanes) {
    __m512i entry[4];
    for (int v = 0; v < 4; ++v) entry[v] = _mm512_i32gather_epi32(slots(x[v], context != nullptr ? context + i + 16 * v : nullptr), tables, 4);
    for (int v = 0; v < 4; ++v) {
      const __m512i symbol = _mm512_and_si512(entry[v], _mm512_set1_epi32(0xFF));
      const __mmask16 large = _mm512_cmpge_epu32_mask(symbol, _mm512_set1_epi32(16));
      const __m512i bits = _mm512_mask_srli_epi32(_mm512_min_epu32(symbol, one), large, symbol, 3);
      __m512i y = advance(x[v], entry[v]);
      const __m512i now = _mm512_min_epu32(bits, fused);
      __m512i extra = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), now), y);
      y = words.refill(_mm512_srlv_epi32(y, now));
      __m512i left = _mm512_sub_epi32(bits, now);
      __mmask16 more = _mm512_test_epi32_mask(left, left);
      for (unsigned done = kFusedBits; more != 0; done += kStepBits) {
        const __m512i some = _mm512_min_epu32(left, step);
        const __m512i value = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), some), y);
        extra = _mm512_or_si512(extra, _mm512_sll_epi32(value, _mm_cvtsi32_si128(static_cast<int>(done))));
        y = words.refill(_mm512_srlv_epi32(y, some));
        left = _mm512_sub_epi32(left, some);
        more = _mm512_test_epi32_mask(left, left);
      }
      x[v] = y;
      const __m512i lead = _mm512_or_si512(_mm512_and_si512(symbol, _mm512_set1_epi32(7)), _mm512_set1_epi32(8));
      const __m512i size = _mm512_mask_or_epi32(symbol, large, _mm512_sllv_epi32(lead, _mm512_sub_epi32(bits, one)), _mm512_srli_epi32(extra, 1));
      const __mmask16 negative = _mm512_test_epi32_mask(extra, one);
      _mm512_storeu_si512(numbers + i + 16 * v, _mm512_mask_sub_epi32(size, negative, _mm512_setzero_si512(), size));
    }
  }
  for (int v = 0; v < 4; ++v) _mm512_storeu_si512(s.lane + 16 * v, x[v]);
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

// ---- encoding: the mirror image, vectors and lanes from the last to the first ----

inline void flush(std::uint8_t*& at, __m512i& x, __mmask16 full) {
  const auto many = static_cast<unsigned>(__builtin_popcount(full));
  const __m256i words = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, x));
  at -= 2 * many;
  _mm256_mask_storeu_epi16(at, static_cast<__mmask16>((1U << many) - 1), words);
  x = _mm512_mask_srli_epi32(x, full, x, 16);
}

struct Entries {
  __m512i frequency, start;
};
inline Entries entries_of(const std::uint32_t* slots, const std::uint8_t* context, __m512i symbol) {
  __m512i index = symbol;
  if (context != nullptr) index = _mm512_or_si512(index, _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(context))), 8));
  const __m512i both = _mm512_i32gather_epi32(index, slots, 4);
  return {_mm512_and_si512(both, _mm512_set1_epi32(0xFFFF)), _mm512_srli_epi32(both, 16)};
}
// x is below frequency << 19, so the quotient has 19 bits, and a float's 24 come within an eighth of it. Rounded towards zero twice it is the true one or one less.
inline __m512i push(const Entries& e, __m512i x) {
  constexpr int kDown = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
  const __m512i about = _mm512_cvttps_epi32(_mm512_div_round_ps(_mm512_cvt_roundepi32_ps(x, kDown), _mm512_cvtepi32_ps(e.frequency), kDown));
  const __m512i left = _mm512_sub_epi32(x, _mm512_mullo_epi32(about, e.frequency));
  const __m512i slot = _mm512_add_epi32(_mm512_slli_epi32(about, kTableBits), _mm512_add_epi32(left, e.start));
  return _mm512_mask_add_epi32(slot, _mm512_cmpge_epu32_mask(left, e.frequency), slot, _mm512_sub_epi32(_mm512_set1_epi32(kTableSize), e.frequency));
}
inline __m512i load_bytes(const std::uint8_t* p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }

void encode_wide(EncodeState& s, const EncodeView& tables, const std::uint8_t* context, std::size_t n, const std::uint8_t* symbols) {
  const std::size_t whole = n / kLanes * kLanes;
  if (whole < n) encode_all(s, tables, context != nullptr ? context + whole : nullptr, n - whole, symbols + whole);
  __m512i x[4];
  for (int v = 0; v < 4; ++v) x[v] = _mm512_loadu_si512(s.lane + 16 * v);
  std::uint8_t* at = s.at;
  for (std::size_t i = whole; i > 0;) {
    i -= kLanes;
    for (int v = 3; v >= 0; --v) {
      const Entries e = entries_of(tables.slots, context != nullptr ? context + i + 16 * v : nullptr, load_bytes(symbols + i + 16 * v));
      flush(at, x[v], _mm512_cmpge_epu32_mask(_mm512_srli_epi32(x[v], 31 - kTableBits), e.frequency));
      x[v] = push(e, x[v]);
    }
  }
  for (int v = 0; v < 4; ++v) _mm512_storeu_si512(s.lane + 16 * v, x[v]);
  s.at = at;
}

void encode_numbers_wide(EncodeState& s, const EncodeView& tables, const std::uint8_t* context, std::size_t n, const std::uint8_t* symbols, const std::uint32_t* extra) {
  const std::size_t whole = n / kLanes * kLanes;
  if (whole < n) encode_numbers_all(s, tables, context != nullptr ? context + whole : nullptr, n - whole, symbols + whole, extra + whole);
  const __m512i one = _mm512_set1_epi32(1), zero = _mm512_setzero_si512(), all = _mm512_set1_epi32(-1);
  __m512i x[4];
  for (int v = 0; v < 4; ++v) x[v] = _mm512_loadu_si512(s.lane + 16 * v);
  std::uint8_t* at = s.at;
  for (std::size_t i = whole; i > 0;) {
    i -= kLanes;
    for (int v = 3; v >= 0; --v) {
      const __m512i symbol = load_bytes(symbols + i + 16 * v), value = _mm512_loadu_si512(extra + i + 16 * v);
      const __mmask16 large = _mm512_cmpge_epu32_mask(symbol, _mm512_set1_epi32(16));
      const __m512i bits = _mm512_mask_srli_epi32(_mm512_min_epu32(symbol, one), large, symbol, 3);
      __m512i y = x[v];
      for (int done = kFusedBits + kStepBits; done >= static_cast<int>(kFusedBits); done -= kStepBits) {
        const __m512i some = _mm512_min_epi32(_mm512_max_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(done)), zero), _mm512_set1_epi32(kStepBits));
        if (_mm512_test_epi32_mask(some, some) == 0) continue;
        const __m512i over = _mm512_srlv_epi32(y, _mm512_sub_epi32(_mm512_set1_epi32(31), some));
        flush(at, y, _mm512_test_epi32_mask(over, over));
        const __m512i mine = _mm512_andnot_si512(_mm512_sllv_epi32(all, some), _mm512_srl_epi32(value, _mm_cvtsi32_si128(done)));
        y = _mm512_or_si512(_mm512_sllv_epi32(y, some), mine);
      }
      const Entries e = entries_of(tables.slots, context != nullptr ? context + i + 16 * v : nullptr, symbol);
      const __m512i now = _mm512_min_epu32(bits, _mm512_set1_epi32(kFusedBits));
      flush(at, y, _mm512_cmpge_epu32_mask(_mm512_srlv_epi32(y, _mm512_sub_epi32(_mm512_set1_epi32(31 - kTableBits), now)), e.frequency));
      y = _mm512_or_si512(_mm512_sllv_epi32(y, now), _mm512_andnot_si512(_mm512_sllv_epi32(all, now), value));
      x[v] = push(e, y);
    }
  }
  for (int v = 0; v < 4; ++v) _mm512_storeu_si512(s.lane + 16 * v, x[v]);
  s.at = at;
}

// ---- differences ----

inline __m512i order16_wide(const std::uint8_t* p) {
  const __m512i u = _mm512_loadu_si512(p);
  return _mm512_xor_si512(u, _mm512_or_si512(_mm512_srai_epi16(u, 15), _mm512_set1_epi16(static_cast<short>(0x8000))));
}
inline __m512i order32_wide(const std::uint8_t* p) {
  const __m512i u = _mm512_loadu_si512(p);
  return _mm512_xor_si512(u, _mm512_or_si512(_mm512_srai_epi32(u, 31), _mm512_set1_epi32(static_cast<int>(0x80000000U))));
}
inline void symbols_wide(__m512i number, std::uint8_t* symbols, std::uint32_t* extra) {
  const __m512i one = _mm512_set1_epi32(1), size = _mm512_abs_epi32(number);
  const __m512i low = _mm512_max_epi32(_mm512_sub_epi32(_mm512_set1_epi32(28), _mm512_lzcnt_epi32(size)), _mm512_setzero_si512());
  const __m512i three = _mm512_and_si512(_mm512_srlv_epi32(size, low), _mm512_set1_epi32(7));
  const __m512i large = _mm512_add_epi32(_mm512_slli_epi32(_mm512_add_epi32(low, one), 3), three);
  const __m512i symbol = _mm512_mask_mov_epi32(large, _mm512_cmplt_epu32_mask(size, _mm512_set1_epi32(16)), size);
  const __m512i lower = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), low), size);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(symbols), _mm512_cvtepi32_epi8(symbol));
  _mm512_storeu_si512(extra, _mm512_or_si512(_mm512_srli_epi32(number, 31), _mm512_slli_epi32(lower, 1)));
}
void differ16_wide(const std::uint8_t* in, const std::uint8_t* base, std::size_t n, std::uint8_t* symbols, std::uint32_t* extra) {
  std::size_t i = 0;
  for (; n - i >= 32; i += 32) {
    const __m512i d = _mm512_sub_epi16(order16_wide(in + 2 * i), order16_wide(base + 2 * i));
    symbols_wide(_mm512_cvtepi16_epi32(_mm512_castsi512_si256(d)), symbols + i, extra + i);
    symbols_wide(_mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(d, 1)), symbols + i + 16, extra + i + 16);
  }
  differ16(in + 2 * i, base + 2 * i, n - i, symbols + i, extra + i);
}
void differ32_wide(const std::uint8_t* in, const std::uint8_t* base, std::size_t n, std::uint8_t* symbols, std::uint32_t* extra) {
  std::size_t i = 0;
  for (; n - i >= 16; i += 16) symbols_wide(_mm512_sub_epi32(order32_wide(in + 4 * i), order32_wide(base + 4 * i)), symbols + i, extra + i);
  differ32(in + 4 * i, base + 4 * i, n - i, symbols + i, extra + i);
}
void exponents_wide(const std::uint8_t* base, std::size_t width, unsigned shift, unsigned mask, int low, std::size_t n, std::uint8_t* context) {
  std::size_t i = 0;
  const __m128i by = _mm_cvtsi32_si128(static_cast<int>(shift));
  if (width == 2) {
    const __m512i bits = _mm512_set1_epi16(static_cast<short>(mask)), least = _mm512_set1_epi16(static_cast<short>(low)), most = _mm512_set1_epi16(15);
    for (; n - i >= 32; i += 32) {
      const __m512i e = _mm512_sub_epi16(_mm512_and_si512(_mm512_srl_epi16(_mm512_loadu_si512(base + 2 * i), by), bits), least);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(context + i), _mm512_cvtepi16_epi8(_mm512_min_epi16(_mm512_max_epi16(e, _mm512_setzero_si512()), most)));
    }
  } else {
    const __m512i bits = _mm512_set1_epi32(static_cast<int>(mask)), least = _mm512_set1_epi32(low), most = _mm512_set1_epi32(15);
    for (; n - i >= 16; i += 16) {
      const __m512i e = _mm512_sub_epi32(_mm512_and_si512(_mm512_srl_epi32(_mm512_loadu_si512(base + 4 * i), by), bits), least);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(context + i), _mm512_cvtepi32_epi8(_mm512_min_epi32(_mm512_max_epi32(e, _mm512_setzero_si512()), most)));
    }
  }
  exponents(base + width * i, width, shift, mask, low, n - i, context + i);
}

constexpr Kernels make_wide() {
  Kernels k = make_kernels();
  k.encode = encode_wide;
  k.encode_numbers = encode_numbers_wide;
  k.decode = decode_wide;
  k.decode_numbers = decode_numbers_wide;
  k.map16 = map16_wide;
  k.differ16 = differ16_wide;
  k.differ32 = differ32_wide;
  k.exponents = exponents_wide;
  return k;
}
constexpr Kernels kKernels = make_wide();
}  // namespace

const Kernels& avx512_kernels() { return kKernels; }

}  // namespace mlxcache::codec
