// PyTorch's files and NumPy's .npz are ZIP archives whose members lie in them uncompressed: each is a tensor.
#include <algorithm>
#include <optional>
#include <string>

#include "mlxbase/core/bytes.h"
#include "mlxcache/vault/cut.h"

namespace mlxcache::vault {

using mlxbase::ByteReader;
using mlxbase::ByteSource;

namespace {

constexpr std::uint32_t kEndMagic = 0x06054b50;
constexpr std::uint32_t kEnd64Magic = 0x06064b50;
constexpr std::uint32_t kLocator64Magic = 0x07064b50;
constexpr std::uint32_t kCentralMagic = 0x02014b50;
constexpr std::uint32_t kLocalMagic = 0x04034b50;
constexpr std::uint64_t kMostDirectory = std::uint64_t{256} << 20U;
constexpr std::size_t kMostNpyHeader = 65536;

/// Exactly that much, or nothing.
std::vector<std::byte> get(const ByteSource& source, std::uint64_t offset, std::uint64_t n) {
  if (offset > source.size || n > source.size - offset || n > kMostDirectory) return {};
  std::vector<std::byte> out(static_cast<std::size_t>(n));
  std::size_t have = 0;
  while (have < out.size()) {
    const auto got = source.read(offset + have, std::span(out).subspan(have));
    if (!got || *got == 0) return {};
    have += *got;
  }
  return out;
}

struct Directory {
  std::uint64_t offset = 0, bytes = 0;
};

std::optional<Directory> find_directory(const ByteSource& source) {
  constexpr std::uint64_t kEndBytes = 22;
  constexpr std::uint64_t kMostComment = 65535;
  if (source.size < kEndBytes) return std::nullopt;
  const std::uint64_t tail = std::min(source.size, kEndBytes + kMostComment);
  const auto bytes = get(source, source.size - tail, tail);
  if (bytes.empty()) return std::nullopt;
  for (std::size_t at = bytes.size() - kEndBytes + 1; at-- > 0;) {
    ByteReader r{std::span<const std::byte>(bytes).subspan(at)};
    if (r.get<std::uint32_t>() != kEndMagic) continue;
    (void)r.get_bytes(8);
    Directory d;
    d.bytes = r.get<std::uint32_t>();
    d.offset = r.get<std::uint32_t>();
    const std::uint64_t end = source.size - tail + at;
    if ((d.offset == UINT32_MAX || d.bytes == UINT32_MAX) && end >= 20) {
      const auto locator = get(source, end - 20, 20);
      ByteReader l(locator);
      if (l.get<std::uint32_t>() != kLocator64Magic) return std::nullopt;
      (void)l.get<std::uint32_t>();
      const auto end64 = get(source, l.get<std::uint64_t>(), 56);
      ByteReader e(end64);
      if (e.get<std::uint32_t>() != kEnd64Magic) return std::nullopt;
      (void)e.get_bytes(36);
      d.bytes = e.get<std::uint64_t>();
      d.offset = e.get<std::uint64_t>();
      if (!e.ok()) return std::nullopt;
    }
    return d;
  }
  return std::nullopt;
}

struct Member {
  std::string name;
  std::uint64_t local = 0, bytes = 0;
  bool stored = false;
};

std::optional<Member> next_member(ByteReader& r) {
  if (r.get<std::uint32_t>() != kCentralMagic) return std::nullopt;
  (void)r.get_bytes(6);
  Member m;
  m.stored = r.get<std::uint16_t>() == 0;
  (void)r.get_bytes(8);
  m.bytes = r.get<std::uint32_t>();
  std::uint64_t whole = r.get<std::uint32_t>();
  const auto name = r.get<std::uint16_t>();
  const auto extra = r.get<std::uint16_t>();
  const auto comment = r.get<std::uint16_t>();
  (void)r.get_bytes(8);
  m.local = r.get<std::uint32_t>();
  m.name = std::string(mlxbase::as_text(r.get_bytes(name)));
  ByteReader x(r.get_bytes(extra));
  (void)r.get_bytes(comment);
  while (x.ok() && x.left() >= 4) {
    const auto id = x.get<std::uint16_t>();
    ByteReader field(x.get_bytes(x.get<std::uint16_t>()));
    if (id != 1) continue;
    if (whole == UINT32_MAX) whole = field.get<std::uint64_t>();
    if (m.bytes == UINT32_MAX) m.bytes = field.get<std::uint64_t>();
    if (m.local == UINT32_MAX) m.local = field.get<std::uint64_t>();
  }
  if (!r.ok()) return std::nullopt;
  return m;
}

/// What a .npy's header says of its array: how long the header is, what the elements are, how many a row has.
struct Npy {
  std::uint64_t header = 0, columns = 0;
  Dtype dtype = Dtype::bytes;
};
std::optional<Npy> read_npy(const ByteSource& source, std::uint64_t offset, std::uint64_t bytes) {
  const auto front = get(source, offset, std::min<std::uint64_t>(bytes, 12));
  if (front.size() < 12 || mlxbase::as_text(std::span<const std::byte>(front).first(6)) != "\x93NUMPY") return std::nullopt;
  ByteReader r{std::span<const std::byte>(front).subspan(6)};
  const auto major = r.get<std::uint8_t>();
  (void)r.get<std::uint8_t>();
  const std::uint64_t length = major == 1 ? r.get<std::uint16_t>() : r.get<std::uint32_t>();
  const std::uint64_t begin = major == 1 ? 10 : 12;
  if (length > kMostNpyHeader || begin + length > bytes) return std::nullopt;
  const auto text_bytes = get(source, offset + begin, length);
  const std::string_view text = mlxbase::as_text(text_bytes);
  Npy npy;
  npy.header = begin + length;
  constexpr std::pair<std::string_view, Dtype> kDtypes[] = {
      {"'<f8'", Dtype::f64}, {"'<f4'", Dtype::f32}, {"'<f2'", Dtype::f16}, {"'V2'", Dtype::bf16},  {"'|V2'", Dtype::bf16}, {"'<i8'", Dtype::i64}, {"'<u8'", Dtype::u64},
      {"'<i4'", Dtype::i32}, {"'<u4'", Dtype::u32}, {"'<i2'", Dtype::i16}, {"'<u2'", Dtype::u16}, {"'|i1'", Dtype::i8},   {"'|u1'", Dtype::u8},
  };
  for (const auto& [name, dtype] : kDtypes) {
    if (text.contains(name)) npy.dtype = dtype;
  }
  // The last number of the shape: "(30522, 384)", "(384,)".
  const auto open = text.find("'shape': (");
  const auto close = open == std::string_view::npos ? open : text.find(')', open);
  if (close == std::string_view::npos) return npy;
  std::uint64_t number = 0;
  bool digits = false;
  for (const char c : text.substr(open, close - open)) {
    if (c >= '0' && c <= '9') {
      number = digits ? number * 10 + static_cast<std::uint64_t>(c - '0') : static_cast<std::uint64_t>(c - '0');
      digits = true;
      if (number > (std::uint64_t{1} << 48U)) return npy;
    } else {
      digits = false;
    }
  }
  npy.columns = number;
  return npy;
}

}  // namespace

std::optional<std::vector<Cut>> cut_zip(const ByteSource& source) {
  const auto magic = get(source, 0, 4);
  ByteReader first(magic);
  if (first.get<std::uint32_t>() != kLocalMagic) return std::nullopt;
  const auto directory = find_directory(source);
  if (!directory) return std::nullopt;
  const auto bytes = get(source, directory->offset, directory->bytes);
  std::vector<Member> members;
  ByteReader r(bytes);
  while (r.left() > 0) {
    auto m = next_member(r);
    if (!m) return std::nullopt;
    if (m->stored) members.push_back(std::move(*m));
  }
  if (members.empty()) return std::nullopt;
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.local < b.local; });
  Cutter cutter(source.size);
  for (const Member& m : members) {
    const auto local = get(source, m.local, 30);
    ByteReader l(local);
    if (l.get<std::uint32_t>() != kLocalMagic) continue;
    (void)l.get_bytes(22);
    const std::uint64_t name = l.get<std::uint16_t>();
    const std::uint64_t extra = l.get<std::uint16_t>();
    if (!l.ok()) continue;
    std::uint64_t offset = m.local + 30 + name + extra;
    std::uint64_t length = m.bytes;
    if (offset > source.size || length > source.size - offset) continue;
    Npy npy;
    if (m.name.ends_with(".npy")) npy = read_npy(source, offset, length).value_or(Npy{});
    const std::uint64_t width = npy.dtype == Dtype::bytes ? 0 : unit_bytes(npy.dtype);
    cutter.tensor(offset + npy.header, length - npy.header, npy.dtype, npy.columns, npy.columns <= kMaxObjectBytes ? npy.columns * width : 0);
  }
  return cutter.finish();
}

}  // namespace mlxcache::vault
