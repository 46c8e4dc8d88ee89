// x86 with AVX2, FMA and F16C.
#include <immintrin.h>

#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {
namespace {

struct Simd {
  using F = __m256;
  static constexpr std::size_t W = 8, kInputs = 3, kRows = 4;
  static F zero() { return _mm256_setzero_ps(); }
  static F one(float v) { return _mm256_set1_ps(v); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F divide(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F largest(F a, F b) { return _mm256_max_ps(a, b); }
  static float sum(F v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float half_value(const std::uint8_t* p) {
    std::uint16_t h = 0;
    __builtin_memcpy(&h, p, 2);
    return _cvtsh_ss(h);
  }
  static F half(const std::uint8_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static F brain(const std::uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
  static __m256i widened(const std::uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
  static F bytes(const std::uint8_t* p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))); }
  static F unsigned_bytes(const std::uint8_t* p) { return _mm256_cvtepi32_ps(widened(p)); }
  static F low_nibbles(const std::uint8_t* p) { return _mm256_cvtepi32_ps(_mm256_and_si256(widened(p), _mm256_set1_epi32(15))); }
  static F high_nibbles(const std::uint8_t* p) { return _mm256_cvtepi32_ps(_mm256_srli_epi32(widened(p), 4)); }
  static F round(F v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F power(F v) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127)), 23)); }
};

#include "mlxhub/cpu/kernel_loops.h"

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels kKernels = make_kernels("avx2");
  return kKernels;
}

}  // namespace mlxhub::cpu
