// Included by every kernel_<set>.cpp inside an unnamed namespace, and compiled for that set's instructions. Nothing of the standard library
// may be used here or there: an inline function compiled for AVX-512 could be linked into code that runs everywhere.

inline std::uint32_t load16(const std::uint8_t* p) {
  std::uint16_t v;
  __builtin_memcpy(&v, p, 2);
  return v;
}
inline std::uint32_t load32(const std::uint8_t* p) {
  std::uint32_t v;
  __builtin_memcpy(&v, p, 4);
  return v;
}

// ---- rANS, one lane at a time ------------------------------------------------------------------------------------------

inline void refill(DecodeState& s, std::uint32_t& x) {
  if (x >= kLeastState) return;
  if (s.end - s.at < 2) {
    s.bad = true;
    return;
  }
  x = x << 16 | load16(s.at);
  s.at += 2;
}

inline std::uint32_t take(DecodeState& s, std::uint32_t& x, unsigned bits) {
  const std::uint32_t v = x & ((1U << bits) - 1);
  x >>= bits;
  refill(s, x);
  return v;
}

void decode_some(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::uint8_t* symbols) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t& x = s.lane[i % kLanes];
    const DecodeEntry e = tables[(context != nullptr ? context[i] : 0U) * kTableSize + (x & (kTableSize - 1))];
    x = (e >> 8 & 0xFFFU) * (x >> kTableBits) + (e >> 20);
    refill(s, x);
    symbols[i] = static_cast<std::uint8_t>(e);
  }
}

inline std::int32_t number_of(unsigned symbol, unsigned bits, std::uint32_t extra) {
  const std::uint32_t size = symbol < 16 ? symbol : (8U | (symbol & 7U)) << (bits - 1) | extra >> 1;
  return static_cast<std::int32_t>((extra & 1U) != 0 ? 0U - size : size);
}

// In the order of a 16-lane vector: sixteen symbols with up to kFusedBits bits each, then what is left of their bits kStepBits at a time.
void decode_numbers_some(DecodeState& s, const DecodeEntry* tables, const std::uint8_t* context, std::size_t n, std::int32_t* numbers) {
  for (std::size_t i = 0; i < n; i += 16) {
    const unsigned many = n - i < 16 ? static_cast<unsigned>(n - i) : 16U;
    std::uint32_t* lane = s.lane + i % kLanes;
    unsigned symbol[16], left[16];
    std::uint32_t extra[16];
    unsigned most = 0;
    for (unsigned k = 0; k < many; ++k) {
      std::uint32_t& x = lane[k];
      const DecodeEntry e = tables[(context != nullptr ? context[i + k] : 0U) * kTableSize + (x & (kTableSize - 1))];
      x = (e >> 8 & 0xFFFU) * (x >> kTableBits) + (e >> 20);
      symbol[k] = e & 0xFFU;
      const unsigned bits = extra_bits(symbol[k]), now = bits < kFusedBits ? bits : kFusedBits;
      extra[k] = take(s, x, now);
      left[k] = bits - now;
      if (left[k] > most) most = left[k];
    }
    unsigned done = kFusedBits;
    for (; most > 0; most = most > kStepBits ? most - kStepBits : 0, done += kStepBits) {
      for (unsigned k = 0; k < many; ++k) {
        const unsigned now = left[k] < kStepBits ? left[k] : kStepBits;
        const std::uint32_t v = take(s, lane[k], now);
        if (now > 0) extra[k] |= v << done;
        left[k] -= now;
      }
    }
    for (unsigned k = 0; k < many; ++k) numbers[i + k] = number_of(symbol[k], extra_bits(symbol[k]), extra[k]);
  }
}

// `at` is a variable of the caller's: what is written through it could otherwise be the state itself, for all that a compiler knows.
inline void flush(std::uint8_t*& at, std::uint32_t& x, bool full) {
  const auto word = static_cast<std::uint16_t>(x);
  __builtin_memcpy(at - 2, &word, 2);
  const unsigned words = full ? 1 : 0;  // arithmetic: a jump here is a coin toss
  at -= 2 * words;
  x >>= 16 * words;
}

inline std::uint32_t push(const EncodeEntry& e, std::uint32_t x) {
  const auto q = static_cast<std::uint32_t>(static_cast<std::uint64_t>(x) * e.reciprocal >> 32) >> e.shift;
  return x + e.bias + q * e.complement;
}

template <bool kContext>
std::uint8_t* encode_from(std::uint8_t* at, std::uint32_t* __restrict lanes, const EncodeEntry* __restrict tables, const std::uint8_t* __restrict context, std::size_t n,
                          const std::uint8_t* __restrict symbols) {
  const auto one = [&](std::size_t i, std::uint32_t& lane) {
    const EncodeEntry& e = tables[(kContext ? context[i] * 256U : 0U) + symbols[i]];
    std::uint32_t x = lane;
    flush(at, x, x >> (31 - kTableBits) >= e.frequency);
    lane = push(e, x);
  };
  while (n % kLanes != 0) {
    --n;
    one(n, lanes[n % kLanes]);
  }
  for (; n > 0; n -= kLanes) {
    for (unsigned k = kLanes; k-- > 0;) one(n - kLanes + k, lanes[k]);
  }
  return at;
}
void encode_all(EncodeState& s, const EncodeView& tables, const std::uint8_t* context, std::size_t n, const std::uint8_t* symbols) {
  s.at = context != nullptr ? encode_from<true>(s.at, s.lane, tables.entries, context, n, symbols) : encode_from<false>(s.at, s.lane, tables.entries, context, n, symbols);
}

void encode_numbers_all(EncodeState& s, const EncodeView& view, const std::uint8_t* __restrict context, std::size_t n,
                        const std::uint8_t* __restrict symbols, const std::uint32_t* __restrict extra) {
  const EncodeEntry* __restrict tables = view.entries;
  std::uint8_t* at = s.at;
  for (std::size_t group = (n + 15) / 16; group-- > 0;) {
    const std::size_t first = group * 16;
    const unsigned many = n - first < 16 ? static_cast<unsigned>(n - first) : 16U;
    std::uint32_t* __restrict lane = s.lane + first % kLanes;
    unsigned most = 0;
    for (unsigned k = 0; k < many; ++k) most = symbols[first + k] > most ? symbols[first + k] : most;
    most = extra_bits(most);  // grows with the symbol
    for (unsigned done = most > kFusedBits + kStepBits ? kFusedBits + kStepBits : kFusedBits; most > kFusedBits; done -= kStepBits) {
      for (unsigned k = many; k-- > 0;) {
        const unsigned bits = extra_bits(symbols[first + k]);
        const unsigned now = bits <= done ? 0 : (bits - done < kStepBits ? bits - done : kStepBits);
        std::uint32_t x = lane[k];
        flush(at, x, x >> (31 - now) != 0);
        lane[k] = x << now | (extra[first + k] >> done & ((1U << now) - 1));
      }
      if (done == kFusedBits) break;
    }
    for (unsigned k = many; k-- > 0;) {
      const unsigned symbol = symbols[first + k], bits = extra_bits(symbol), now = bits < kFusedBits ? bits : kFusedBits;
      const EncodeEntry& e = tables[(context != nullptr ? context[first + k] * 256U : 0U) + symbol];
      std::uint32_t x = lane[k];
      flush(at, x, x >> (31 - kTableBits - now) >= e.frequency);
      x = x << now | (extra[first + k] & ((1U << now) - 1));
      lane[k] = push(e, x);
    }
  }
  s.at = at;
}

// ---- floats -------------------------------------------------------------------------------------------------------------

template <std::size_t kStride, bool kScaled>
void split_bf16_of(const std::uint8_t* __restrict in, const std::uint8_t* __restrict scale, int base, std::size_t n, std::uint8_t* __restrict symbols,
                   std::uint8_t* __restrict rest) {
  const auto offset = static_cast<std::int16_t>(32 - base);
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t u;
    __builtin_memcpy(&u, in + i * kStride, 2);
    const auto e = static_cast<std::int16_t>(u >> 7 & 0xFF);
    const auto shift = static_cast<std::int16_t>(kScaled ? scale[i] >> 1 : 0);
    const auto moved = static_cast<std::int16_t>(e + offset - shift);
    const auto group = static_cast<std::int16_t>(e == 0 ? 63 : (moved > 0 && moved < 63 ? moved : 0));
    symbols[i] = static_cast<std::uint8_t>(group << 2 | (u >> 5 & 3));
    rest[i] = static_cast<std::uint8_t>((u >> 15) << 5 | (u & 31));
  }
}
void split_bf16(const std::uint8_t* in, std::size_t stride, const std::uint8_t* scale, int base, std::size_t n, std::uint8_t* symbols, std::uint8_t* rest) {
  if (stride == 2) {
    scale != nullptr ? split_bf16_of<2, true>(in, scale, base, n, symbols, rest) : split_bf16_of<2, false>(in, scale, base, n, symbols, rest);
  } else {
    scale != nullptr ? split_bf16_of<4, true>(in, scale, base, n, symbols, rest) : split_bf16_of<4, false>(in, scale, base, n, symbols, rest);
  }
}

template <bool kScaled>
void merge_bf16_of(const std::uint8_t* __restrict symbols, const std::uint8_t* __restrict rest, const std::uint8_t* __restrict scale, int base, std::size_t n,
                   std::uint16_t* __restrict out) {
  const auto offset = static_cast<std::uint16_t>(base - 32);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t symbol = symbols[i], r = rest[i];
    const auto shift = static_cast<std::uint16_t>(kScaled ? scale[i] >> 1 : 0);
    const auto group = static_cast<std::uint16_t>(symbol >> 2);
    const auto e = static_cast<std::uint16_t>(group == 63 ? 0 : (group + offset + shift) & 0xFF);
    out[i] = static_cast<std::uint16_t>((r & 32) << 10 | e << 7 | (symbol & 3) << 5 | (r & 31));
  }
}
void merge_bf16(const std::uint8_t* symbols, const std::uint8_t* rest, const std::uint8_t* scale, int base, std::size_t n, std::uint16_t* out) {
  scale != nullptr ? merge_bf16_of<true>(symbols, rest, scale, base, n, out) : merge_bf16_of<false>(symbols, rest, scale, base, n, out);
}

// Exponents 1 to 30 turn in a circle; 0 (zeros, denormals) and 31 (infinities, NaN) stay.
template <bool kScaled>
inline std::int16_t f16_shift(const std::uint8_t* scale, std::size_t i, std::int16_t base) {
  const auto shift = static_cast<std::int16_t>(base + (kScaled ? scale[i] >> 1 : 0));
  return static_cast<std::int16_t>(shift > 29 ? 29 : shift);
}
template <bool kScaled>
void split_f16_of(const std::uint8_t* __restrict in, const std::uint8_t* __restrict scale, std::int16_t base, std::size_t n, std::uint8_t* __restrict symbols,
                  std::uint8_t* __restrict rest) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t u;
    __builtin_memcpy(&u, in + i * 2, 2);
    const auto e = static_cast<std::int16_t>(u >> 10 & 31);
    const auto back = static_cast<std::int16_t>(e - f16_shift<kScaled>(scale, i, base));
    const auto turned = static_cast<std::int16_t>(back + (back >> 15 & 30));
    const auto moved = static_cast<std::int16_t>(turned + (turned == 0 ? 30 : 0));
    const auto group = static_cast<std::int16_t>(e == 0 ? 0 : (e == 31 ? 31 : moved));
    symbols[i] = static_cast<std::uint8_t>(group << 3 | (u >> 7 & 7));
    rest[i] = static_cast<std::uint8_t>((u >> 15) << 7 | (u & 127));
  }
}
void split_f16(const std::uint8_t* in, const std::uint8_t* scale, int base, std::size_t n, std::uint8_t* symbols, std::uint8_t* rest) {
  const auto from = static_cast<std::int16_t>(base);
  scale != nullptr ? split_f16_of<true>(in, scale, from, n, symbols, rest) : split_f16_of<false>(in, scale, from, n, symbols, rest);
}
template <bool kScaled>
void merge_f16_of(const std::uint8_t* __restrict symbols, const std::uint8_t* __restrict rest, const std::uint8_t* __restrict scale, std::int16_t base, std::size_t n,
                  std::uint16_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) {
    const auto group = static_cast<std::int16_t>(symbols[i] >> 3);
    const auto forth = static_cast<std::int16_t>(group + f16_shift<kScaled>(scale, i, base));
    const auto turned = static_cast<std::int16_t>(forth - (forth > 30 ? 30 : 0));
    const auto e = static_cast<std::int16_t>(group == 0 ? 0 : (group == 31 ? 31 : turned));
    const std::uint16_t symbol = symbols[i], r = rest[i];
    out[i] = static_cast<std::uint16_t>((r & 128) << 8 | (e & 31) << 10 | (symbol & 7) << 7 | (r & 127));
  }
}
void merge_f16(const std::uint8_t* symbols, const std::uint8_t* rest, const std::uint8_t* scale, int base, std::size_t n, std::uint16_t* out) {
  const auto from = static_cast<std::int16_t>(base);
  scale != nullptr ? merge_f16_of<true>(symbols, rest, scale, from, n, out) : merge_f16_of<false>(symbols, rest, scale, from, n, out);
}

void pack6(const std::uint8_t* __restrict in, std::size_t n, std::uint8_t* __restrict out) {
  for (std::size_t at = 0; at < n; at += 64, out += 48) {
    std::uint8_t v[64];
    if (n - at >= 64) {
      __builtin_memcpy(v, in + at, 64);
    } else {
      __builtin_memset(v, 0, 64);
      __builtin_memcpy(v, in + at, n - at);
    }
    for (unsigned i = 0; i < 32; ++i) out[i] = static_cast<std::uint8_t>((v[i] & 15) | v[i + 32] << 4);
    for (unsigned i = 0; i < 16; ++i) {
      out[32 + i] = static_cast<std::uint8_t>(v[i] >> 4 | (v[i + 16] >> 4) << 2 | (v[i + 32] >> 4) << 4 | (v[i + 48] >> 4) << 6);
    }
  }
}
inline void unpack6_one(const std::uint8_t* __restrict in, std::uint8_t* __restrict v) {
  for (unsigned i = 0; i < 16; ++i) {
    const std::uint8_t a = in[i], b = in[i + 16], high = in[i + 32];
    v[i] = static_cast<std::uint8_t>((a & 15) | (high & 3) << 4);
    v[i + 16] = static_cast<std::uint8_t>((b & 15) | (high >> 2 & 3) << 4);
    v[i + 32] = static_cast<std::uint8_t>(a >> 4 | (high >> 4 & 3) << 4);
    v[i + 48] = static_cast<std::uint8_t>(b >> 4 | high >> 6 << 4);
  }
}
void unpack6(const std::uint8_t* in, std::size_t n, std::uint8_t* out) {
  for (; n >= 64; n -= 64, in += 48, out += 64) unpack6_one(in, out);
  if (n > 0) {
    std::uint8_t v[64];
    unpack6_one(in, v);
    __builtin_memcpy(out, v, n);
  }
}

// ---- differences --------------------------------------------------------------------------------------------------------

inline std::uint32_t order16(std::uint32_t u) { return (u & 0x8000U) != 0 ? ~u & 0xFFFFU : u | 0x8000U; }
inline std::uint32_t order32(std::uint32_t u) { return u ^ (static_cast<std::uint32_t>(static_cast<std::int32_t>(u) >> 31) | 0x80000000U); }
inline std::uint32_t unorder32(std::uint32_t o) { return o ^ (~static_cast<std::uint32_t>(static_cast<std::int32_t>(o) >> 31) | 0x80000000U); }

// Masks instead of conditions, which compilers keep as jumps here.
inline void symbol_of(std::int32_t number, std::uint8_t& symbol, std::uint32_t& extra) {
  const auto negative = static_cast<std::uint32_t>(number >> 31);
  const std::uint32_t size = (static_cast<std::uint32_t>(number) ^ negative) - negative;
  // The leading bit by way of a float; the bit under it is cleared first, so that nothing rounds up to the next power.
  const float f = static_cast<float>(static_cast<std::int32_t>((size & ~(size >> 1)) & 0x7FFFFFFFU));
  std::uint32_t bits;
  __builtin_memcpy(&bits, &f, 4);
  const std::uint32_t top = 0U - (size >> 31), small = static_cast<std::uint32_t>(static_cast<std::int32_t>(size - 16U) >> 31) & ~top;
  const std::uint32_t lead = (((bits >> 23) - 127U) & ~top) | (31U & top);
  const std::uint32_t low = (lead - 3U) & ~small;
  const std::uint32_t large = ((low + 1U) << 3) + (size >> low & 7U);
  symbol = static_cast<std::uint8_t>((size & small) | (large & ~small));
  extra = (negative & 1U) | (size & ((1U << low) - 1U)) << 1;
}

void differ16(const std::uint8_t* __restrict in, const std::uint8_t* __restrict base, std::size_t n, std::uint8_t* __restrict symbols, std::uint32_t* __restrict extra) {
  for (std::size_t i = 0; i < n; ++i) {
    const auto d = static_cast<std::int16_t>(order16(load16(in + 2 * i)) - order16(load16(base + 2 * i)));
    symbol_of(d, symbols[i], extra[i]);
  }
}
void differ32(const std::uint8_t* __restrict in, const std::uint8_t* __restrict base, std::size_t n, std::uint8_t* __restrict symbols, std::uint32_t* __restrict extra) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t d = order32(load32(in + 4 * i)) - order32(load32(base + 4 * i));
    symbol_of(static_cast<std::int32_t>(d), symbols[i], extra[i]);
  }
}
void add16(const std::int32_t* __restrict numbers, const std::uint8_t* __restrict base, std::size_t n, std::uint8_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t b;
    __builtin_memcpy(&b, base + 2 * i, 2);
    const auto mask = static_cast<std::uint16_t>(static_cast<std::uint16_t>(static_cast<std::int16_t>(b) >> 15) | 0x8000U);
    const auto o = static_cast<std::uint16_t>((b ^ mask) + static_cast<std::uint16_t>(numbers[i]));
    const auto back = static_cast<std::uint16_t>(static_cast<std::uint16_t>(~static_cast<std::uint16_t>(static_cast<std::int16_t>(o) >> 15)) | 0x8000U);
    const auto u = static_cast<std::uint16_t>(o ^ back);
    __builtin_memcpy(out + 2 * i, &u, 2);
  }
}
void add32(const std::int32_t* __restrict numbers, const std::uint8_t* __restrict base, std::size_t n, std::uint8_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t u = unorder32(order32(load32(base + 4 * i)) + static_cast<std::uint32_t>(numbers[i]));
    __builtin_memcpy(out + 4 * i, &u, 4);
  }
}
void exponents(const std::uint8_t* __restrict base, std::size_t width, unsigned shift, unsigned mask, int low, std::size_t n, std::uint8_t* __restrict context) {
  if (width == 2) {
    for (std::size_t i = 0; i < n; ++i) {
      std::uint16_t u;
      __builtin_memcpy(&u, base + 2 * i, 2);
      const auto e = static_cast<std::int16_t>(static_cast<std::int16_t>(u >> shift & mask) - static_cast<std::int16_t>(low));
      context[i] = static_cast<std::uint8_t>(e < 0 ? 0 : e > 15 ? 15 : e);
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      const auto e = static_cast<std::int32_t>(load32(base + 4 * i) >> shift & mask) - low;
      context[i] = static_cast<std::uint8_t>(e < 0 ? 0 : e > 15 ? 15 : e);
    }
  }
}

void map16(const std::uint8_t* map, std::size_t n, std::uint8_t* context) {
  for (std::size_t i = 0; i < n; ++i) context[i] = map[context[i]];
}

void add_scales(std::uint8_t row, const std::uint8_t* __restrict columns, std::size_t n, std::uint8_t* __restrict scale, std::uint8_t* __restrict parity) {
  for (std::size_t i = 0; i < n; ++i) {
    auto sum = static_cast<std::uint8_t>(row + columns[i]);
    sum = sum < row ? std::uint8_t{255} : sum;
    scale[i] = sum;
    parity[i] = sum & 1;
  }
}

std::uint64_t magnitudes(const std::uint8_t* __restrict in, std::size_t stride, std::uint32_t floor, std::size_t n, std::uint32_t* __restrict columns) {
  std::uint64_t total = 0;
  while (n > 0) {
    const std::size_t many = n < 32768 ? n : 32768;  // so that 32 bits hold the sum
    std::uint32_t sum = 0;
    if (stride == 2) {
      for (std::size_t i = 0; i < many; ++i) {
        std::uint32_t m = load16(in + 2 * i) & 0x7FFFU;
        m = m < floor ? floor : m;
        columns[i] += m;
        sum += m;
      }
    } else {
      for (std::size_t i = 0; i < many; ++i) {
        std::uint32_t m = load32(in + 4 * i) >> 16 & 0x7FFFU;
        m = m < floor ? floor : m;
        columns[i] += m;
        sum += m;
      }
    }
    total += sum;
    n -= many;
    in += many * stride;
    columns += many;
  }
  return total;
}

// ---- twins of another width ----------------------------------------------------------------------------------------------

void widen_bf16(const std::uint8_t* __restrict in, std::size_t n, std::uint32_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = load16(in + 2 * i) << 16;
}
void widen_f16(const std::uint8_t* __restrict in, std::size_t n, std::uint32_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t h = load16(in + 2 * i), e = h >> 10 & 31U;
    // Denormals by an exact multiplication with normal numbers only: 2^-24 times an integer.
    const float small = static_cast<float>(static_cast<std::int32_t>(h & 1023U)) * 5.9604644775390625e-8F;
    std::uint32_t bits;
    __builtin_memcpy(&bits, &small, 4);
    const std::uint32_t none = 0U - static_cast<std::uint32_t>(e == 0), special = 0U - static_cast<std::uint32_t>(e == 31);
    const std::uint32_t normal = ((e + 112U + (special & 112U)) << 23) | (h & 1023U) << 13;
    out[i] = (h & 0x8000U) << 16 | (bits & none) | (normal & ~none);
  }
}
void split_twin(const std::uint8_t* __restrict in, const std::uint32_t* __restrict base, std::uint32_t offset, std::size_t n, std::uint8_t* __restrict high,
                std::uint8_t* __restrict low0, std::uint8_t* __restrict low1) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t d = order32(load32(in + 4 * i)) - order32(base[i]) + offset;
    const auto h = static_cast<std::int32_t>(d) >> 16;
    const auto zigzag = static_cast<std::uint32_t>(h) << 1 ^ static_cast<std::uint32_t>(h >> 31);
    high[i] = static_cast<std::uint8_t>(zigzag > 254 ? 255 : zigzag);
    low0[i] = static_cast<std::uint8_t>(d);
    low1[i] = static_cast<std::uint8_t>(d >> 8);
  }
}
void merge_twin(const std::uint8_t* __restrict high, const std::uint8_t* __restrict low0, const std::uint8_t* __restrict low1, const std::uint32_t* __restrict base,
                std::uint32_t offset, std::size_t n, std::uint8_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t zigzag = high[i], h = zigzag >> 1 ^ (0U - (zigzag & 1U));
    const std::uint32_t d = h << 16 | static_cast<std::uint32_t>(low1[i]) << 8 | low0[i];
    const std::uint32_t u = unorder32(order32(base[i]) + d - offset);
    __builtin_memcpy(out + 4 * i, &u, 4);
  }
}
void merge_f32(const std::uint16_t* __restrict upper, const std::uint8_t* __restrict low0, const std::uint8_t* __restrict low1, std::size_t n,
               std::uint8_t* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t u = static_cast<std::uint32_t>(upper[i]) << 16 | static_cast<std::uint32_t>(low1[i]) << 8 | low0[i];
    __builtin_memcpy(out + 4 * i, &u, 4);
  }
}
void take_plane(const std::uint8_t* __restrict in, std::size_t stride, std::size_t n, std::uint8_t* __restrict out) {
  if (stride == 4) {
    for (std::size_t i = 0; i < n; ++i) out[i] = in[4 * i];
  } else {
    for (std::size_t i = 0; i < n; ++i) out[i] = in[stride * i];
  }
}

void count(const std::uint8_t* symbols, const std::uint8_t* context, std::size_t n, std::uint32_t* counts) {
  std::size_t i = 0;
  if (context == nullptr) {
    std::uint32_t odd[256] = {};  // equal neighbours do not wait for each other
    for (; i + 2 <= n; i += 2) {
      ++counts[symbols[i]];
      ++odd[symbols[i + 1]];
    }
    if (i < n) ++counts[symbols[i]];
    for (unsigned k = 0; k < 256; ++k) counts[k] += odd[k];
    return;
  }
  std::uint8_t most = 0;
  for (std::size_t k = 0; k < n; ++k) most = context[k] > most ? context[k] : most;
  if (most < 16 && n >= 1024) {
    std::uint32_t odd[16 * 256];
    __builtin_memset(odd, 0, (most + 1U) * 256U * sizeof *odd);
    for (; i + 2 <= n; i += 2) {
      ++counts[context[i] * 256U + symbols[i]];
      ++odd[context[i + 1] * 256U + symbols[i + 1]];
    }
    for (unsigned k = 0; k < (most + 1U) * 256U; ++k) counts[k] += odd[k];
  }
  for (; i < n; ++i) ++counts[context[i] * 256U + symbols[i]];
}
std::uint32_t checksum(const std::uint8_t* in, std::size_t n) {
  constexpr std::uint32_t kPrime = 0x01000193U;
  std::uint32_t sum[16];
  for (unsigned l = 0; l < 16; ++l) sum[l] = 0x811C9DC5U + l;
  std::size_t i = 0;
  for (; n - i >= 64; i += 64) {
    for (unsigned l = 0; l < 16; ++l) sum[l] = (sum[l] ^ load32(in + i + 4 * l)) * kPrime;
  }
  std::uint32_t all = 0x811C9DC5U;
  for (; i < n; ++i) all = (all ^ in[i]) * kPrime;
  for (unsigned l = 0; l < 16; ++l) all = (all ^ sum[l]) * kPrime;
  return all;
}
bool any_below(const std::uint8_t* symbols, std::uint8_t limit, std::size_t n) {
  std::uint8_t found = 0;
  for (std::size_t i = 0; i < n; ++i) found |= static_cast<std::uint8_t>(symbols[i] < limit ? 1 : 0);
  return found != 0;
}

constexpr Kernels make_kernels() {
  return {.decode = decode_some, .decode_numbers = decode_numbers_some, .encode = encode_all, .encode_numbers = encode_numbers_all,
          .split_bf16 = split_bf16, .merge_bf16 = merge_bf16, .split_f16 = split_f16, .merge_f16 = merge_f16, .pack6 = pack6, .unpack6 = unpack6,
          .differ16 = differ16, .differ32 = differ32, .add16 = add16, .add32 = add32, .exponents = exponents, .map16 = map16, .add_scales = add_scales, .magnitudes = magnitudes,
          .widen_bf16 = widen_bf16, .widen_f16 = widen_f16, .split_twin = split_twin, .merge_twin = merge_twin, .merge_f32 = merge_f32, .count = count, .any_below = any_below, .checksum = checksum, .take_plane = take_plane};
}
