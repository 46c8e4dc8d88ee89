#include "mlxcache/vault/frozen.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"

namespace mlxcache::vault {

using mlxbase::as_bytes;
using mlxbase::as_text;
using mlxbase::ByteReader;
using mlxbase::ByteWriter;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::os::FileKind;

namespace {

constexpr std::string_view kMagic = "MLXCFRZN";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kFrontBytes = 8 + 4 + 4 + 8;
constexpr std::size_t kDigestBytes = 32;
constexpr std::uint64_t kMaxFile = std::uint64_t{1} << 50U;

void put_metadata(ByteWriter& w, const mlxbase::os::Metadata& m) {
  w.put(m.mode);
  w.put(m.uid);
  w.put(m.gid);
  w.put(m.atime_ns);
  w.put(m.mtime_ns);
  w.put(m.flags);
  w.put(static_cast<std::uint32_t>(m.attributes.size()));
  for (const auto& a : m.attributes) {
    w.put_string(a.name);
    w.put_string(a.value);
  }
}

mlxbase::os::Metadata get_metadata(ByteReader& r) {
  mlxbase::os::Metadata m;
  m.mode = r.get<std::uint32_t>();
  m.uid = r.get<std::uint32_t>();
  m.gid = r.get<std::uint32_t>();
  m.atime_ns = r.get<std::int64_t>();
  m.mtime_ns = r.get<std::int64_t>();
  m.flags = r.get<std::uint32_t>();
  const auto count = r.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && r.ok(); ++i) {
    mlxbase::os::ExtendedAttribute a;
    a.name = r.get_string();
    a.value = r.get_string();
    m.attributes.push_back(std::move(a));
  }
  return m;
}

void put_segment(ByteWriter& w, const Segment& s) {
  w.put(static_cast<std::uint8_t>(s.what));
  if (s.what == Segment::What::literal) return w.put_string(s.text);
  w.put(s.length);
  if (s.what != Segment::What::object) return;
  w.put(s.offset);
  w.put_bytes(s.object.bytes());
}

std::optional<Segment> get_segment(ByteReader& r) {
  Segment s;
  const auto what = r.get<std::uint8_t>();
  if (!r.ok() || what > static_cast<std::uint8_t>(Segment::What::hole)) return std::nullopt;
  s.what = static_cast<Segment::What>(what);
  if (s.what == Segment::What::literal) {
    s.text = r.get_string();
    s.length = s.text.size();
    if (s.length > kMaxLiteralBytes) return std::nullopt;
  } else {
    s.length = r.get<std::uint64_t>();
    if (s.what == Segment::What::object) {
      s.offset = r.get<std::uint64_t>();
      s.object = Digest(mlxbase::Algorithm::sha256, r.get_bytes(kDigestBytes));
      if (s.length > kMaxObjectBytes || s.offset > kMaxObjectBytes - s.length) return std::nullopt;
    }
  }
  if (!r.ok() || s.length == 0 || s.length > kMaxFile) return std::nullopt;
  return s;
}

std::vector<std::byte> encode_once(const FrozenModel& model) {
  ByteWriter body;
  body.put_string(model.name);
  body.put_string(model.revision);
  body.put_string(model.store);
  body.put_string(model.root);
  body.put(model.frozen_at_ns);
  body.put_string(model.program);
  body.put(model.bytes);
  body.put(model.stored);
  body.put(static_cast<std::uint32_t>(model.names.size()));
  for (const FrozenName& n : model.names) {
    body.put_string(n.path);
    body.put(static_cast<std::uint8_t>(n.kind));
    put_metadata(body, n.metadata);
    if (n.kind == FileKind::symlink) body.put_string(n.link_text);
    if (n.kind != FileKind::regular) continue;
    body.put(n.same_as);
    if (n.same_as != 0) continue;
    body.put(n.size);
    body.put_bytes(n.sha256.bytes());
    body.put(static_cast<std::uint32_t>(n.segments.size()));
    for (const Segment& s : n.segments) put_segment(body, s);
  }
  ByteWriter w;
  w.put_bytes(as_bytes(kMagic));
  w.put(kVersion);
  w.put(std::uint32_t{0});
  w.put(static_cast<std::uint64_t>(body.bytes().size()));
  w.put_bytes(body.bytes());
  w.put_bytes(digest_of(w.bytes()).bytes());
  return w.take();
}

/// A name of ours, made of foreign text: it may not lead out of the root.
bool is_below_root(const std::string& p) {
  if (p.empty()) return true;
  if (p.front() == '/' || p.back() == '/' || p.find('\0') != std::string::npos || p.size() > 4095) return false;
  return mlxbase::path::normal("/" + p) == "/" + p;
}

std::optional<FrozenName> get_name(ByteReader& r, std::span<const FrozenName> before) {
  FrozenName n;
  n.path = r.get_string();
  const auto kind = r.get<std::uint8_t>();
  if (!r.ok() || kind > static_cast<std::uint8_t>(FileKind::symlink) || !is_below_root(n.path)) return std::nullopt;
  n.kind = static_cast<FileKind>(kind);
  n.metadata = get_metadata(r);
  if (n.kind == FileKind::symlink) n.link_text = r.get_string();
  if (n.kind != FileKind::regular) return r.ok() ? std::optional(std::move(n)) : std::nullopt;
  n.same_as = r.get<std::uint32_t>();
  if (n.same_as != 0) {
    const bool fits = r.ok() && n.same_as <= before.size() && before[n.same_as - 1].kind == FileKind::regular && before[n.same_as - 1].same_as == 0;
    return fits ? std::optional(std::move(n)) : std::nullopt;
  }
  n.size = r.get<std::uint64_t>();
  n.sha256 = Digest(mlxbase::Algorithm::sha256, r.get_bytes(kDigestBytes));
  const auto count = r.get<std::uint32_t>();
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto s = get_segment(r);
    if (!s) return std::nullopt;
    sum += s->length;
    if (sum > kMaxFile) return std::nullopt;
    n.segments.push_back(std::move(*s));
  }
  if (!r.ok() || sum != n.size) return std::nullopt;
  return n;
}

Result<FrozenModel> parse_once(std::span<const std::byte> bytes) {
  if (bytes.size() < kFrontBytes + kDigestBytes) return fail(Code::corrupt, "it is cut short");
  const auto body = bytes.first(bytes.size() - kDigestBytes);
  ByteReader r(body);
  const bool magic = as_text(r.get_bytes(kMagic.size())) == kMagic;
  const auto version = r.get<std::uint32_t>();
  (void)r.get<std::uint32_t>();
  const auto length = r.get<std::uint64_t>();
  if (!magic || length != r.left()) return fail(Code::corrupt, "its front is damaged");
  if (digest_of(body) != Digest(mlxbase::Algorithm::sha256, bytes.last(kDigestBytes))) return fail(Code::corrupt, "its checksum is another");
  if (version != kVersion) return fail(Code::unsupported, fmt::format("version {} is newer than this program", version));
  FrozenModel m;
  m.name = r.get_string();
  m.revision = r.get_string();
  m.store = r.get_string();
  m.root = r.get_string();
  m.frozen_at_ns = r.get<std::int64_t>();
  m.program = r.get_string();
  m.bytes = r.get<std::uint64_t>();
  m.stored = r.get<std::uint64_t>();
  const auto count = r.get<std::uint32_t>();
  if (!r.ok() || !mlxbase::path::is_absolute(m.root) || mlxbase::path::normal(m.root) != m.root) return fail(Code::corrupt, "its front makes no sense");
  std::unordered_set<std::string> seen;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto n = get_name(r, m.names);
    if (!n || !seen.insert(n->path).second) return fail(Code::corrupt, fmt::format("its name {} makes no sense", i));
    m.names.push_back(std::move(*n));
  }
  if (!r.ok() || r.left() != 0) return fail(Code::corrupt, "bytes are left over");
  return m;
}

}  // namespace

std::vector<std::byte> encode_frozen(const FrozenModel& model) {
  std::vector<std::byte> out = encode_once(model);
  const std::size_t once = out.size();
  out.resize(once * 2);
  std::copy(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(once), out.begin() + static_cast<std::ptrdiff_t>(once));
  return out;
}

Result<ParsedFrozen> parse_frozen(std::span<const std::byte> bytes) {
  const std::size_t half = bytes.size() / 2;
  auto first = parse_once(bytes.first(half));
  auto second = parse_once(bytes.subspan(half));
  if (!first && !second) return fail(first.error());
  const bool damaged = !first || !second;
  return ParsedFrozen{std::move(first ? *first : *second), damaged};
}

}  // namespace mlxcache::vault
