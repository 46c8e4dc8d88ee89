#include "mlxcache/codec/block.h"

#include <algorithm>
#include <cstring>

namespace mlxcache::codec {
namespace {

using mlxbase::ByteReader;
using mlxbase::Code;
using mlxbase::fail;

std::unexpected<mlxbase::Error> damaged() { return fail(Code::corrupt, "coded tensor: a damaged block"); }

const std::uint8_t* raw(const std::byte* p) { return reinterpret_cast<const std::uint8_t*>(p); }

void put_u32(std::vector<std::byte>& out, std::uint32_t v) {
  for (unsigned i = 0; i < 4; ++i) out.push_back(static_cast<std::byte>(v >> (8 * i) & 0xFFU));
}
void put_bytes(std::vector<std::byte>& out, const std::uint8_t* p, std::size_t n) {
  out.insert(out.end(), reinterpret_cast<const std::byte*>(p), reinterpret_cast<const std::byte*>(p) + n);
}

std::size_t packed6(std::size_t n) { return (n + 63) / 64 * 48; }

/// Calls body(first, n) for each chunk, the last one first.
template <class Body>
void chunks_backwards(std::size_t n, Body&& body) {
  for (std::size_t at = (n + kChunk - 1) / kChunk * kChunk; at > 0;) {
    at -= kChunk;
    body(at, std::min(kChunk, n - at));
  }
}
template <class Body>
void chunks(std::size_t n, Body&& body) {
  for (std::size_t at = 0; at < n; at += kChunk) body(at, std::min(kChunk, n - at));
}

bool scaled(const Head& h) { return !h.row_scales.empty() || !h.column_scales.empty(); }

unsigned exponent_shift(Dtype dtype) { return dtype == Dtype::f32 ? 23 : dtype == Dtype::bf16 ? 7 : 10; }
unsigned exponent_mask(Dtype dtype) { return dtype == Dtype::f16 ? 31 : 255; }

}  // namespace

const std::uint8_t* BaseView::at(std::uint64_t first, std::size_t n) {
  if (head_->kind != Kind::delta) return nullptr;
  const std::size_t width = width_of(head_->base.dtype), bytes = n * width;
  const std::uint64_t begin = head_->base.phase + first * width;
  if (begin <= base_.size() && bytes <= base_.size() - begin) return raw(base_.data() + begin);
  padded_.assign(bytes, 0);
  if (begin < base_.size()) std::memcpy(padded_.data(), base_.data() + begin, static_cast<std::size_t>(base_.size() - begin));
  return padded_.data();
}

void fill_scales(const Head& h, const Kernels& k, std::uint64_t first, std::size_t n, std::uint8_t* scale, std::uint8_t* parity) {
  std::uint64_t row = first / h.layout.columns, column = first % h.layout.columns;
  while (n > 0) {
    const auto many = static_cast<std::size_t>(std::min<std::uint64_t>(n, h.layout.columns - column));
    const std::uint8_t mine = h.row_scales.empty() ? 0 : h.row_scales[static_cast<std::size_t>(row)];
    if (h.column_scales.empty()) {
      std::memset(scale, mine, many);
      std::memset(parity, mine & 1, many);
    } else {
      k.add_scales(mine, h.column_scales.data() + column, many, scale, parity);
    }
    scale += many;
    parity += many;
    n -= many;
    column = 0;
    ++row;
  }
}

void fill_contexts(const Head& h, const Kernels& k, const std::uint8_t* base, std::size_t n, std::uint8_t* context) {
  const Dtype dtype = h.layout.dtype;
  k.exponents(base, width_of(dtype), exponent_shift(dtype), exponent_mask(dtype), h.lowest, n, context);
  k.map16(h.contexts.data(), n, context);
}

std::size_t gather_changed(const Head& h, std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::uint8_t>& flags,
                           std::vector<std::uint8_t>& in_changed, std::vector<std::uint8_t>& base_changed) {
  const std::size_t width = h.width(), run = static_cast<std::size_t>(h.run()), runs = (n + run - 1) / run;
  flags.assign((runs + 7) / 8, 0);
  std::size_t changed = 0;
  for (std::size_t r = 0; r < runs; ++r) {
    const std::size_t first = r * run, many = std::min(run, n - first);
    if (std::memcmp(in + first * width, base + first * width, many * width) == 0) continue;
    flags[r / 8] = static_cast<std::uint8_t>(flags[r / 8] | 1U << (r % 8));
    changed += many;
  }
  if (changed == 0 || changed == n) return changed;
  in_changed.resize(changed * width);
  base_changed.resize(changed * width);
  std::size_t at = 0;
  for (std::size_t r = 0; r < runs; ++r) {
    if ((flags[r / 8] >> (r % 8) & 1U) == 0) continue;
    const std::size_t first = r * run * width, many = std::min(run, n - r * run) * width;
    std::memcpy(in_changed.data() + at, in + first, many);
    std::memcpy(base_changed.data() + at, base + first, many);
    at += many;
  }
  return changed;
}

EncodeTables::EncodeTables(const Head& h)
    : symbols(encode_table(h.tables)), rest(encode_table(h.rest.tables)), low{encode_table(h.low[0].tables), encode_table(h.low[1].tables)} {}
DecodeTables::DecodeTables(const Head& h)
    : symbols(decode_entries(h.tables)), rest(decode_entries(h.rest.tables)), low{decode_entries(h.low[0].tables), decode_entries(h.low[1].tables)} {}

// ---- encoding -----------------------------------------------------------------------------------------------------------

BlockEncoder::BlockEncoder(const Head& head, const EncodeTables& tables, const Kernels& k) : head_(head), tables_(tables), k_(k) {
  symbols_.resize(kChunk);
  context_.resize(kChunk);
  scale_.resize(kChunk);
  extra_.resize(kChunk);
}

BlockKind BlockEncoder::encode(std::uint64_t first, std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::byte>& out) {
  const std::size_t before = out.size(), bytes = n * head_.width();
  switch (head_.scheme) {
    case Scheme::bytes: encode_bytes(first, n, in, out); break;
    case Scheme::floats: encode_floats(first, n, in, out); break;
    case Scheme::difference:
      if (std::memcmp(in, base, bytes) == 0) return BlockKind::copy;
      encode_difference(n, in, base, out);
      break;
    case Scheme::twin: encode_twin(n, in, base, out); break;
  }
  if (out.size() - before < bytes) return BlockKind::coded;
  out.resize(before);
  put_bytes(out, in, bytes);
  return BlockKind::plain;
}

void BlockEncoder::encode_plane(const Plane& plane, const EncodeTable& tables, const std::uint8_t* bytes, std::size_t n,
                                std::vector<std::byte>& out) {
  switch (plane.mode) {
    case Plane::Mode::raw: put_bytes(out, bytes, n); break;
    case Plane::Mode::constant: break;
    case Plane::Mode::coded:
      plane_writer_.start(n, kTableBits);
      k_.encode(plane_writer_.state(), tables.view(), nullptr, n, bytes);
      plane_writer_.finish(out);
      break;
    case Plane::Mode::six: {
      const std::size_t before = out.size();
      out.resize(before + packed6(n));
      k_.pack6(bytes, n, reinterpret_cast<std::uint8_t*>(out.data() + before));
      break;
    }
  }
}

void BlockEncoder::encode_floats(std::uint64_t first, std::size_t n, const std::uint8_t* in, std::vector<std::byte>& out) {
  const std::size_t width = head_.width();
  rest_.resize(std::max(rest_.size(), n));
  if (width == 4) {
    for (unsigned p = 0; p < 2; ++p) {
      low_[p].resize(std::max(low_[p].size(), n));
      k_.take_plane(in + p, 4, n, low_[p].data());
    }
  }
  struct Exception {
    std::uint32_t at, exponent;
  };
  std::vector<Exception> exceptions;
  writer_.start(n, kTableBits);
  chunks_backwards(n, [&](std::size_t at, std::size_t many) {
    const bool with_scales = scaled(head_);
    if (with_scales) fill_scales(head_, k_, first + at, many, scale_.data(), context_.data());
    const std::uint8_t* scale = with_scales ? scale_.data() : nullptr;
    if (head_.layout.dtype == Dtype::f16) {
      k_.split_f16(in + at * 2, scale, head_.exponent, many, symbols_.data(), rest_.data() + at);
    } else {
      const std::uint8_t* from = in + at * width + (width - 2);
      k_.split_bf16(from, width, scale, head_.exponent, many, symbols_.data(), rest_.data() + at);
      if (k_.any_below(symbols_.data(), 4, many)) {
        for (std::size_t i = many; i-- > 0;) {
          if (symbols_[i] >= 4) continue;
          const auto upper = static_cast<unsigned>(from[i * width] | from[i * width + 1] << 8);
          exceptions.push_back({static_cast<std::uint32_t>(at + i), upper >> 7 & 0xFFU});
        }
      }
    }
    k_.encode(writer_.state(), tables_.symbols.view(), with_scales ? context_.data() : nullptr, many, symbols_.data());
  });
  encode_plane(head_.rest, tables_.rest, rest_.data(), n, out);
  if (width == 4) {
    for (unsigned p = 0; p < 2; ++p) encode_plane(head_.low[p], tables_.low[p], low_[p].data(), n, out);
  }
  put_u32(out, static_cast<std::uint32_t>(exceptions.size()));
  for (const Exception& e : exceptions) put_u32(out, e.at << 8 | e.exponent);
  writer_.finish(out);
}

void BlockEncoder::encode_difference(std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::byte>& out) {
  std::vector<std::uint8_t> flags;
  const std::size_t changed = gather_changed(head_, n, in, base, flags, in_, base_);
  if (changed < n) {
    in = in_.data();
    base = base_.data();
  }
  put_bytes(out, flags.data(), flags.size());
  const std::size_t width = head_.width();
  writer_.start(changed, kTableBits + (width == 2 ? 13 : 30) + 16);
  chunks_backwards(changed, [&](std::size_t at, std::size_t many) {
    fill_contexts(head_, k_, base + at * width, many, context_.data());
    (width == 2 ? k_.differ16 : k_.differ32)(in + at * width, base + at * width, many, symbols_.data(), extra_.data());
    k_.encode_numbers(writer_.state(), tables_.symbols.view(), context_.data(), many, symbols_.data(), extra_.data());
  });
  writer_.finish(out);
}

void BlockEncoder::encode_twin(std::size_t n, const std::uint8_t* in, const std::uint8_t* base, std::vector<std::byte>& out) {
  rest_.resize(std::max(rest_.size(), n));
  for (auto& low : low_) low.resize(std::max(low.size(), n));
  std::vector<std::uint32_t> wide(kChunk);
  struct Exception {
    std::uint32_t at, value;
  };
  std::vector<Exception> exceptions;
  chunks(n, [&](std::size_t at, std::size_t many) {
    (head_.base.dtype == Dtype::f16 ? k_.widen_f16 : k_.widen_bf16)(base + at * 2, many, wide.data());
    k_.split_twin(in + at * 4, wide.data(), head_.offset, many, rest_.data() + at, low_[0].data() + at, low_[1].data() + at);
    for (std::size_t i = at; i < at + many; ++i) {
      if (rest_[i] != 255) continue;
      const std::uint8_t* p = in + i * 4;
      exceptions.push_back({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
                                                               static_cast<std::uint32_t>(p[2]) << 16 | static_cast<std::uint32_t>(p[3]) << 24});
    }
  });
  for (unsigned p = 0; p < 2; ++p) encode_plane(head_.low[p], tables_.low[p], low_[p].data(), n, out);
  put_u32(out, static_cast<std::uint32_t>(exceptions.size()));
  for (const Exception& e : exceptions) {
    put_u32(out, e.at);
    put_u32(out, e.value);
  }
  writer_.start(n, kTableBits);
  k_.encode(writer_.state(), tables_.symbols.view(), nullptr, n, rest_.data());
  writer_.finish(out);
}

void BlockEncoder::encode_bytes(std::uint64_t first, std::size_t n, const std::uint8_t* in, std::vector<std::byte>& out) {
  const std::size_t bytes = n * head_.width(), period = head_.period.size(), start = static_cast<std::size_t>(first * head_.width() % period);
  writer_.start(bytes, kTableBits);
  chunks_backwards(bytes, [&](std::size_t at, std::size_t many) {
    if (period > 1) {
      for (std::size_t i = 0, p = (start + at) % period; i < many; ++i, p = p + 1 == period ? 0 : p + 1) context_[i] = head_.period[p];
    }
    k_.encode(writer_.state(), tables_.symbols.view(), period > 1 ? context_.data() : nullptr, many, in + at);
  });
  writer_.finish(out);
}

// ---- decoding -----------------------------------------------------------------------------------------------------------

BlockDecoder::BlockDecoder(const Head& head, const DecodeTables& tables, const Kernels& k) : head_(head), tables_(tables), k_(k) {
  symbols_.resize(kChunk);
  context_.resize(kChunk);
  scale_.resize(kChunk);
  upper_.resize(kChunk);
  numbers_.resize(kChunk);
  wide_.resize(kChunk);
}

Status BlockDecoder::decode(std::uint64_t first, std::size_t n, std::span<const std::byte> coded, const std::uint8_t* base, std::uint8_t* out) {
  ByteReader in(coded);
  switch (head_.scheme) {
    case Scheme::bytes: TRY(decode_bytes(first, n, in, out)); break;
    case Scheme::floats: TRY(decode_floats(first, n, in, out)); break;
    case Scheme::difference: TRY(decode_difference(n, in, base, out)); break;
    case Scheme::twin: TRY(decode_twin(n, in, base, out)); break;
  }
  if (!in.ok() || in.left() != 0) return damaged();
  return {};
}

Result<const std::uint8_t*> BlockDecoder::decode_plane(const Plane& plane, const std::vector<DecodeEntry>& tables, std::size_t n, ByteReader& in,
                                                       std::vector<std::uint8_t>& room) {
  if (plane.mode == Plane::Mode::raw) {
    const auto bytes = in.get_bytes(n);
    if (!in.ok()) return damaged();
    return raw(bytes.data());
  }
  room.resize(std::max(room.size(), n));
  if (plane.mode == Plane::Mode::constant) {
    std::memset(room.data(), plane.value, n);
  } else if (plane.mode == Plane::Mode::six) {
    const auto bytes = in.get_bytes(packed6(n));
    if (!in.ok()) return damaged();
    k_.unpack6(raw(bytes.data()), n, room.data());
  } else {
    auto reader = TRY(StreamReader::open(in));
    k_.decode(reader.state(), tables.data(), nullptr, n, room.data());
    TRY(reader.finish());
  }
  return room.data();
}

Status BlockDecoder::decode_floats(std::uint64_t first, std::size_t n, ByteReader& in, std::uint8_t* out) {
  const std::size_t width = head_.width();
  const std::uint8_t* rest = TRY(decode_plane(head_.rest, tables_.rest, n, in, rest_));
  const std::uint8_t* low[2] = {};
  if (width == 4) {
    for (unsigned p = 0; p < 2; ++p) low[p] = TRY(decode_plane(head_.low[p], tables_.low[p], n, in, low_[p]));
  }
  const auto exceptions = in.get<std::uint32_t>();
  if (exceptions > n) return damaged();
  ByteReader exception(in.get_bytes(std::size_t{exceptions} * 4));
  auto reader = TRY(StreamReader::open(in));
  const bool with_scales = scaled(head_);
  chunks(n, [&](std::size_t at, std::size_t many) {
    if (with_scales) fill_scales(head_, k_, first + at, many, scale_.data(), context_.data());
    const std::uint8_t* scale = with_scales ? scale_.data() : nullptr;
    k_.decode(reader.state(), tables_.symbols.data(), with_scales ? context_.data() : nullptr, many, symbols_.data());
    (head_.layout.dtype == Dtype::f16 ? k_.merge_f16 : k_.merge_bf16)(symbols_.data(), rest + at, scale, head_.exponent, many, upper_.data());
    if (width == 4) {
      k_.merge_f32(upper_.data(), low[0] + at, low[1] + at, many, out + at * 4);
    } else {
      std::memcpy(out + at * 2, upper_.data(), many * 2);
    }
  });
  TRY(reader.finish());
  for (std::uint32_t i = 0; i < exceptions; ++i) {
    const auto e = exception.get<std::uint32_t>();
    if (e >> 8 >= n || head_.layout.dtype == Dtype::f16) return damaged();
    std::uint8_t* upper = out + (e >> 8) * width + (width - 2);
    upper[0] = static_cast<std::uint8_t>((upper[0] & 0x7FU) | (e & 1U) << 7);
    upper[1] = static_cast<std::uint8_t>((upper[1] & 0x80U) | (e & 0xFFU) >> 1);
  }
  return {};
}

Status BlockDecoder::decode_difference(std::size_t n, ByteReader& in, const std::uint8_t* base, std::uint8_t* out) {
  const std::size_t width = head_.width(), run = static_cast<std::size_t>(head_.run()), runs = (n + run - 1) / run;
  const auto flags = in.get_bytes((runs + 7) / 8);
  if (!in.ok()) return damaged();
  const auto flagged = [&](std::size_t r) { return (std::to_integer<unsigned>(flags[r / 8]) >> (r % 8) & 1U) != 0; };
  std::size_t changed = 0;
  for (std::size_t r = 0; r < runs; ++r) changed += flagged(r) ? std::min(run, n - r * run) : 0;
  auto reader = TRY(StreamReader::open(in));
  const std::uint8_t* from = base;
  std::uint8_t* to = out;
  if (changed < n) {
    base_.resize(std::max(base_.size(), n * width));
    in_.resize(std::max(in_.size(), n * width));
    std::size_t at = 0;
    for (std::size_t r = 0; r < runs; ++r) {
      const std::size_t begin = r * run * width, many = std::min(run, n - r * run) * width;
      std::memcpy(flagged(r) ? base_.data() + at : out + begin, base + begin, many);
      at += flagged(r) ? many : 0;
    }
    from = base_.data();
    to = in_.data();
  }
  chunks(changed, [&](std::size_t at, std::size_t many) {
    fill_contexts(head_, k_, from + at * width, many, context_.data());
    k_.decode_numbers(reader.state(), tables_.symbols.data(), context_.data(), many, numbers_.data());
    (width == 2 ? k_.add16 : k_.add32)(numbers_.data(), from + at * width, many, to + at * width);
  });
  TRY(reader.finish());
  if (changed < n) {
    std::size_t at = 0;
    for (std::size_t r = 0; r < runs; ++r) {
      if (!flagged(r)) continue;
      const std::size_t many = std::min(run, n - r * run) * width;
      std::memcpy(out + r * run * width, in_.data() + at, many);
      at += many;
    }
  }
  return {};
}

Status BlockDecoder::decode_twin(std::size_t n, ByteReader& in, const std::uint8_t* base, std::uint8_t* out) {
  const std::uint8_t* low[2] = {};
  for (unsigned p = 0; p < 2; ++p) low[p] = TRY(decode_plane(head_.low[p], tables_.low[p], n, in, low_[p]));
  const auto exceptions = in.get<std::uint32_t>();
  if (exceptions > n) return damaged();
  ByteReader exception(in.get_bytes(std::size_t{exceptions} * 8));
  auto reader = TRY(StreamReader::open(in));
  chunks(n, [&](std::size_t at, std::size_t many) {
    (head_.base.dtype == Dtype::f16 ? k_.widen_f16 : k_.widen_bf16)(base + at * 2, many, wide_.data());
    k_.decode(reader.state(), tables_.symbols.data(), nullptr, many, symbols_.data());
    k_.merge_twin(symbols_.data(), low[0] + at, low[1] + at, wide_.data(), head_.offset, many, out + at * 4);
  });
  TRY(reader.finish());
  for (std::uint32_t i = 0; i < exceptions; ++i) {
    const auto at = exception.get<std::uint32_t>(), value = exception.get<std::uint32_t>();
    if (at >= n) return damaged();
    for (unsigned b = 0; b < 4; ++b) out[std::size_t{at} * 4 + b] = static_cast<std::uint8_t>(value >> (8 * b));
  }
  return {};
}

Status BlockDecoder::decode_bytes(std::uint64_t first, std::size_t n, ByteReader& in, std::uint8_t* out) {
  const std::size_t bytes = n * head_.width(), period = head_.period.size(), start = static_cast<std::size_t>(first * head_.width() % period);
  auto reader = TRY(StreamReader::open(in));
  chunks(bytes, [&](std::size_t at, std::size_t many) {
    if (period > 1) {
      for (std::size_t i = 0, p = (start + at) % period; i < many; ++i, p = p + 1 == period ? 0 : p + 1) context_[i] = head_.period[p];
    }
    k_.decode(reader.state(), tables_.symbols.data(), period > 1 ? context_.data() : nullptr, many, out + at);
  });
  return reader.finish();
}

}  // namespace mlxcache::codec
