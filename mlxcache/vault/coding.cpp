// How an object is kept, and how it comes back.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "mlxbase/core/bytes.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/pack.h"
#include "mlxcache/vault/reader.h"
#include "mlxcache/vault/recipe.h"

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
    case Kind::derived: {
      if (head.bases.size() != 1) return fail(Code::corrupt, "a recipe has one base");
      const Recipe recipe = TRY(parse_recipe(payload));
      const auto base = TRY(read_at(head.bases.front(), depth + 1));
      TRY(check_recipe(recipe, base.size(), head.size));
      std::vector<std::byte> out(static_cast<std::size_t>(head.size));
      make(recipe, base, out);
      return out;
    }
    case Kind::pieces: break;
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

bool Vault::derive(Choice& choice, std::span<const std::byte> bytes) {
  constexpr std::uint64_t kLeast = 4096;     // shorter ones are not cut out by themselves
  constexpr std::size_t kLike = 6, kNear = 48;  // bases to try: those found by their values, those found by their place
  constexpr std::uint64_t kProbe = 4096;     // elements of a base that are looked at first
  Head& head = choice.head;
  const std::uint64_t columns = head.layout.columns;
  if (bytes.size() < kLeast || columns == 0 || columns > bytes.size() || head.layout.phase != 0) return false;
  const auto dtype = static_cast<codec::Dtype>(head.layout.dtype);
  Reader reader(*this, 2 * codec::kBlockBytes);
  // Of bases with so many columns and rows, in this order; the recipes differ in their input, which is the base's.
  const auto try_bases = [&](std::uint64_t base_columns, std::uint64_t rows, const std::vector<std::size_t>& order, const std::vector<Recipe>& recipes) {
    for (const std::size_t number : order) {
      Digest digest;
      codec::Sketch sketch;
      {
        const std::lock_guard guard(mutex_);
        std::tie(digest, sketch) = candidates_.at(base_columns).at(number);
      }
      const auto base = find(digest);
      const std::uint64_t elements = rows * base_columns, width = codec::width_of(sketch.dtype);
      if (!base || !is_castable(sketch.dtype) || sketch.rows != rows || base->size != elements * width || base->layout.phase != 0 || base->depth >= kMaxDepth) continue;
      std::vector<std::byte> start(static_cast<std::size_t>(std::min(elements, kProbe) * width)), made;
      if (!reader.read(digest, 0, start)) continue;  // a damaged base is no base
      for (Recipe recipe : recipes) {
        recipe.input = sketch.dtype;
        if (recipe.through == recipe.input || (recipe.maker == Recipe::Maker::cast && recipe.input == dtype)) continue;
        const std::uint64_t unit = recipe.unit_elements();
        if (base_columns % unit != 0 || elements / unit * recipe.unit_bytes() != bytes.size()) continue;
        const std::uint64_t units = std::min(elements, kProbe) / unit;
        made.resize(static_cast<std::size_t>(units * recipe.unit_bytes()));
        make(recipe, std::span(start).first(static_cast<std::size_t>(units * recipe.unit_input())), made);
        if (!std::equal(made.begin(), made.end(), bytes.begin())) continue;
        const auto whole = read(digest);
        if (!whole || whole->size() != base->size) break;
        made.resize(bytes.size());
        make(recipe, *whole, made);
        if (!std::equal(made.begin(), made.end(), bytes.begin())) continue;
        head.kind = Kind::derived;
        head.bases = {digest};
        head.depth = static_cast<std::uint8_t>(base->depth + 1);
        choice.payload = encode_recipe(recipe);
        head.payload = choice.payload.size();
        const std::lock_guard guard(mutex_);
        last_made_[base_columns] = number;
        return true;
      }
    }
    return false;
  };
  const auto alike = [&](const codec::Sketch& sketch) {
    const std::lock_guard guard(mutex_);
    const auto among = candidates_.find(sketch.columns);
    return among == candidates_.end() ? std::vector<std::size_t>() : among->second.likest(sketch, kLike);
  };
  // Codes, scales and biases by themselves do not tell the values; but files keep their tensors in much the same order.
  const auto around = [&](std::uint64_t base_columns, std::uint64_t rows) {
    const std::lock_guard guard(mutex_);
    const auto among = candidates_.find(base_columns);
    const auto last = last_made_.find(base_columns);
    return among == candidates_.end() ? std::vector<std::size_t>() : among->second.around(last == last_made_.end() ? 0 : last->second, rows, kNear);
  };
  using Maker = Recipe::Maker;
  constexpr std::array<std::uint8_t, 6> kBits{4, 8, 6, 5, 3, 2};
  constexpr std::array<std::uint16_t, 3> kGroups{64, 32, 128};
  if (is_castable(dtype)) {
    const codec::Layout layout = codec_layout(head.layout, bytes.size());
    if (try_bases(columns, layout.rows, alike(codec::sketch(bytes, layout)), {{.maker = Maker::cast, .output = static_cast<std::uint8_t>(dtype)}})) return true;
    for (const std::uint16_t group : kGroups) {
      std::vector<Recipe> recipes{{.maker = Maker::mlx_biases, .output = static_cast<std::uint8_t>(dtype), .bits = 4, .group = group}};
      for (const std::uint8_t bits : kBits) recipes.push_back({.maker = Maker::mlx_scales, .output = static_cast<std::uint8_t>(dtype), .bits = bits, .group = group});
      if (try_bases(columns * group, layout.rows, around(columns * group, layout.rows), recipes)) return true;
    }
    return false;
  }
  if (head.layout.dtype == Dtype::packed) {
    for (const std::uint8_t bits : kBits) {
      if (columns * 32 % bits != 0 || bytes.size() % (columns * 4) != 0) continue;
      std::vector<Recipe> recipes;
      for (const std::uint16_t group : kGroups) recipes.push_back({.maker = Maker::mlx_weight, .bits = bits, .group = group});
      const std::uint64_t rows = bytes.size() / (columns * 4);
      if (try_bases(columns * 32 / bits, rows, around(columns * 32 / bits, rows), recipes)) return true;
    }
    return false;
  }
  std::vector<std::uint32_t> types;
  if (head.layout.dtype == Dtype::q8_0) types = {kGgufQ8_0};
  if (head.layout.dtype == Dtype::q4_0) types = {kGgufQ4_0};
  if (head.layout.dtype == Dtype::q4_1) types = {kGgufQ4_1};
  if (head.layout.dtype == Dtype::blocks) types = {kGgufQ5_0, kGgufQ5_1};
  for (const std::uint32_t type : types) {
    const std::uint64_t row = columns / 32 * gguf_block_bytes(type);
    if (columns % 32 != 0 || bytes.size() % row != 0) continue;
    const auto values = widen_blocks(type, bytes);
    if (!values) continue;
    std::vector<Recipe> recipes;
    for (const codec::Dtype through : {codec::Dtype::bytes, codec::Dtype::f16, codec::Dtype::bf16}) {
      for (const auto rounding : {Recipe::Rounding::each, Recipe::Rounding::none, Recipe::Rounding::sum}) {
        recipes.push_back({.maker = Maker::gguf, .through = through, .output = static_cast<std::uint8_t>(type), .rounding = rounding});
      }
    }
    const std::uint64_t rows = bytes.size() / row;
    if (try_bases(columns, rows, alike(codec::sketch(*values, {codec::Dtype::f32, rows, columns, 0})), recipes)) return true;
  }
  return false;
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
    if (copies_of(digest).empty() && derive(choice, bytes)) return choice;
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
  } else if (copies_of(digest).empty() && derive(choice, bytes)) {
    return choice;
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
