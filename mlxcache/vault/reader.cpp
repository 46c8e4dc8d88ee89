#include "mlxcache/vault/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/gguf.h"
#include "mlxbase/format/safetensors.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/recipe.h"

namespace mlxcache::vault {

using mlxbase::ByteSource;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

namespace {

constexpr std::uint64_t kMostRecipe = 4096;
constexpr std::size_t kMostObjects = 48;  // open ones: each has up to 0.6 MiB of tables

Status fill(const ByteSource& source, std::uint64_t offset, std::span<std::byte> out) {
  const std::size_t got = TRY(source.read(offset, out));
  if (got != out.size()) return fail(Code::corrupt, "its payload is cut short");
  return {};
}

}  // namespace

struct Reader::Object {
  Digest digest;
  Head head;
  ByteSource payload;
  std::optional<codec::Decoder> decoder;  // neither this nor a recipe: the payload is the bytes
  std::optional<Recipe> recipe;
  std::shared_ptr<const Object> base;  // of the recipe

  // Blocks as the codec cuts them: the first one has the phase as well, the last one what is left.
  std::uint64_t phase() const { return decoder ? decoder->info().layout.phase : 0; }
  /// Of a recipe: whole units, made of 128 Ki elements of its base at most.
  std::uint64_t grain() const { return recipe ? codec::kBlockBytes / 2 / recipe->unit_elements() * recipe->unit_bytes() : codec::kBlockBytes; }
  std::uint64_t blocks() const { return std::max<std::uint64_t>(1, (head.size - std::min(head.size, phase()) + grain() - 1) / grain()); }
  std::uint64_t block_of(std::uint64_t offset) const { return offset < phase() ? 0 : (offset - phase()) / grain(); }
  std::uint64_t begin_of(std::uint64_t number) const { return number == 0 ? 0 : phase() + number * grain(); }
  std::uint64_t end_of(std::uint64_t number) const { return number + 1 >= blocks() ? head.size : begin_of(number + 1); }
};

Reader::Reader(Vault& vault, std::uint64_t cache_bytes) : vault_(vault), cache_bytes_(cache_bytes) {}
Reader::~Reader() = default;

Reader::Counts Reader::counts() const {
  const std::lock_guard guard(mutex_);
  return counts_;
}

Result<std::shared_ptr<const Reader::Object>> Reader::object(const Digest& digest) {
  {
    const std::lock_guard guard(mutex_);
    const auto at = std::find_if(objects_.begin(), objects_.end(), [&](const auto& o) { return o.first == digest; });
    if (at != objects_.end()) {
      objects_.splice(objects_.begin(), objects_, at);
      return at->second;
    }
  }
  Vault::Stored stored = TRY(vault_.stored(digest));
  auto made = std::make_shared<Object>();
  made->digest = digest;
  made->head = std::move(stored.head);
  made->payload = std::move(stored.payload);
  const auto named = [&](mlxbase::Error error) {
    if (error.code == Code::corrupt) error.message = fmt::format("object {}: {}", digest.hex().substr(0, 16), error.message);
    return fail(std::move(error));
  };
  if (made->head.depth > kMaxDepth) return named({Code::corrupt, "it needs more bases one behind the other than there may be"});
  switch (made->head.kind) {
    case Kind::plain:
      if (made->payload.size != made->head.size) return named({Code::corrupt, "it has another length than its head says"});
      break;
    case Kind::coded:
    case Kind::delta: {
      ByteSource base;
      if (made->head.kind == Kind::delta) {
        if (made->head.bases.size() != 1) return named({Code::corrupt, "a difference has one base"});
        const auto base_head = vault_.find(made->head.bases.front());
        if (base_head && base_head->depth >= made->head.depth) return named({Code::corrupt, "its base does not lie below it"});
        const auto below = TRY(object(made->head.bases.front()));
        if (below->head.depth >= made->head.depth) return named({Code::corrupt, "its base does not lie below it"});
        base.size = below->head.size;
        base.read = [this, below](std::uint64_t offset, std::span<std::byte> out) -> Result<std::size_t> {
          if (offset >= below->head.size) return std::size_t{0};
          const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), below->head.size - offset));
          TRY(read_object(*below, offset, out.first(n)));
          return n;
        };
      }
      auto decoder = codec::Decoder::open(made->payload, std::move(base));
      if (!decoder) return named(decoder.error());
      made->decoder = std::move(*decoder);
      if (made->decoder->info().size != made->head.size) return named({Code::corrupt, "it has another length than its head says"});
      break;
    }
    case Kind::derived: {
      if (made->head.bases.size() != 1) return named({Code::corrupt, "a recipe has one base"});
      if (made->payload.size > kMostRecipe) return named({Code::corrupt, "its recipe is damaged"});
      std::vector<std::byte> payload(static_cast<std::size_t>(made->payload.size));
      TRY(fill(made->payload, 0, payload));
      auto recipe = parse_recipe(payload);
      if (!recipe) return named(recipe.error());
      const auto base_head = vault_.find(made->head.bases.front());
      if (base_head && base_head->depth >= made->head.depth) return named({Code::corrupt, "its base does not lie below it"});
      made->base = TRY(object(made->head.bases.front()));
      if (made->base->head.depth >= made->head.depth) return named({Code::corrupt, "its base does not lie below it"});
      if (auto good = check_recipe(*recipe, made->base->head.size, made->head.size); !good) return named(good.error());
      made->recipe = *recipe;
      break;
    }
    case Kind::pieces: return fail(Code::unsupported, "it is kept in a way that this program does not know");
  }
  const std::lock_guard guard(mutex_);
  ++counts_.opened_objects;
  objects_.emplace_front(digest, made);
  if (objects_.size() > kMostObjects) objects_.pop_back();
  return std::shared_ptr<const Object>(std::move(made));
}

Reader::Block Reader::find_block(const Key& key) {
  const std::lock_guard guard(mutex_);
  const auto at = by_key_.find(key);
  if (at == by_key_.end()) return nullptr;
  ++counts_.found_blocks;
  blocks_.splice(blocks_.begin(), blocks_, at->second);
  return at->second->block;
}

void Reader::keep_block(Key key, Block block) {
  const std::lock_guard guard(mutex_);
  ++counts_.decoded_blocks;
  if (block->size() > cache_bytes_) return;
  blocks_.push_front({key, std::move(block)});
  const auto [at, fresh] = by_key_.try_emplace(std::move(key), blocks_.begin());
  if (!fresh) {
    blocks_.pop_front();
    return;
  }
  counts_.kept_bytes += blocks_.front().block->size();
  while (counts_.kept_bytes > cache_bytes_) {
    counts_.kept_bytes -= blocks_.back().block->size();
    by_key_.erase(blocks_.back().key);
    blocks_.pop_back();
  }
}

Result<Reader::Block> Reader::block(const Object& object, std::uint64_t number) {
  Key key{object.digest, number};
  if (auto kept = find_block(key)) return kept;
  std::array<std::mutex, 16>& turns = turns_[object.head.depth];
  const std::lock_guard turn(turns[(std::hash<Digest>{}(object.digest) + number) % turns.size()]);
  if (auto kept = find_block(key)) return kept;
  const std::uint64_t begin = object.begin_of(number);
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(object.end_of(number) - begin));
  const auto fill_block = [&]() -> Status {
    if (!object.recipe) return object.decoder->read(begin, *bytes);
    const std::uint64_t unit = object.recipe->unit_bytes();
    std::vector<std::byte> from(static_cast<std::size_t>(bytes->size() / unit * object.recipe->unit_input()));
    TRY(read_object(*object.base, begin / unit * object.recipe->unit_input(), from));
    make(*object.recipe, from, *bytes);
    return {};
  };
  if (auto read = fill_block(); !read) {
    mlxbase::Error error = read.error();
    if (error.code == Code::corrupt) error.message = fmt::format("object {}: {}", object.digest.hex().substr(0, 16), error.message);
    return fail(std::move(error));
  }
  keep_block(std::move(key), bytes);
  return Block(std::move(bytes));
}

Status Reader::read_object(const Object& object, std::uint64_t offset, std::span<std::byte> out) {
  if (offset > object.head.size || out.size() > object.head.size - offset) return fail(Code::invalid, "that lies beyond the object's end");
  if (!object.decoder && !object.recipe) return fill(object.payload, offset, out);
  while (!out.empty()) {
    const std::uint64_t number = std::min(object.block_of(offset), object.blocks() - 1);
    const Block have = TRY(block(object, number));
    const auto skip = static_cast<std::size_t>(offset - object.begin_of(number));
    const std::size_t n = std::min(out.size(), have->size() - skip);
    std::memcpy(out.data(), have->data() + skip, n);
    offset += n;
    out = out.subspan(n);
  }
  return {};
}

Status Reader::read(const Digest& digest, std::uint64_t offset, std::span<std::byte> out) {
  const auto once = [&]() -> Status {
    const auto opened = TRY(object(digest));
    return read_object(*opened, offset, out);
  };
  Status done = once();
  if (done || done.error().code == Code::invalid || done.error().code == Code::unsupported || !vault_.has_copies()) return done;
  // It, or a base of it, may be there a second time: reading all of it finds the copy that is good.
  if (!vault_.read(digest)) return done;
  {
    const std::lock_guard guard(mutex_);
    objects_.clear();
  }
  return once();
}

Result<FrozenFile> Reader::open(std::shared_ptr<const FrozenModel> model, std::size_t name) {
  const auto none = [] { return fail(Code::invalid, "that name of the frozen model is no file"); };
  if (name >= model->names.size()) return none();
  const FrozenName* n = &model->names[name];
  if (n->same_as != 0) n = &model->names[n->same_as - 1];
  if (n->kind != mlxbase::os::FileKind::regular) return none();
  return FrozenFile(*this, std::move(model), *n);
}

FrozenFile::FrozenFile(Reader& reader, std::shared_ptr<const FrozenModel> model, const FrozenName& name) : reader_(&reader), model_(std::move(model)), name_(&name) {
  std::vector<std::uint64_t> ends;
  ends.reserve(name.segments.size());
  std::uint64_t at = 0;
  for (const Segment& s : name.segments) ends.push_back(at += s.length);
  ends_ = std::make_shared<const std::vector<std::uint64_t>>(std::move(ends));
}

std::size_t FrozenFile::segment_at(std::uint64_t offset) const {
  return static_cast<std::size_t>(std::distance(ends_->begin(), std::upper_bound(ends_->begin(), ends_->end(), offset)));
}

Result<std::size_t> FrozenFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset >= size()) return std::size_t{0};
  out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size() - offset)));
  const std::size_t all = out.size();
  for (std::size_t i = segment_at(offset); !out.empty() && i < name_->segments.size(); ++i) {
    const Segment& s = name_->segments[i];
    const std::uint64_t skip = offset - ((*ends_)[i] - s.length);
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), s.length - skip));
    switch (s.what) {
      case Segment::What::literal: std::memcpy(out.data(), s.text.data() + skip, n); break;
      case Segment::What::zeros:
      case Segment::What::hole: std::fill_n(out.begin(), n, std::byte{0}); break;
      case Segment::What::object:
        if (auto read = reader_->read(s.object, s.offset + skip, out.first(n)); !read) {
          mlxbase::Error error = read.error();
          if (error.code == Code::invalid) error = {Code::corrupt, "a segment lies beyond its object's end"};
          error.message = fmt::format("{}: {}", mlxbase::printable(name_->path), error.message);
          return fail(std::move(error));
        }
        break;
    }
    offset += n;
    out = out.subspan(n);
  }
  return all - out.size();
}

ByteSource FrozenFile::source() const {
  return {size(), [file = *this](std::uint64_t offset, std::span<std::byte> out) { return file.read(offset, out); }};
}

std::uint64_t FrozenFile::seek(std::uint64_t offset, bool data) const {
  for (std::size_t i = segment_at(offset); i < name_->segments.size(); ++i) {
    const bool hole = name_->segments[i].what == Segment::What::hole;
    if (hole != data) return std::max(offset, (*ends_)[i] - name_->segments[i].length);
  }
  return size();
}

Result<std::vector<TensorPlace>> list_tensors(const FrozenFile& file) {
  const ByteSource source = file.source();
  std::array<std::byte, 4> magic{};
  const std::size_t got = TRY(source.read(0, magic));
  std::vector<TensorPlace> out;
  if (got == magic.size() && std::memcmp(magic.data(), "GGUF", magic.size()) == 0) {
    const auto header = TRY(mlxbase::gguf::read_header(source));
    for (const auto& t : header.tensors) {
      out.push_back({t.name, std::string(mlxbase::gguf::tensor_type_name(t.type)), {t.shape.rbegin(), t.shape.rend()}, header.data_start + t.offset, t.bytes});
    }
  } else {
    auto header = mlxbase::safetensors::read_header(source);
    if (!header && header.error().code == Code::corrupt && !file.name().path.ends_with(".safetensors")) {
      return fail(Code::unsupported, fmt::format("{} is neither a safetensors nor a GGUF file", mlxbase::printable(file.name().path)));
    }
    if (!header) return fail(header.error());
    for (const auto& t : header->tensors) {
      out.push_back({t.name, std::string(mlxbase::safetensors::to_string(t.dtype)), t.shape, header->data_start() + t.begin, t.end - t.begin});
    }
  }
  for (const TensorPlace& t : out) {
    if (t.offset > file.size() || t.length > file.size() - t.offset) {
      return fail(Code::corrupt, fmt::format("{}: the tensor {} lies beyond the end of the file", mlxbase::printable(file.name().path), mlxbase::printable(t.name)));
    }
  }
  return out;
}

Result<std::vector<std::byte>> read_tensor(const FrozenFile& file, std::string_view name) {
  for (const TensorPlace& t : TRY(list_tensors(file))) {
    if (t.name != name) continue;
    std::vector<std::byte> bytes(static_cast<std::size_t>(t.length));
    const std::size_t got = TRY(file.read(t.offset, bytes));
    if (got != bytes.size()) return fail(Code::corrupt, fmt::format("{} ends within the tensor", mlxbase::printable(file.name().path)));
    return bytes;
  }
  return fail(Code::not_found, fmt::format("{} has no tensor '{}'", mlxbase::printable(file.name().path), mlxbase::printable(name)));
}

}  // namespace mlxcache::vault
