// x86 with AVX-512 (F, BW, DQ, VL).
#include <immintrin.h>

#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {
namespace {

struct Simd {
  using F = __m512;
  static constexpr std::size_t W = 16, kInputs = 4, kRows = 6;
  static F zero() { return _mm512_setzero_ps(); }
  static F one(float v) { return _mm512_set1_ps(v); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F divide(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F largest(F a, F b) { return _mm512_max_ps(a, b); }
  static float sum(F v) { return _mm512_reduce_add_ps(v); }
  static float half_value(const std::uint8_t* p) {
    std::uint16_t h = 0;
    __builtin_memcpy(&h, p, 2);
    return _cvtsh_ss(h);
  }
  static F half(const std::uint8_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static F brain(const std::uint8_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
  static __m512i widened(const std::uint8_t* p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static F bytes(const std::uint8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))); }
  static F unsigned_bytes(const std::uint8_t* p) { return _mm512_cvtepi32_ps(widened(p)); }
  // A permutation looks only at the lowest four bits of each lane: mask and conversion in one.
  static F table() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static F low_nibbles(const std::uint8_t* p) { return _mm512_permutexvar_ps(widened(p), table()); }
  static F high_nibbles(const std::uint8_t* p) { return _mm512_permutexvar_ps(_mm512_srli_epi32(widened(p), 4), table()); }
  static F round(F v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F power(F v) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127)), 23)); }
};

#include "mlxhub/cpu/kernel_loops.h"

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels kKernels = make_kernels("avx512");
  return kKernels;
}

}  // namespace mlxhub::cpu
