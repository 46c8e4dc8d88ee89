// Any processor: the compiler's own vectors of four floats.
#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {
namespace {

struct Simd {
  typedef float F __attribute__((vector_size(16)));
  static constexpr std::size_t W = 4, kInputs = 2, kRows = 4;
  static F zero() { return F{0, 0, 0, 0}; }
  static F one(float v) { return F{v, v, v, v}; }
  static F load(const float* p) {
    F v{};
    __builtin_memcpy(&v, p, 16);
    return v;
  }
  static void store(float* p, F v) { __builtin_memcpy(p, &v, 16); }
  static F add(F a, F b) { return a + b; }
  static F mul(F a, F b) { return a * b; }
  static F divide(F a, F b) { return a / b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static F largest(F a, F b) { return F{a[0] > b[0] ? a[0] : b[0], a[1] > b[1] ? a[1] : b[1], a[2] > b[2] ? a[2] : b[2], a[3] > b[3] ? a[3] : b[3]}; }
  static float sum(F v) { return (v[0] + v[1]) + (v[2] + v[3]); }
  static float half_value(const std::uint8_t* p) {
    std::uint16_t h = 0;
    __builtin_memcpy(&h, p, 2);
    return model::half_to_float(h);
  }
  static F half(const std::uint8_t* p) { return F{half_value(p), half_value(p + 2), half_value(p + 4), half_value(p + 6)}; }
  static F brain(const std::uint8_t* p) {
    F v{};
    for (int i = 0; i < 4; ++i) {
      std::uint16_t b = 0;
      __builtin_memcpy(&b, p + 2 * i, 2);
      v[i] = model::brain_to_float(b);
    }
    return v;
  }
  static F bytes(const std::uint8_t* p) {
    F v{};
    for (int i = 0; i < 4; ++i) v[i] = static_cast<float>(static_cast<std::int8_t>(p[i]));
    return v;
  }
  static F unsigned_bytes(const std::uint8_t* p) { return F{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3])}; }
  static F low_nibbles(const std::uint8_t* p) {
    return F{static_cast<float>(p[0] & 15), static_cast<float>(p[1] & 15), static_cast<float>(p[2] & 15), static_cast<float>(p[3] & 15)};
  }
  static F high_nibbles(const std::uint8_t* p) {
    return F{static_cast<float>(p[0] >> 4), static_cast<float>(p[1] >> 4), static_cast<float>(p[2] >> 4), static_cast<float>(p[3] >> 4)};
  }
  static F round(F v) {
    for (int i = 0; i < 4; ++i) v[i] = static_cast<float>(static_cast<int>(v[i] + (v[i] < 0 ? -0.5F : 0.5F)));
    return v;
  }
  static F power(F v) {
    F out{};
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t bits = static_cast<std::uint32_t>(static_cast<int>(v[i]) + 127) << 23U;
      float f = 0;
      __builtin_memcpy(&f, &bits, 4);
      out[i] = f;
    }
    return out;
  }
};

#include "mlxhub/cpu/kernel_loops.h"

}  // namespace

const Kernels& plain_kernels() {
  static constexpr Kernels kKernels = make_kernels("plain");
  return kKernels;
}

}  // namespace mlxhub::cpu
