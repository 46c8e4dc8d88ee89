#include "mlxcache/codec/head.h"

#include <algorithm>
#include <utility>

#include "mlxcache/codec/stream.h"

namespace mlxcache::codec {
namespace {

using mlxbase::ByteReader;
using mlxbase::ByteWriter;
using mlxbase::Code;
using mlxbase::fail;

constexpr std::uint32_t kMagic = 0x44434C4D;  // "MLCD"
constexpr std::uint8_t kVersion = 1;

std::unexpected<mlxbase::Error> damaged(const char* what) {
  std::string message = "coded tensor: ";
  message += what;
  return fail(Code::corrupt, std::move(message));
}

// FNV-1a: each byte goes through a bijection, so one changed byte always shows.
std::uint32_t checksum(std::span<const std::byte> bytes, std::uint32_t sum = 0x811C9DC5U) {
  for (const std::byte b : bytes) sum = (sum ^ std::to_integer<std::uint32_t>(b)) * 0x01000193U;
  return sum;
}

void write_plane(ByteWriter& out, const Plane& plane) {
  out.put(static_cast<std::uint8_t>(plane.mode));
  if (plane.mode == Plane::Mode::constant) out.put(plane.value);
  if (plane.mode == Plane::Mode::coded) write_tables(out, plane.tables);
}
Result<Plane> read_plane(ByteReader& in) {
  Plane plane;
  const auto mode = in.get<std::uint8_t>();
  if (mode > 3) return damaged("a plane of unknown kind");
  plane.mode = static_cast<Plane::Mode>(mode);
  if (plane.mode == Plane::Mode::constant) plane.value = in.get<std::uint8_t>();
  if (plane.mode == Plane::Mode::coded) {
    plane.tables = TRY(read_tables(in));
    if (plane.tables.size() != 1) return damaged("a plane of more than one table");
  }
  return plane;
}

void write_side(ByteWriter& out, const Head& h) {
  out.put_bytes(h.edge);
  write_tables(out, h.tables);
  switch (h.scheme) {
    case Scheme::bytes:
      out.put(static_cast<std::uint16_t>(h.period.size()));
      out.put_bytes(std::as_bytes(std::span(h.period)));
      break;
    case Scheme::floats:
      out.put(h.exponent);
      out.put(static_cast<std::uint8_t>((h.row_scales.empty() ? 0 : 1) | (h.column_scales.empty() ? 0 : 2)));
      if (!h.row_scales.empty()) write_packed(out, h.row_scales);
      if (!h.column_scales.empty()) write_packed(out, h.column_scales);
      write_plane(out, h.rest);
      if (h.layout.dtype == Dtype::f32) {
        for (const Plane& p : h.low) write_plane(out, p);
      }
      break;
    case Scheme::difference:
      out.put(h.lowest);
      out.put_bytes(std::as_bytes(std::span(h.contexts)));
      break;
    case Scheme::twin:
      out.put(h.offset);
      for (const Plane& p : h.low) write_plane(out, p);
      break;
  }
}

Status read_side(ByteReader& in, Head& h) {
  const auto edge = in.get_bytes(static_cast<std::size_t>(h.size - h.body()));
  h.edge.assign(edge.begin(), edge.end());
  h.tables = TRY(read_tables(in));
  switch (h.scheme) {
    case Scheme::bytes: {
      const auto period = in.get_bytes(in.get<std::uint16_t>());
      if (period.empty() || period.size() > 256) return damaged("a period that cannot be");
      for (const std::byte b : period) {
        if (std::to_integer<std::size_t>(b) >= h.tables.size()) return damaged("a table that is not there");
        h.period.push_back(std::to_integer<std::uint8_t>(b));
      }
      break;
    }
    case Scheme::floats: {
      h.exponent = in.get<std::int16_t>();
      const auto flags = in.get<std::uint8_t>();
      if (h.exponent < -512 || h.exponent > 512 || flags > 3) return damaged("scales that cannot be");
      if (((flags & 1U) != 0 && h.rows() > kMostScales) || ((flags & 2U) != 0 && h.layout.columns > kMostScales)) return damaged("more scales than there can be");
      if ((flags & 1U) != 0) h.row_scales = TRY(read_packed(in, static_cast<std::size_t>(h.rows())));
      if ((flags & 2U) != 0) h.column_scales = TRY(read_packed(in, static_cast<std::size_t>(h.layout.columns)));
      if (h.tables.size() != (flags == 0 ? 1U : 2U)) return damaged("a number of tables that cannot be");
      if (h.layout.dtype == Dtype::f16 && h.exponent < 0) return damaged("scales that cannot be");
      h.rest = TRY(read_plane(in));
      if (h.layout.dtype == Dtype::f16 && h.rest.mode == Plane::Mode::six) return damaged("a plane too narrow");
      if (h.layout.dtype == Dtype::f32) {
        for (Plane& p : h.low) p = TRY(read_plane(in));
        if (h.low[0].mode == Plane::Mode::six || h.low[1].mode == Plane::Mode::six) return damaged("a plane too narrow");
      }
      break;
    }
    case Scheme::difference: {
      h.lowest = in.get<std::int16_t>();
      for (std::uint8_t& c : h.contexts) {
        c = in.get<std::uint8_t>();
        if (c >= h.tables.size()) return damaged("a table that is not there");
      }
      break;
    }
    case Scheme::twin:
      h.offset = in.get<std::uint32_t>();
      if (h.tables.size() != 1) return damaged("a number of tables that cannot be");
      for (Plane& p : h.low) p = TRY(read_plane(in));
      if (h.low[0].mode == Plane::Mode::six || h.low[1].mode == Plane::Mode::six) return damaged("a plane too narrow");
      break;
  }
  if (!in.ok()) return damaged("side information is cut short");
  if (in.left() != 0) return damaged("side information is too long");
  return {};
}

bool scheme_takes(const Head& h) {
  const bool delta = h.kind == Kind::delta;
  switch (h.scheme) {
    case Scheme::bytes: return !delta;
    case Scheme::floats: return !delta && has_exponent(h.layout.dtype);
    case Scheme::difference: return delta && has_exponent(h.layout.dtype) && h.base.dtype == h.layout.dtype;
    case Scheme::twin: return delta && h.layout.dtype == Dtype::f32 && (h.base.dtype == Dtype::bf16 || h.base.dtype == Dtype::f16);
  }
  return false;
}

// The first 32 bytes. Version and magic first: a newer version may have other fields behind them.
Result<Head> read_start(ByteReader& in) {
  if (in.get<std::uint32_t>() != kMagic || !in.ok()) return damaged("bad magic");
  if (in.get<std::uint8_t>() != kVersion) return fail(Code::unsupported, "coded tensor: a version that this program does not know");
  Head h;
  const auto kind = in.get<std::uint8_t>(), dtype = in.get<std::uint8_t>();
  h.layout.phase = in.get<std::uint8_t>();
  h.size = in.get<std::uint64_t>();
  h.layout.rows = in.get<std::uint64_t>();
  h.layout.columns = in.get<std::uint64_t>();
  if (!in.ok()) return damaged("the head is cut short");
  if (kind > 2 || dtype > 15) return damaged("an unknown kind or dtype");
  h.kind = static_cast<Kind>(kind);
  h.layout.dtype = static_cast<Dtype>(dtype);
  if (h.size > kMostSize || h.layout.phase >= h.width() || h.layout.phase > h.size ||
      (h.layout.rows != 0 && h.layout.columns > h.elements() / h.layout.rows)) {
    return damaged("a layout longer than its tensor");
  }
  return h;
}

}  // namespace

bool has_exponent(Dtype dtype) { return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32; }

void write_plain_head(ByteWriter& out, const Layout& layout, std::uint64_t size) {
  out.put(kMagic);
  out.put(kVersion);
  out.put(static_cast<std::uint8_t>(Kind::plain));
  out.put(static_cast<std::uint8_t>(layout.dtype));
  out.put(layout.phase);
  out.put(size);
  out.put(layout.rows);
  out.put(layout.columns);
}

std::vector<std::byte> write_head(const Head& h, std::span<const Block> blocks) {
  ByteWriter side;
  write_side(side, h);
  ByteWriter out;
  out.put(kMagic);
  out.put(kVersion);
  out.put(static_cast<std::uint8_t>(h.kind));
  out.put(static_cast<std::uint8_t>(h.layout.dtype));
  out.put(h.layout.phase);
  out.put(h.size);
  out.put(h.layout.rows);
  out.put(h.layout.columns);
  out.put(static_cast<std::uint8_t>(h.scheme));
  out.put(static_cast<std::uint8_t>(h.base.dtype));
  out.put(h.base.phase);
  out.put(std::uint8_t{0});
  out.put(static_cast<std::uint32_t>(side.bytes().size()));
  out.put(h.base_size);
  out.put(std::uint32_t{0});  // room for what a later version may need
  ByteWriter table;
  for (const Block& b : blocks) {
    table.put(static_cast<std::uint32_t>(static_cast<std::uint32_t>(b.kind) << 30 | static_cast<std::uint32_t>(b.bytes)));
    table.put(b.checksum);
  }
  const std::uint32_t sum = checksum(side.bytes(), checksum(table.bytes(), checksum(out.bytes())));
  out.put(sum);
  out.put_bytes(table.bytes());
  out.put_bytes(side.bytes());
  return out.take();
}

Result<std::uint64_t> head_bytes(std::span<const std::byte> start, std::uint64_t coded_size) {
  ByteReader in(start);
  const Head h = TRY(read_start(in));
  if (h.kind == Kind::plain) {
    if (coded_size != kPlainHead + h.size) return damaged("cut short, or longer than it says");
    return std::uint64_t{kPlainHead};
  }
  in.get<std::uint32_t>();
  const auto side = in.get<std::uint32_t>();
  if (!in.ok()) return damaged("the head is cut short");
  const std::uint64_t bytes = kCodedHead + h.blocks() * kBlockEntry + side;  // size is at most 2^40, so nothing overflows
  if (bytes > coded_size) return damaged("the head is cut short");
  return bytes;
}

Result<Parsed> parse_head(std::span<const std::byte> bytes, std::uint64_t coded_size) {
  ByteReader in(bytes);
  Parsed p;
  Head& h = p.head;
  h = TRY(read_start(in));
  const std::uint64_t need = TRY(head_bytes(bytes.first(std::min(bytes.size(), kCodedHead)), coded_size));
  if (bytes.size() < need) return damaged("the head is cut short");
  if (h.kind != Kind::plain) {
    const auto scheme = in.get<std::uint8_t>(), base_dtype = in.get<std::uint8_t>();
    h.base.phase = in.get<std::uint8_t>();
    in.get<std::uint8_t>();
    in.get<std::uint32_t>();
    h.base_size = in.get<std::uint64_t>();
    in.get<std::uint32_t>();
    const auto sum = in.get<std::uint32_t>();
    if (checksum(bytes.subspan(kCodedHead, static_cast<std::size_t>(need) - kCodedHead), checksum(bytes.first(kCodedHead - 4))) != sum) {
      return damaged("the head's checksum is wrong");
    }
    if (scheme > 3 || base_dtype > 15) return damaged("an unknown scheme or dtype");
    h.scheme = static_cast<Scheme>(scheme);
    h.base.dtype = static_cast<Dtype>(base_dtype);
    if (h.base.phase >= width_of(h.base.dtype) || h.base.phase > h.base_size || !scheme_takes(h)) return damaged("a scheme that does not go with its dtype");
    std::uint64_t at = need;
    p.info.blocks.reserve(static_cast<std::size_t>(h.blocks()));
    for (std::uint64_t i = 0; i < h.blocks(); ++i) {
      const auto entry = in.get<std::uint32_t>();
      const std::uint64_t length = entry & 0x3FFFFFFFU, decoded = std::min(kBlockBytes, h.body() - i * kBlockBytes);
      const unsigned kind = entry >> 30;
      const Block b{.kind = static_cast<BlockKind>(kind), .at = at, .checksum = in.get<std::uint32_t>(), .bytes = length};
      if (kind > 2 || (b.kind == BlockKind::plain && length != decoded) || (b.kind == BlockKind::copy && (length != 0 || h.scheme != Scheme::difference)) || length > kBlockBytes) {
        return damaged("a block that cannot be");
      }
      at += length;
      p.info.blocks.push_back(b);
    }
    if (at != coded_size) return damaged("cut short, or longer than it says");
    ByteReader side(bytes.subspan(in.position(), static_cast<std::size_t>(need) - in.position()));
    TRY(read_side(side, h));
  }
  p.info.kind = h.kind;
  p.info.layout = h.layout;
  p.info.size = h.size;
  p.info.base_size = h.base_size;
  p.info.coded_size = coded_size;
  return p;
}

}  // namespace mlxcache::codec
