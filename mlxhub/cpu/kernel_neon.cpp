// Arm with NEON, which every 64-bit one has.
#include <arm_neon.h>

#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {
namespace {

struct Simd {
  using F = float32x4_t;
  static constexpr std::size_t W = 4, kInputs = 4, kRows = 6;
  static F zero() { return vdupq_n_f32(0); }
  static F one(float v) { return vdupq_n_f32(v); }
  static F load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, F v) { vst1q_f32(p, v); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F divide(F a, F b) { return vdivq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F largest(F a, F b) { return vmaxq_f32(a, b); }
  static float sum(F v) { return vaddvq_f32(v); }
  static float half_value(const std::uint8_t* p) {
    __fp16 h = 0;
    __builtin_memcpy(&h, p, 2);
    return static_cast<float>(h);
  }
  static F half(const std::uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
  static F brain(const std::uint8_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16)); }
  static uint8x8_t four(const std::uint8_t* p) {
    std::uint32_t word = 0;
    __builtin_memcpy(&word, p, 4);
    return vreinterpret_u8_u32(vdup_n_u32(word));
  }
  static F to_floats(uint8x8_t v) { return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(v)))); }
  static F bytes(const std::uint8_t* p) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four(p)))))); }
  static F unsigned_bytes(const std::uint8_t* p) { return to_floats(four(p)); }
  static F low_nibbles(const std::uint8_t* p) { return to_floats(vand_u8(four(p), vdup_n_u8(15))); }
  static F high_nibbles(const std::uint8_t* p) { return to_floats(vshr_n_u8(four(p), 4)); }
  static F round(F v) { return vrndnq_f32(v); }
  static F power(F v) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(v), vdupq_n_s32(127)), 23)); }
};

#include "mlxhub/cpu/kernel_loops.h"

}  // namespace

const Kernels& neon_kernels() {
  static constexpr Kernels kKernels = make_kernels("neon");
  return kKernels;
}

}  // namespace mlxhub::cpu
