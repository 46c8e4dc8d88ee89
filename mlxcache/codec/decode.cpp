#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "mlxbase/core/parallel.h"
#include "mlxcache/codec/block.h"

namespace mlxcache::codec {
namespace {

using mlxbase::Code;
using mlxbase::fail;

std::unexpected<mlxbase::Error> cut_short() { return fail(Code::corrupt, "coded tensor: cut short"); }

Status fill(const ByteSource& source, std::uint64_t offset, std::span<std::byte> out) {
  const std::size_t got = TRY(source.read(offset, out));
  if (got != out.size()) return cut_short();
  return {};
}

/// Decodes blocks of one tensor; coded bytes and base are in memory for one block at a time.
struct Blocks {
  const Head& head;
  const Info& info;
  const DecodeTables& tables;
  const Kernels& kernels;

  std::uint64_t first(std::uint64_t block) const { return block * (kBlockBytes / head.width()); }
  std::size_t elements(std::uint64_t block) const {
    return static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes / head.width(), head.elements() - first(block)));
  }
  Status decode(BlockDecoder& decoder, std::uint64_t block, std::span<const std::byte> coded, const std::uint8_t* base, std::uint8_t* out) const {
    const std::size_t n = elements(block);
    if (kernels.checksum(reinterpret_cast<const std::uint8_t*>(coded.data()), coded.size()) != info.blocks[static_cast<std::size_t>(block)].checksum) {
      return fail(Code::corrupt, "coded tensor: the checksum of a block is wrong");
    }
    switch (info.blocks[static_cast<std::size_t>(block)].kind) {
      case BlockKind::plain: std::memcpy(out, coded.data(), n * head.width()); return {};
      case BlockKind::copy: std::memcpy(out, base, n * head.width()); return {};
      case BlockKind::coded: return decoder.decode(first(block), n, coded, base, out);
    }
    return {};
  }
};

}  // namespace

Result<Info> inspect(std::span<const std::byte> coded) {
  const std::uint64_t need = TRY(head_bytes(coded.first(std::min(coded.size(), kCodedHead)), coded.size()));
  auto parsed = TRY(parse_head(coded.first(static_cast<std::size_t>(need)), coded.size()));
  return std::move(parsed.info);
}

Status decode(std::span<const std::byte> coded, std::span<const std::byte> base, std::span<std::byte> out, const Options& options) try {
  const std::uint64_t need = TRY(head_bytes(coded.first(std::min(coded.size(), kCodedHead)), coded.size()));
  const auto parsed = TRY(parse_head(coded.first(static_cast<std::size_t>(need)), coded.size()));
  const Head& h = parsed.head;
  if (out.size() != h.size) return fail(Code::invalid, "decode a tensor: the room for it has another size");
  if (h.kind == Kind::plain) {
    if (!out.empty()) std::memcpy(out.data(), coded.data() + kPlainHead, out.size());
    return {};
  }
  if (h.kind == Kind::delta && base.size() != h.base_size) return fail(Code::invalid, "decode a tensor: the base has another size");
  auto* to = reinterpret_cast<std::uint8_t*>(out.data());
  std::copy_n(h.edge.begin(), h.layout.phase, out.begin());
  std::copy(h.edge.begin() + h.layout.phase, h.edge.end(), out.begin() + static_cast<std::ptrdiff_t>(h.layout.phase + h.body()));
  const DecodeTables tables(h);
  const Blocks blocks{h, parsed.info, tables, kernels_of(options.kernel)};
  const unsigned threads = static_cast<unsigned>(std::clamp<std::uint64_t>(options.threads, 1, std::max<std::uint64_t>(1, h.blocks())));
  std::atomic<std::uint64_t> next{0};
  std::mutex lock;
  Status result;
  mlxbase::parallel_for(threads, threads, [&](std::size_t) {
    BlockDecoder decoder(h, tables, blocks.kernels);
    BaseView view(h, base);
    for (std::uint64_t b = next.fetch_add(1); b < h.blocks(); b = next.fetch_add(1)) {
      const Block& block = parsed.info.blocks[static_cast<std::size_t>(b)];
      const auto bytes = coded.subspan(static_cast<std::size_t>(block.at), static_cast<std::size_t>(block.bytes));
      auto done = blocks.decode(decoder, b, bytes, view.at(blocks.first(b), blocks.elements(b)), to + h.layout.phase + b * kBlockBytes);
      if (done) continue;
      const std::lock_guard guard(lock);
      result = std::move(done);
      next = h.blocks();
    }
  });
  return result;
} catch (const std::bad_alloc&) {
  return fail(Code::out_of_memory, "decode a tensor: not enough memory");
}

struct Decoder::Parts {
  ByteSource coded, base;
  Head head;
  Info info;
  DecodeTables tables;
  const Kernels& kernels;
};

Decoder::Decoder(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;
const Info& Decoder::info() const { return parts_->info; }

Result<Decoder> Decoder::open(ByteSource coded, ByteSource base, Kernel kernel) try {
  std::vector<std::byte> start(kCodedHead);
  start.resize(TRY(coded.read(0, start)));
  const std::uint64_t need = TRY(head_bytes(start, coded.size));
  std::vector<std::byte> head(static_cast<std::size_t>(need));
  TRY(fill(coded, 0, head));
  auto parsed = TRY(parse_head(head, coded.size));
  if (parsed.head.kind == Kind::delta && base.size != parsed.head.base_size) return fail(Code::invalid, "open a coded tensor: the base has another size");
  DecodeTables tables(parsed.head);
  return Decoder(std::make_unique<Parts>(
      Parts{std::move(coded), std::move(base), std::move(parsed.head), std::move(parsed.info), std::move(tables), kernels_of(kernel)}));
} catch (const std::bad_alloc&) {
  return fail(Code::out_of_memory, "open a coded tensor: not enough memory");
}

Status Decoder::read(std::uint64_t offset, std::span<std::byte> out) const try {
  const Head& h = parts_->head;
  if (offset > h.size || out.size() > h.size - offset) return fail(Code::invalid, "read a coded tensor: past its end");
  if (out.empty()) return {};
  if (h.kind == Kind::plain) return fill(parts_->coded, kPlainHead + offset, out);
  const Blocks blocks{h, parts_->info, parts_->tables, parts_->kernels};
  const std::uint64_t phase = h.layout.phase, body_end = phase + h.body();
  std::unique_ptr<BlockDecoder> decoder;
  std::vector<std::byte> coded, base, whole;
  for (std::uint64_t at = offset; at < offset + out.size();) {
    std::byte* to = out.data() + (at - offset);
    const std::uint64_t left = offset + out.size() - at;
    if (at < phase || at >= body_end) {
      *to = h.edge[static_cast<std::size_t>(at < phase ? at : at - h.body())];
      ++at;
      continue;
    }
    const std::uint64_t b = (at - phase) / kBlockBytes, begin = phase + b * kBlockBytes;
    const std::size_t n = blocks.elements(b), bytes = n * h.width(), skip = static_cast<std::size_t>(at - begin);
    const auto many = static_cast<std::size_t>(std::min<std::uint64_t>(left, bytes - skip));
    const Block& block = parts_->info.blocks[static_cast<std::size_t>(b)];
    if (block.kind == BlockKind::plain) {
      TRY(fill(parts_->coded, block.at + skip, {to, many}));
      at += many;
      continue;
    }
    const std::size_t base_width = width_of(h.base.dtype);
    if (h.kind == Kind::delta) {
      // What the base lacks is zero.
      base.assign(n * base_width, std::byte{0});
      const std::uint64_t from = h.base.phase + blocks.first(b) * base_width;
      if (from < h.base_size) TRY(fill(parts_->base, from, std::span(base).first(static_cast<std::size_t>(std::min<std::uint64_t>(base.size(), h.base_size - from)))));
    }
    coded.resize(static_cast<std::size_t>(block.bytes));
    TRY(fill(parts_->coded, block.at, coded));
    if (decoder == nullptr) decoder = std::make_unique<BlockDecoder>(h, parts_->tables, parts_->kernels);
    std::byte* place = to;
    if (many < bytes) {
      whole.resize(bytes);
      place = whole.data();
    }
    TRY(blocks.decode(*decoder, b, coded, reinterpret_cast<const std::uint8_t*>(base.data()), reinterpret_cast<std::uint8_t*>(place)));
    if (many < bytes) std::memcpy(to, whole.data() + skip, many);
    at += many;
  }
  return {};
} catch (const std::bad_alloc&) {
  return fail(Code::out_of_memory, "read a coded tensor: not enough memory");
}

Status decode_range(std::span<const std::byte> coded, std::span<const std::byte> base, std::uint64_t offset, std::span<std::byte> out) {
  const auto decoder = TRY(Decoder::open(ByteSource::of(coded), ByteSource::of(base)));
  return decoder.read(offset, out);
}

}  // namespace mlxcache::codec
