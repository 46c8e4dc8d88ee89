// Included inside an anonymous namespace of each kernel file, after its `struct Simd`, which has:
//   F, W                         a vector of floats and how many it holds (a divisor of 16)
//   zero one load store          of floats
//   add mul divide fma largest   a + b, a * b, a / b, a * b + c, the larger
//   sum                          of all lanes
//   half(p) half_value(p)        W f16s, one
//   brain(p)                     W bf16s
//   bytes(p) unsigned_bytes(p)   W bytes
//   low_nibbles(p) high_nibbles(p)  of W bytes: 0 … 15
//   round(F) power(F)            to the nearest whole number; 2^n of whole n from -126 to 127
//   kInputs, kRows               rows of x and of w that gemm keeps in registers
// No library function with code of its own is used here: it would be compiled for this instruction set and might be kept for all.

using model::Coding;
using model::Matrix;
using F = Simd::F;
constexpr std::size_t W = Simd::W;
constexpr std::size_t kBlock = 32, kVectors = kBlock / W;

inline const std::uint8_t* bytes_of(const std::byte* p) { return reinterpret_cast<const std::uint8_t*>(p); }

// ---- one row of x -----------------------------------------------------------------------------------------------------

/// Codes of 32 weights, in the order of their input, and where scale and offset are.
struct Q40 {
  static constexpr std::size_t kBytes = 18;
  static constexpr bool kOffset = true;
  static void codes(const std::uint8_t* b, F* out) {
    for (std::size_t v = 0; v < kVectors / 2; ++v) {
      out[v] = Simd::low_nibbles(b + 2 + v * W);
      out[kVectors / 2 + v] = Simd::high_nibbles(b + 2 + v * W);
    }
  }
  static void scale(const std::uint8_t* b, float& d, float& m) {
    d = Simd::half_value(b);
    m = -8 * d;
  }
};
struct Q41 {
  static constexpr std::size_t kBytes = 20;
  static constexpr bool kOffset = true;
  static void codes(const std::uint8_t* b, F* out) { Q40::codes(b + 2, out); }
  static void scale(const std::uint8_t* b, float& d, float& m) {
    d = Simd::half_value(b);
    m = Simd::half_value(b + 2);
  }
};
struct Q80 {
  static constexpr std::size_t kBytes = 34;
  static constexpr bool kOffset = false;
  static void codes(const std::uint8_t* b, F* out) {
    for (std::size_t v = 0; v < kVectors; ++v) out[v] = Simd::bytes(b + 2 + v * W);
  }
  static void scale(const std::uint8_t* b, float& d, float& m) {
    d = Simd::half_value(b);
    m = 0;
  }
};

template <class Q, std::size_t R>
inline void block_rows(const std::uint8_t* row, std::size_t row_bytes, std::size_t blocks, const Input& in, float* y) {
  F sum[R];
  float offset[R];
  for (std::size_t r = 0; r < R; ++r) sum[r] = Simd::zero(), offset[r] = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    F x[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) x[v] = Simd::load(in.x + b * kBlock + v * W);
    for (std::size_t r = 0; r < R; ++r) {
      const std::uint8_t* const at = row + r * row_bytes + b * Q::kBytes;
      __builtin_prefetch(at + 1024);
      F code[kVectors];
      Q::codes(at, code);
      F dot = Simd::mul(code[0], x[0]);
      for (std::size_t v = 1; v < kVectors; ++v) dot = Simd::fma(code[v], x[v], dot);
      float d = 0, m = 0;
      Q::scale(at, d, m);
      sum[r] = Simd::fma(dot, Simd::one(d), sum[r]);
      if constexpr (Q::kOffset) offset[r] += m * in.sums[4 * b + 1];
    }
  }
  for (std::size_t r = 0; r < R; ++r) y[r] = Simd::sum(sum[r]) + offset[r];
}

template <class Q>
void block_matvec(const Matrix& w, const Input& in, std::size_t first, std::size_t count, float* y) {
  constexpr std::size_t kAtOnce = 4;
  const std::uint8_t* row = bytes_of(w.data) + first * w.row_bytes;
  const std::size_t blocks = w.columns / kBlock;
  std::size_t i = 0;
  for (; i + kAtOnce <= count; i += kAtOnce, row += kAtOnce * w.row_bytes) block_rows<Q, kAtOnce>(row, w.row_bytes, blocks, in, y + i);
  for (; i < count; ++i, row += w.row_bytes) block_rows<Q, 1>(row, w.row_bytes, blocks, in, y + i);
}

/// Q4_K: eight groups of 32 share a scale of scales.
inline void scale_min(const std::uint8_t* s, std::size_t j, float& scale, float& least) {
  if (j < 4) {
    scale = static_cast<float>(s[j] & 63);
    least = static_cast<float>(s[j + 4] & 63);
  } else {
    scale = static_cast<float>((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
    least = static_cast<float>((s[j + 4] >> 4) | (s[j] >> 6) << 4);
  }
}
template <std::size_t R>
inline void q4k_rows(const std::uint8_t* row, std::size_t row_bytes, std::size_t blocks, const Input& in, float* y) {
  F sum[R];
  float offset[R];
  for (std::size_t r = 0; r < R; ++r) sum[r] = Simd::zero(), offset[r] = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t r = 0; r < R; ++r) {
      const std::uint8_t* const at = row + r * row_bytes + b * 144;
      const float d = Simd::half_value(at), dm = Simd::half_value(at + 2);
      for (std::size_t j = 0; j < 8; ++j) {
        const std::uint8_t* const q = at + 16 + 32 * (j / 2);
        const float* const x = in.x + b * 256 + j * 32;
        F dot = Simd::zero();
        for (std::size_t v = 0; v < kVectors; ++v) {
          dot = Simd::fma(j % 2 == 0 ? Simd::low_nibbles(q + v * W) : Simd::high_nibbles(q + v * W), Simd::load(x + v * W), dot);
        }
        float scale = 0, least = 0;
        scale_min(at + 4, j, scale, least);
        sum[r] = Simd::fma(dot, Simd::one(d * scale), sum[r]);
        offset[r] -= dm * least * in.sums[4 * (b * 8 + j) + 1];
      }
    }
  }
  for (std::size_t r = 0; r < R; ++r) y[r] = Simd::sum(sum[r]) + offset[r];
}
void q4k_matvec(const Matrix& w, const Input& in, std::size_t first, std::size_t count, float* y) {
  const std::uint8_t* row = bytes_of(w.data) + first * w.row_bytes;
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2, row += 2 * w.row_bytes) q4k_rows<2>(row, w.row_bytes, w.columns / 256, in, y + i);
  for (; i < count; ++i, row += w.row_bytes) q4k_rows<1>(row, w.row_bytes, w.columns / 256, in, y + i);
}

inline float scalar_at(const std::byte* at, Coding coding, std::size_t i) {
  const std::uint8_t* const p = bytes_of(at);
  if (coding == Coding::f32) {
    float v = 0;
    __builtin_memcpy(&v, p + 4 * i, 4);
    return v;
  }
  if (coding == Coding::f16) return Simd::half_value(p + 2 * i);
  std::uint16_t b = 0;
  __builtin_memcpy(&b, p + 2 * i, 2);
  const std::uint32_t bits = static_cast<std::uint32_t>(b) << 16U;
  float v = 0;
  __builtin_memcpy(&v, &bits, 4);
  return v;
}

/// MLX's groups, of 4 or 8 bits.
template <unsigned kBits>
void affine_matvec(const Matrix& w, const Input& in, std::size_t first, std::size_t count, float* y) {
  const std::size_t blocks = w.columns / kBlock, a_group = w.group / kBlock, groups = w.columns / w.group;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = bytes_of(w.data) + (first + i) * w.row_bytes;
    F sum = Simd::zero();
    float offset = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      F dot = Simd::zero();
      float inputs = 0;
      for (std::size_t b = g * a_group; b < (g + 1) * a_group && b < blocks; ++b, at += 4 * kBits) {
        inputs += in.sums[4 * b + 1];
        if constexpr (kBits == 4) {
          const float* const x = in.interleaved + b * kBlock;
          for (std::size_t v = 0; v < kVectors / 2; ++v) {
            dot = Simd::fma(Simd::low_nibbles(at + v * W), Simd::load(x + v * W), dot);
            dot = Simd::fma(Simd::high_nibbles(at + v * W), Simd::load(x + kBlock / 2 + v * W), dot);
          }
        } else {
          for (std::size_t v = 0; v < kVectors; ++v) dot = Simd::fma(Simd::unsigned_bytes(at + v * W), Simd::load(in.x + b * kBlock + v * W), dot);
        }
      }
      const std::size_t place = (first + i) * groups + g;
      sum = Simd::fma(dot, Simd::one(scalar_at(w.scales, w.scale_coding, place)), sum);
      offset += scalar_at(w.biases, w.scale_coding, place) * inputs;
    }
    y[i] = Simd::sum(sum) + offset;
  }
}

inline F float_codes(const std::uint8_t* row, Coding coding, std::size_t i) {
  if (coding == Coding::f16) return Simd::half(row + 2 * i);
  if (coding == Coding::bf16) return Simd::brain(row + 2 * i);
  return Simd::load(reinterpret_cast<const float*>(row + 4 * i));
}
template <Coding kCoding>
void float_matvec(const Matrix& w, const Input& in, std::size_t first, std::size_t count, float* y) {
  const std::size_t whole = w.columns / (2 * W) * (2 * W);
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* const start = w.data + (first + i) * w.row_bytes;
    const std::uint8_t* const row = bytes_of(start);
    F a = Simd::zero(), b = Simd::zero();
    for (std::size_t c = 0; c < whole; c += 2 * W) {
      a = Simd::fma(float_codes(row, kCoding, c), Simd::load(in.x + c), a);
      b = Simd::fma(float_codes(row, kCoding, c + W), Simd::load(in.x + c + W), b);
    }
    float sum = Simd::sum(Simd::add(a, b));
    for (std::size_t c = whole; c < w.columns; ++c) sum += scalar_at(start, kCoding, c) * in.x[c];
    y[i] = sum;
  }
}

// ---- floats -----------------------------------------------------------------------------------------------------------

template <class Q>
void block_to_floats(const Matrix& w, std::size_t r, float* out) {
  const std::uint8_t* at = bytes_of(w.data) + r * w.row_bytes;
  for (std::size_t c = 0; c < w.columns; c += kBlock, at += Q::kBytes) {
    F code[kVectors];
    Q::codes(at, code);
    float d = 0, m = 0;
    Q::scale(at, d, m);
    for (std::size_t v = 0; v < kVectors; ++v) Simd::store(out + c + v * W, Simd::fma(code[v], Simd::one(d), Simd::one(m)));
  }
}
void to_floats(const Matrix& w, std::size_t r, float* out) {
  switch (w.coding) {
    case Coding::q4_0: return block_to_floats<Q40>(w, r, out);
    case Coding::q4_1: return block_to_floats<Q41>(w, r, out);
    case Coding::q8_0: return block_to_floats<Q80>(w, r, out);
    case Coding::f16:
    case Coding::bf16: {
      const std::uint8_t* const row = bytes_of(w.data) + r * w.row_bytes;
      std::size_t c = 0;
      for (; c + W <= w.columns; c += W) Simd::store(out + c, float_codes(row, w.coding, c));
      for (; c < w.columns; ++c) out[c] = scalar_at(w.data + r * w.row_bytes, w.coding, c);
      return;
    }
    default: return model::row_to_floats(w, r, out);
  }
}

/// Any coding: each row as floats first.
void general_matvec(const Matrix& w, const Input& in, std::size_t first, std::size_t count, float* y) {
  static thread_local float room[model::kMostColumns];
  for (std::size_t i = 0; i < count; ++i) {
    model::row_to_floats(w, first + i, room);
    F sum = Simd::zero();
    std::size_t k = 0;
    for (; k + W <= w.columns; k += W) sum = Simd::fma(Simd::load(room + k), Simd::load(in.x + k), sum);
    y[i] = Simd::sum(sum);
    for (; k < w.columns; ++k) y[i] += room[k] * in.x[k];
  }
}

void matvec(const Matrix& w, const Input& in, std::size_t first, std::size_t count, float* y) {
  switch (w.coding) {
    case Coding::q4_0: return block_matvec<Q40>(w, in, first, count, y);
    case Coding::q4_1: return block_matvec<Q41>(w, in, first, count, y);
    case Coding::q8_0: return block_matvec<Q80>(w, in, first, count, y);
    case Coding::q4_k: return q4k_matvec(w, in, first, count, y);
    case Coding::f32: return float_matvec<Coding::f32>(w, in, first, count, y);
    case Coding::f16: return float_matvec<Coding::f16>(w, in, first, count, y);
    case Coding::bf16: return float_matvec<Coding::bf16>(w, in, first, count, y);
    case Coding::affine:
      if (w.bits == 4 && w.group % kBlock == 0) return affine_matvec<4>(w, in, first, count, y);
      if (w.bits == 8 && w.group % kBlock == 0) return affine_matvec<8>(w, in, first, count, y);
      return general_matvec(w, in, first, count, y);
    default: return general_matvec(w, in, first, count, y);
  }
}

template <std::size_t M>
inline void gemm_rows(const float* x, std::size_t x_stride, const float* w, std::size_t w_stride, std::size_t n, std::size_t k, float* y, std::size_t y_stride) {
  constexpr std::size_t N = Simd::kRows;
  F sum[M][N];
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t j = 0; j < N; ++j) sum[i][j] = Simd::zero();
  }
  for (std::size_t c = 0; c < k; c += W) {
    F in[M];
    for (std::size_t i = 0; i < M; ++i) in[i] = Simd::load(x + i * x_stride + c);
    for (std::size_t j = 0; j < N; ++j) {
      const F row = Simd::load(w + j * w_stride + c);
      for (std::size_t i = 0; i < M; ++i) sum[i][j] = Simd::fma(in[i], row, sum[i][j]);
    }
  }
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t j = 0; j < N; ++j) {
      if (j < n) y[i * y_stride + j] = Simd::sum(sum[i][j]);
    }
  }
}
void gemm(const float* x, std::size_t x_stride, std::size_t m, const float* w, std::size_t w_stride, std::size_t n, std::size_t k, float* y, std::size_t y_stride) {
  std::size_t i = 0;
  for (; i + Simd::kInputs <= m; i += Simd::kInputs) gemm_rows<Simd::kInputs>(x + i * x_stride, x_stride, w, w_stride, n, k, y + i * y_stride, y_stride);
  for (; i < m; ++i) gemm_rows<1>(x + i * x_stride, x_stride, w, w_stride, n, k, y + i * y_stride, y_stride);
}

void norm(const float* x, const float* weight, float* out, std::size_t n, float epsilon) {
  F sum = Simd::zero();
  std::size_t i = 0;
  for (; i + W <= n; i += W) {
    const F v = Simd::load(x + i);
    sum = Simd::fma(v, v, sum);
  }
  float total = Simd::sum(sum);
  for (; i < n; ++i) total += x[i] * x[i];
  const float by = 1 / __builtin_sqrtf(total / static_cast<float>(n) + epsilon);
  for (i = 0; i + W <= n; i += W) Simd::store(out + i, Simd::mul(Simd::mul(Simd::load(x + i), Simd::one(by)), Simd::load(weight + i)));
  for (; i < n; ++i) out[i] = x[i] * by * weight[i];
}

/// e^x to about one unit in the last place, for x from -87 to 88; below, the least of them.
inline F exponential(F x) {
  x = Simd::largest(x, Simd::one(-87.0F));
  const F n = Simd::round(Simd::mul(x, Simd::one(1.44269504F)));
  F r = Simd::fma(n, Simd::one(-0.693145752F), x);  // ln 2 in two parts
  r = Simd::fma(n, Simd::one(-1.42860677e-6F), r);
  F p = Simd::one(1.98756916e-4F);  // Cephes' expf
  p = Simd::fma(p, r, Simd::one(1.39819995e-3F));
  p = Simd::fma(p, r, Simd::one(8.33345205e-3F));
  p = Simd::fma(p, r, Simd::one(4.16657962e-2F));
  p = Simd::fma(p, r, Simd::one(1.66666657e-1F));
  p = Simd::fma(p, r, Simd::one(5.00000012e-1F));
  p = Simd::fma(Simd::mul(r, r), p, Simd::add(r, Simd::one(1.0F)));
  return Simd::mul(p, Simd::power(n));
}

void gate(float* a, const float* b, std::size_t n) {
  std::size_t i = 0;
  for (; i < n; i += W) {
    float left[W] = {}, right[W] = {};
    const bool whole = i + W <= n;
    if (!whole) {
      for (std::size_t k = i; k < n; ++k) left[k - i] = a[k], right[k - i] = b[k];
    }
    const F x = Simd::load(whole ? a + i : left);
    // -x above 87 would overflow: silu is then x * e^-87, which is as good as nothing.
    const F minus = Simd::largest(Simd::mul(x, Simd::one(-1.0F)), Simd::one(-87.0F));
    const F capped = Simd::mul(Simd::largest(Simd::mul(minus, Simd::one(-1.0F)), Simd::one(-87.0F)), Simd::one(-1.0F));
    const F out = Simd::mul(Simd::divide(x, Simd::add(Simd::one(1.0F), exponential(capped))), Simd::load(whole ? b + i : right));
    Simd::store(whole ? a + i : left, out);
    if (!whole) {
      for (std::size_t k = i; k < n; ++k) a[k] = left[k - i];
    }
  }
}

void add(float* x, const float* y, float scale, std::size_t n) {
  std::size_t i = 0;
  for (; i + W <= n; i += W) Simd::store(x + i, Simd::fma(Simd::load(y + i), Simd::one(scale), Simd::load(x + i)));
  for (; i < n; ++i) x[i] += y[i] * scale;
}

/// head_size in V vectors, known when compiled; 0: any.
template <std::size_t V>
void attend_of(const Attention& a) {
  const std::size_t size = V == 0 ? a.head_size : V * W;
  float most = -3.4e38F;
  for (std::size_t p = 0; p < a.positions; ++p) {
    const float* const key = a.keys + p * size;
    F sum = Simd::zero();
    std::size_t i = 0;
    for (; i + W <= size; i += W) sum = Simd::fma(Simd::load(a.query + i), Simd::load(key + i), sum);
    float score = Simd::sum(sum);
    for (; i < size; ++i) score += a.query[i] * key[i];
    score *= a.scale;
    a.scores[p] = score;
    if (score > most) most = score;
  }
  std::size_t padded = (a.positions + W - 1) / W * W;
  for (std::size_t p = a.positions; p < padded; ++p) a.scores[p] = -3.4e38F;
  F sum = Simd::zero();
  for (std::size_t p = 0; p < padded; p += W) {
    F e = exponential(Simd::add(Simd::load(a.scores + p), Simd::one(-most)));
    Simd::store(a.scores + p, e);
    if (p + W > a.positions) {
      for (std::size_t k = a.positions; k < padded; ++k) a.scores[k] = 0;
      e = Simd::load(a.scores + p);
    }
    sum = Simd::add(sum, e);
  }
  const float by = 1 / Simd::sum(sum);
  if constexpr (V != 0) {
    F out[V];
    for (std::size_t v = 0; v < V; ++v) out[v] = Simd::zero();
    for (std::size_t p = 0; p < a.positions; ++p) {
      const F weight = Simd::one(a.scores[p]);
      const float* const value = a.values + p * size;
      for (std::size_t v = 0; v < V; ++v) out[v] = Simd::fma(weight, Simd::load(value + v * W), out[v]);
    }
    for (std::size_t v = 0; v < V; ++v) Simd::store(a.out + v * W, Simd::mul(out[v], Simd::one(by)));
  } else {
    for (std::size_t i = 0; i < size; ++i) a.out[i] = 0;
    for (std::size_t p = 0; p < a.positions; ++p) {
      const float* const value = a.values + p * size;
      for (std::size_t i = 0; i < size; ++i) a.out[i] += a.scores[p] * value[i];
    }
    for (std::size_t i = 0; i < size; ++i) a.out[i] *= by;
  }
}
void attend(const Attention& a) {
  if (a.head_size == 64) return attend_of<64 / W>(a);
  if (a.head_size == 128) return attend_of<128 / W>(a);
  attend_of<0>(a);
}

constexpr Kernels make_kernels(std::string_view name) {
  return {.name = name, .tile_rows = Simd::kRows, .matvec = matvec, .to_floats = to_floats, .gemm = gemm, .norm = norm, .gate = gate, .add = add, .attend = attend};
}
