// A first correct implementation: everything plain.
#include "mlxcache/codec/codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mlxbase/core/bytes.h"

namespace mlxcache::codec {
namespace {
using mlxbase::Code;
using mlxbase::fail;
constexpr std::uint32_t kMagic = 0x44434C4D;  // "MLCD"
constexpr std::size_t kHeadBytes = 32;

bool fits(const Layout& layout, std::uint64_t bytes) {
  const std::uint64_t width = width_of(layout.dtype);
  if (layout.phase >= width || layout.phase > bytes) return false;
  const std::uint64_t elements = (bytes - layout.phase) / width;
  return layout.rows == 0 || layout.columns <= elements / layout.rows;
}

Result<Info> parse(std::span<const std::byte> head, std::uint64_t coded_size) {
  mlxbase::ByteReader in(head);
  if (in.get<std::uint32_t>() != kMagic) return fail(Code::corrupt, "coded tensor: bad magic");
  if (in.get<std::uint8_t>() != 1) return fail(Code::unsupported, "coded tensor: a version that this program does not know");
  Info info;
  const auto kind = in.get<std::uint8_t>();
  const auto dtype = in.get<std::uint8_t>();
  info.layout.phase = in.get<std::uint8_t>();
  info.size = in.get<std::uint64_t>();
  info.layout.rows = in.get<std::uint64_t>();
  info.layout.columns = in.get<std::uint64_t>();
  if (!in.ok() || kind != 0 || dtype > 15) return fail(Code::corrupt, "coded tensor: damaged head");
  info.layout.dtype = static_cast<Dtype>(dtype);
  info.coded_size = coded_size;
  if (coded_size - kHeadBytes != info.size || !fits(info.layout, info.size)) return fail(Code::corrupt, "coded tensor: damaged head");
  return info;
}
}  // namespace

std::vector<Kernel> kernels() { return {Kernel::scalar}; }

Result<std::vector<std::byte>> encode(std::span<const std::byte> tensor, const Layout& layout, std::span<const std::byte> base, const Layout* base_layout,
                                      const Options&) {
  if (!fits(layout, tensor.size()) || (base_layout != nullptr && !fits(*base_layout, base.size()))) {
    return fail(Code::invalid, "code a tensor: its layout is longer than its bytes");
  }
  mlxbase::ByteWriter out;
  out.put(kMagic);
  out.put(std::uint8_t{1});
  out.put(std::uint8_t{0});
  out.put(static_cast<std::uint8_t>(layout.dtype));
  out.put(layout.phase);
  out.put(static_cast<std::uint64_t>(tensor.size()));
  out.put(layout.rows);
  out.put(layout.columns);
  out.put_bytes(tensor);
  return out.take();
}

Result<Info> inspect(std::span<const std::byte> coded) { return parse(coded.first(std::min(coded.size(), kHeadBytes)), coded.size()); }

struct Decoder::Parts {
  ByteSource coded;
  Info info;
};
Decoder::Decoder(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;
const Info& Decoder::info() const { return parts_->info; }

Result<Decoder> Decoder::open(ByteSource coded, ByteSource, Kernel) {
  std::array<std::byte, kHeadBytes> head{};
  const std::size_t got = TRY(coded.read(0, head));
  auto info = TRY(parse(std::span{head}.first(got), coded.size));
  return Decoder(std::make_unique<Parts>(Parts{.coded = std::move(coded), .info = std::move(info)}));
}

Status Decoder::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > parts_->info.size || out.size() > parts_->info.size - offset) return fail(Code::invalid, "read a coded tensor: past its end");
  const std::size_t got = TRY(parts_->coded.read(kHeadBytes + offset, out));
  if (got != out.size()) return fail(Code::corrupt, "coded tensor: cut short");
  return {};
}

Status decode_range(std::span<const std::byte> coded, std::span<const std::byte> base, std::uint64_t offset, std::span<std::byte> out) {
  const auto decoder = TRY(Decoder::open(ByteSource::of(coded), ByteSource::of(base)));
  return decoder.read(offset, out);
}

Status decode(std::span<const std::byte> coded, std::span<const std::byte> base, std::span<std::byte> out, const Options&) {
  const auto decoder = TRY(Decoder::open(ByteSource::of(coded), ByteSource::of(base)));
  if (out.size() != decoder.info().size) return fail(Code::invalid, "decode a tensor: the room for it has another size");
  return decoder.read(0, out);
}

Estimate estimate(std::span<const std::byte> tensor, const Layout&, std::span<const std::byte>, const Layout*) {
  return {.kind = Kind::plain, .bytes = tensor.size() + kPlainOverhead};
}

Sketch sketch(std::span<const std::byte>, const Layout& layout) { return {.dtype = layout.dtype, .columns = layout.columns, .rows = layout.rows, .values = {}}; }
double similarity(const Sketch&, const Sketch&) { return 0; }
Detected detect(std::span<const std::byte>) { return {}; }

}  // namespace mlxcache::codec
