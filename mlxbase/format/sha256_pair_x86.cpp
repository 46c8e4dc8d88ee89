// SHA-NI. Compiled with those instructions: nothing here but has_sha256_pair() may run before it was asked.
#include <cpuid.h>
#include <immintrin.h>

#include "mlxbase/format/sha256_pair.h"
#include "mlxbase/format/sha256_rounds.h"

namespace mlxbase::native {
namespace {

/// The instructions want the words as (A, B, E, F) and (C, D, G, H), highest first.
struct Lane {
  __m128i abef;
  __m128i cdgh;
  __m128i schedule[4];  // the last sixteen words of W
};

inline __m128i load(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

inline void enter(Lane& lane, const std::uint32_t* words) {
  const __m128i badc = _mm_shuffle_epi32(load(words), 0xB1);
  const __m128i hgfe = _mm_shuffle_epi32(load(words + 4), 0x1B);
  lane.abef = _mm_alignr_epi8(badc, hgfe, 8);
  lane.cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
}

inline void leave(const Lane& lane, std::uint32_t* words) {
  const __m128i feba = _mm_shuffle_epi32(lane.abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(lane.cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words), _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/// Rounds 4·kQuad to 4·kQuad + 3.
template <int kQuad>
inline void four_rounds(Lane& lane) {
  __m128i& w = lane.schedule[kQuad & 3];
  if constexpr (kQuad >= 4) {
    const __m128i& w4 = lane.schedule[(kQuad + 3) & 3];
    const __m128i& w8 = lane.schedule[(kQuad + 2) & 3];
    const __m128i& w12 = lane.schedule[(kQuad + 1) & 3];
    w = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w, w12), _mm_alignr_epi8(w4, w8, 4)), w4);
  }
  const __m128i sum = _mm_add_epi32(w, load(kSha256Rounds + 4 * kQuad));
  lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, sum);
  lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32(sum, 0x0E));
}

template <int kQuad>
inline void rounds_from(Lane& a, Lane& b) {
  four_rounds<kQuad>(a);
  four_rounds<kQuad>(b);
  if constexpr (kQuad < 15) rounds_from<kQuad + 1>(a, b);
}

inline void read_block(Lane& lane, const std::byte* bytes) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  for (int i = 0; i < 4; ++i) lane.schedule[i] = _mm_shuffle_epi8(load(bytes + 16 * i), big_endian);
}

}  // namespace

bool has_sha256_pair() {
  static const bool has = [] {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    constexpr unsigned kSsse3 = 1U << 9U;
    constexpr unsigned kSse41 = 1U << 19U;
    constexpr unsigned kSha = 1U << 29U;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSsse3) == 0 || (c & kSse41) == 0) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0;
  }();
  return has;
}

void sha256_pair(Sha256Lane& a, Sha256Lane& b, std::size_t blocks) {
  Lane one;
  Lane two;
  enter(one, a.words);
  enter(two, b.words);
  for (std::size_t block = 0; block < blocks; ++block) {
    const __m128i before[4] = {one.abef, one.cdgh, two.abef, two.cdgh};
    read_block(one, a.bytes + 64 * block);
    read_block(two, b.bytes + 64 * block);
    rounds_from<0>(one, two);
    one.abef = _mm_add_epi32(one.abef, before[0]);
    one.cdgh = _mm_add_epi32(one.cdgh, before[1]);
    two.abef = _mm_add_epi32(two.abef, before[2]);
    two.cdgh = _mm_add_epi32(two.cdgh, before[3]);
  }
  leave(one, a.words);
  leave(two, b.words);
}

}  // namespace mlxbase::native
