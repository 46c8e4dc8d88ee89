// Blocks to floats, by ggml's definitions (ggml-common.h, ggml-quants.c) and MLX's affine groups.
#include "mlxhub/model/matrix.h"

#include <cstring>

namespace mlxhub::model {
namespace {

using Byte = std::uint8_t;

std::uint16_t u16(const Byte* p) {
  std::uint16_t v = 0;
  std::memcpy(&v, p, 2);
  return v;
}
std::uint32_t u32(const Byte* p) {
  std::uint32_t v = 0;
  std::memcpy(&v, p, 4);
  return v;
}
float half(const Byte* p) { return half_to_float(u16(p)); }

constexpr std::int8_t kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr std::int8_t kFp4Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void q4_0(const Byte* b, float* out) {
  const float d = half(b);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>((b[2 + j] & 15) - 8) * d;
    out[16 + j] = static_cast<float>((b[2 + j] >> 4) - 8) * d;
  }
}
void q4_1(const Byte* b, float* out) {
  const float d = half(b), m = half(b + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(b[4 + j] & 15) * d + m;
    out[16 + j] = static_cast<float>(b[4 + j] >> 4) * d + m;
  }
}
void five(const Byte* codes, std::uint32_t high, int (&q)[32]) {
  for (unsigned j = 0; j < 16; ++j) {
    q[j] = (codes[j] & 15) | static_cast<int>((high >> j & 1U) << 4U);
    q[16 + j] = (codes[j] >> 4) | static_cast<int>((high >> (16 + j) & 1U) << 4U);
  }
}
void q5_0(const Byte* b, float* out) {
  const float d = half(b);
  int q[32];
  five(b + 6, u32(b + 2), q);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(q[j] - 16) * d;
}
void q5_1(const Byte* b, float* out) {
  const float d = half(b), m = half(b + 2);
  int q[32];
  five(b + 8, u32(b + 4), q);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(q[j]) * d + m;
}
void q8_0(const Byte* b, float* out) {
  const float d = half(b);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(static_cast<std::int8_t>(b[2 + j])) * d;
}
void q2_k(const Byte* b, float* out) {  // scales[16] qs[64] d dmin
  const float d = half(b + 80), least = half(b + 82);
  const Byte* q = b + 16;
  int group = 0;
  for (int n = 0; n < 256; n += 128, q += 32) {
    for (int shift = 0; shift < 8; shift += 2) {
      for (int part = 0; part < 32; part += 16) {
        const Byte scale = b[group++];
        const float dl = d * static_cast<float>(scale & 15), ml = least * static_cast<float>(scale >> 4);
        for (int l = 0; l < 16; ++l) *out++ = dl * static_cast<float>(q[part + l] >> shift & 3) - ml;
      }
    }
  }
}
void q3_k(const Byte* b, float* out) {  // hmask[32] qs[64] scales[12] d
  const float d = half(b + 108);
  std::int8_t scale[16];
  const Byte* s = b + 96;
  for (int i = 0; i < 16; ++i) {
    const int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    const int high = s[8 + i % 4] >> (2 * (i / 4)) & 3;
    scale[i] = static_cast<std::int8_t>((low | high << 4) - 32);
  }
  const Byte* q = b + 32;
  int group = 0;
  unsigned bit = 0;
  for (int n = 0; n < 256; n += 128, q += 32) {
    for (int shift = 0; shift < 8; shift += 2, ++bit) {
      for (int part = 0; part < 32; part += 16) {
        const float dl = d * static_cast<float>(scale[group++]);
        for (int l = 0; l < 16; ++l) *out++ = dl * static_cast<float>((q[part + l] >> shift & 3) - ((b[part + l] >> bit & 1) != 0 ? 0 : 4));
      }
    }
  }
}
void scale_min(const Byte* s, int j, int& scale, int& least) {  // 6 bits each, of Q4_K and Q5_K
  if (j < 4) {
    scale = s[j] & 63;
    least = s[j + 4] & 63;
  } else {
    scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    least = (s[j + 4] >> 4) | (s[j] >> 6) << 4;
  }
}
void q4_k(const Byte* b, float* out) {  // d dmin scales[12] qs[128]
  const float d = half(b), dm = half(b + 2);
  const Byte* q = b + 16;
  for (int j = 0; j < 8; ++j) {
    int scale = 0, least = 0;
    scale_min(b + 4, j, scale, least);
    const float dl = d * static_cast<float>(scale), ml = dm * static_cast<float>(least);
    for (int l = 0; l < 32; ++l) *out++ = dl * static_cast<float>(j % 2 == 0 ? q[l] & 15 : q[l] >> 4) - ml;
    if (j % 2 == 1) q += 32;
  }
}
void q5_k(const Byte* b, float* out) {  // d dmin scales[12] qh[32] qs[128]
  const float d = half(b), dm = half(b + 2);
  const Byte *high = b + 16, *q = b + 48;
  for (int j = 0; j < 8; ++j) {
    int scale = 0, least = 0;
    scale_min(b + 4, j, scale, least);
    const float dl = d * static_cast<float>(scale), ml = dm * static_cast<float>(least);
    for (int l = 0; l < 32; ++l) *out++ = dl * static_cast<float>((j % 2 == 0 ? q[l] & 15 : q[l] >> 4) + ((high[l] >> j & 1) << 4)) - ml;
    if (j % 2 == 1) q += 32;
  }
}
void q6_k(const Byte* b, float* out) {  // ql[128] qh[64] scales[16] d
  const float d = half(b + 208);
  const Byte *low = b, *high = b + 128;
  const auto* scale = reinterpret_cast<const std::int8_t*>(b + 192);
  for (int n = 0; n < 256; n += 128, low += 64, high += 32, scale += 8) {
    for (int part = 0; part < 4; ++part) {
      for (int l = 0; l < 32; ++l) {
        const Byte four = part % 2 == 0 ? low[l] : low[32 + l];
        const int q = ((part < 2 ? four & 15 : four >> 4) | (high[l] >> (2 * part) & 3) << 4) - 32;
        out[n + 32 * part + l] = d * static_cast<float>(scale[2 * part + l / 16]) * static_cast<float>(q);
      }
    }
  }
}
void iq4_nl(const Byte* b, float* out) {
  const float d = half(b);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(kIq4[b[2 + j] & 15]);
    out[16 + j] = d * static_cast<float>(kIq4[b[2 + j] >> 4]);
  }
}
void iq4_xs(const Byte* b, float* out) {  // d scales_h scales_l[4] qs[128]
  const float d = half(b);
  const unsigned high = u16(b + 2);
  for (unsigned g = 0; g < 8; ++g) {
    const int scale = (b[4 + g / 2] >> (4 * (g % 2)) & 15) | static_cast<int>(high >> (2 * g) & 3U) << 4;
    const float dl = d * static_cast<float>(scale - 32);
    const Byte* q = b + 8 + 16 * g;
    for (unsigned j = 0; j < 16; ++j) {
      out[32 * g + j] = dl * static_cast<float>(kIq4[q[j] & 15]);
      out[32 * g + 16 + j] = dl * static_cast<float>(kIq4[q[j] >> 4]);
    }
  }
}
void mxfp4(const Byte* b, float* out) {  // e qs[16]; the scale is 2^(e-127), here of codes that are doubled
  const std::uint32_t bits = b[0] < 2 ? 0x00200000U << b[0] : static_cast<std::uint32_t>(b[0] - 1) << 23U;
  float d = 0;
  std::memcpy(&d, &bits, 4);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(kFp4Doubled[b[1 + j] & 15]);
    out[16 + j] = d * static_cast<float>(kFp4Doubled[b[1 + j] >> 4]);
  }
}

float scalar(const std::byte* at, Coding coding, std::size_t i) {
  const auto* p = reinterpret_cast<const Byte*>(at);
  if (coding == Coding::f32) {
    float v = 0;
    std::memcpy(&v, p + 4 * i, 4);
    return v;
  }
  return coding == Coding::f16 ? half(p + 2 * i) : brain_to_float(u16(p + 2 * i));
}

void affine(const Matrix& m, std::size_t r, float* out) {
  const auto* words = reinterpret_cast<const Byte*>(m.data + r * m.row_bytes);
  const std::size_t groups = m.columns / m.group;
  const std::uint64_t mask = (std::uint64_t{1} << m.bits) - 1;
  for (std::size_t g = 0; g < groups; ++g) {
    const float scale = scalar(m.scales, m.scale_coding, r * groups + g), bias = scalar(m.biases, m.scale_coding, r * groups + g);
    for (std::size_t i = g * m.group; i < (g + 1) * m.group; ++i) {
      const std::size_t bit = i * m.bits;
      // A code crosses at most one byte's border (bits <= 8); at a row's end there is no byte behind it to read.
      std::uint64_t two = words[bit / 8];
      if (bit % 8 + m.bits > 8) two |= static_cast<std::uint64_t>(words[bit / 8 + 1]) << 8U;
      out[i] = static_cast<float>(two >> (bit % 8) & mask) * scale + bias;
    }
  }
}

struct Blocks {
  void (*decode)(const Byte*, float*);
  std::size_t bytes, weights;
};
Blocks blocks_of(Coding coding) {
  switch (coding) {
    case Coding::q4_0: return {q4_0, 18, 32};
    case Coding::q4_1: return {q4_1, 20, 32};
    case Coding::q5_0: return {q5_0, 22, 32};
    case Coding::q5_1: return {q5_1, 24, 32};
    case Coding::q8_0: return {q8_0, 34, 32};
    case Coding::q2_k: return {q2_k, 84, 256};
    case Coding::q3_k: return {q3_k, 110, 256};
    case Coding::q4_k: return {q4_k, 144, 256};
    case Coding::q5_k: return {q5_k, 176, 256};
    case Coding::q6_k: return {q6_k, 210, 256};
    case Coding::iq4_nl: return {iq4_nl, 18, 32};
    case Coding::iq4_xs: return {iq4_xs, 136, 256};
    case Coding::mxfp4: return {mxfp4, 17, 32};
    default: return {};
  }
}

}  // namespace

float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16U;
  const std::uint32_t exponent = h >> 10U & 31U, fraction = h & 1023U;
  std::uint32_t bits = 0;
  if (exponent == 31) {
    bits = 0x7F800000U | fraction << 13U;
  } else if (exponent != 0) {
    bits = (exponent + 112) << 23U | fraction << 13U;
  } else {  // below the normal ones: fraction * 2^-24, which a float has as a normal number
    const float value = static_cast<float>(fraction) * 0x1p-24F;
    std::memcpy(&bits, &value, 4);
  }
  bits |= sign;
  float value = 0;
  std::memcpy(&value, &bits, 4);
  return value;
}

Matrix Matrix::slice(std::size_t first, std::size_t count) const {
  Matrix part = *this;
  part.rows = count;
  part.data = data + first * row_bytes;
  if (coding == Coding::affine) {
    const std::size_t before = first * (columns / group) * (scale_coding == Coding::f32 ? 4 : 2);
    part.scales = scales + before;
    part.biases = biases + before;
  }
  return part;
}

void row_to_floats(const Matrix& m, std::size_t r, float* out) {
  const std::byte* const row = m.data + r * m.row_bytes;
  if (m.coding == Coding::affine) return affine(m, r, out);
  if (m.coding == Coding::f32) {
    std::memcpy(out, row, m.columns * 4);
    return;
  }
  if (m.coding == Coding::f16 || m.coding == Coding::bf16) {
    for (std::size_t i = 0; i < m.columns; ++i) out[i] = scalar(row, m.coding, i);
    return;
  }
  const Blocks blocks = blocks_of(m.coding);
  const auto* at = reinterpret_cast<const Byte*>(row);
  for (std::size_t i = 0; i < m.columns; i += blocks.weights, at += blocks.bytes) blocks.decode(at, out + i);
}

}  // namespace mlxhub::model
