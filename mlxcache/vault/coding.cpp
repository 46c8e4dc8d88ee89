// How an object is kept, and how it comes back.
#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/bytes.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/pack.h"

namespace mlxcache::vault {

using mlxbase::ByteReader;
using mlxbase::ByteWriter;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

namespace {

constexpr std::uint64_t kLeastSketched = 16384;  // shorter ones gain less than their sketch takes

}  // namespace

std::string encode_sketch(const codec::Sketch& sketch) {
  ByteWriter w;
  w.put(static_cast<std::uint8_t>(sketch.dtype));
  w.put(sketch.columns);
  w.put(sketch.rows);
  for (const std::uint16_t v : sketch.values) w.put(v);
  return std::string(mlxbase::as_text(w.bytes()));
}

std::optional<codec::Sketch> sketch_of(const Head& head) {
  if (head.sketch.empty()) return std::nullopt;
  ByteReader r(mlxbase::as_bytes(head.sketch));
  codec::Sketch sketch;
  sketch.dtype = static_cast<codec::Dtype>(r.get<std::uint8_t>());
  sketch.columns = r.get<std::uint64_t>();
  sketch.rows = r.get<std::uint64_t>();
  for (std::uint16_t& v : sketch.values) v = r.get<std::uint16_t>();
  if (!r.ok() || r.left() != 0 || sketch.dtype > codec::Dtype::boolean) return std::nullopt;
  return sketch;
}

codec::Layout codec_layout(const Layout& layout, std::uint64_t bytes) {
  if (layout.dtype > Dtype::boolean) return codec::Layout::flat(codec::Dtype::bytes, bytes);
  const auto dtype = static_cast<codec::Dtype>(layout.dtype);
  const std::uint64_t width = codec::width_of(dtype);
  if (layout.phase >= width || layout.phase > bytes) return codec::Layout::flat(codec::Dtype::bytes, bytes);
  const std::uint64_t elements = (bytes - layout.phase) / width;
  if (layout.columns == 0 || layout.columns > elements) return codec::Layout::flat(dtype, bytes, layout.phase);
  return {dtype, elements / layout.columns, layout.columns, layout.phase};
}

Result<std::vector<std::byte>> Vault::decode(const Head& head, std::vector<std::byte> payload, int depth) {
  if (depth > kMaxDepth || head.depth > kMaxDepth) return fail(Code::corrupt, "it needs more bases one behind the other than there may be");
  switch (head.kind) {
    case Kind::plain:
      if (payload.size() != head.size) return fail(Code::corrupt, "it has another length than its head says");
      return payload;
    case Kind::coded:
    case Kind::delta: {
      std::vector<std::byte> base;
      if (head.kind == Kind::delta) {
        if (head.bases.size() != 1) return fail(Code::corrupt, "a difference has one base");
        base = TRY(read_at(head.bases.front(), depth + 1));
      }
      std::vector<std::byte> out(static_cast<std::size_t>(head.size));
      TRY(codec::decode(payload, base, out));
      return out;
    }
    case Kind::pieces:
    case Kind::derived: break;
  }
  return fail(Code::unsupported, "it is kept in a way that this program does not know");
}

std::optional<Vault::Place> Vault::nearest(const codec::Sketch& sketch, std::uint64_t bytes) const {
  const std::lock_guard guard(mutex_);
  const auto among = candidates_.find(sketch.columns);
  if (among == candidates_.end()) return std::nullopt;
  const Digest* found = among->second.nearest(sketch, bytes);
  const auto at = found == nullptr ? places_.end() : places_.find(*found);
  if (at == places_.end()) return std::nullopt;
  return at->second;
}

Result<Vault::Choice> Vault::choose(const Digest& digest, std::span<const std::byte> bytes, const Layout& layout) {
  Choice choice;
  Head& head = choice.head;
  head.digest = digest;
  head.layout = layout;
  head.size = bytes.size();
  if (layout.dtype == Dtype::bytes && bytes.size() >= kLeastSketched) {
    const codec::Detected detected = codec::detect(bytes);
    head.layout.dtype = static_cast<Dtype>(detected.dtype);
    head.layout.phase = detected.phase;
  }
  const codec::Layout as_coded = codec_layout(head.layout, bytes.size());
  std::vector<std::byte> base;
  std::optional<Place> near;
  codec::Layout base_layout;
  if (bytes.size() >= kLeastSketched && head.layout.dtype > Dtype::bytes && head.layout.dtype <= Dtype::boolean) {
    const codec::Sketch sketch = codec::sketch(bytes, as_coded);
    head.sketch = encode_sketch(sketch);
    near = nearest(sketch, bytes.size());
    // Where it takes the place of a copy that is no good, others may be coded against it: it may not lie deeper than that.
    for (const Place& copy : copies_of(digest)) {
      if (near && near->entry.head.depth >= copy.entry.head.depth) near.reset();
    }
    if (near) {
      if (auto read = this->read(near->entry.head.digest)) {
        base = std::move(*read);
        base_layout = codec_layout(near->entry.head.layout, base.size());
      } else {
        near.reset();  // a damaged base is no base
      }
    }
  }
  std::vector<std::byte> coded = TRY(codec::encode(bytes, as_coded, base, near ? &base_layout : nullptr));
  const codec::Info info = TRY(codec::inspect(coded));
  switch (info.kind) {
    case codec::Kind::plain:
      head.kind = Kind::plain;
      choice.payload.assign(bytes.begin(), bytes.end());
      break;
    case codec::Kind::alone:
      head.kind = Kind::coded;
      choice.payload = std::move(coded);
      break;
    case codec::Kind::delta:
      head.kind = Kind::delta;
      head.bases = {near->entry.head.digest};
      head.depth = static_cast<std::uint8_t>(near->entry.head.depth + 1);
      choice.payload = std::move(coded);
      break;
  }
  head.payload = choice.payload.size();
  return choice;
}

}  // namespace mlxcache::vault
