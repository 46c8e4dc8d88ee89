#include "mlxcache/vault/pack_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "mlxbase/format/hasher.h"
#include "mlxcache/journal/crc32c.h"

namespace mlxcache::vault {

using journal::crc32c;
using mlxbase::as_bytes;
using mlxbase::ByteReader;
using mlxbase::ByteSource;
using mlxbase::ByteWriter;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

namespace {

constexpr std::string_view kPackMagic = "MLXCPACK";
constexpr std::string_view kTrailerMagic = "MLXCPEND";
constexpr std::uint32_t kRecordMagic = 0x314A424F;  // "OBJ1"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kDigestBytes = 32;

std::uint64_t blocks_of(std::uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

/// Everything checksummed begins with the pack's salt: bytes of a tensor cannot pass for a record.
std::uint32_t salted(std::uint64_t salt, std::span<const std::byte> bytes) {
  ByteWriter front;
  front.put(salt);
  return crc32c(bytes, crc32c(front.bytes()));
}

/// Exactly `n` bytes at `offset`, or nothing.
Result<std::optional<std::vector<std::byte>>> read_exactly(const ByteSource& source, std::uint64_t offset, std::uint64_t n) {
  if (offset > source.size || n > source.size - offset) return std::nullopt;
  std::vector<std::byte> out(static_cast<std::size_t>(n));
  std::size_t have = 0;
  while (have < out.size()) {
    const std::size_t got = TRY(source.read(offset + have, std::span(out).subspan(have)));
    if (got == 0) return std::nullopt;
    have += got;
  }
  return out;
}

std::unexpected<mlxbase::Error> damaged(std::uint64_t offset, std::string_view why) {
  return fail(Code::corrupt, fmt::format("the record at byte {} is damaged: {}", offset, why));
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::plain: return "plain";
    case Kind::coded: return "coded";
    case Kind::delta: return "delta";
    case Kind::pieces: return "rows";
    case Kind::derived: return "derived";
  }
  return {};
}

Digest digest_of(std::span<const std::byte> bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(bytes);
  return hasher.finish();
}

std::vector<std::byte> encode_pack_header(std::uint64_t salt) {
  ByteWriter w;
  w.put_bytes(as_bytes(kPackMagic));
  w.put(kVersion);
  w.put(std::uint32_t{0});
  w.put(salt);
  w.put(std::uint32_t{0});
  w.put(crc32c(w.bytes()));
  return w.take();
}

Result<std::uint64_t> parse_pack_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kPackHeaderBytes) return fail(Code::corrupt, "it is shorter than a pack's header");
  ByteReader r(bytes.first(kPackHeaderBytes));
  const bool magic = mlxbase::as_text(r.get_bytes(kPackMagic.size())) == kPackMagic;
  const auto version = r.get<std::uint32_t>();
  (void)r.get<std::uint32_t>();
  const auto salt = r.get<std::uint64_t>();
  (void)r.get<std::uint32_t>();
  if (!magic || r.get<std::uint32_t>() != crc32c(bytes.first(kPackHeaderBytes - 4))) return fail(Code::corrupt, "the pack's header is damaged");
  if (version != kVersion) return fail(Code::unsupported, fmt::format("packs of version {} are newer than this program", version));
  return salt;
}

void put_head(ByteWriter& out, const Head& head) {
  out.put_bytes(head.digest.bytes());
  out.put(static_cast<std::uint8_t>(head.kind));
  out.put(head.depth);
  out.put(static_cast<std::uint8_t>(head.layout.dtype));
  out.put(head.layout.phase);
  out.put(head.layout.columns);
  out.put(head.size);
  out.put(head.payload);
  out.put(head.first_row);
  out.put(static_cast<std::uint32_t>(head.bases.size()));
  for (const Digest& b : head.bases) out.put_bytes(b.bytes());
  out.put_string(head.sketch);
}

std::optional<Head> get_head(ByteReader& in) {
  Head head;
  head.digest = Digest(mlxbase::Algorithm::sha256, in.get_bytes(kDigestBytes));
  const auto kind = in.get<std::uint8_t>();
  head.kind = static_cast<Kind>(kind);
  head.depth = in.get<std::uint8_t>();
  head.layout.dtype = static_cast<Dtype>(in.get<std::uint8_t>());
  head.layout.phase = in.get<std::uint8_t>();
  head.layout.columns = in.get<std::uint64_t>();
  head.size = in.get<std::uint64_t>();
  head.payload = in.get<std::uint64_t>();
  head.first_row = in.get<std::uint64_t>();
  const auto bases = in.get<std::uint32_t>();
  if (!in.ok() || bases > kMaxBases || bases > in.left() / kDigestBytes) return std::nullopt;
  for (std::uint32_t i = 0; i < bases; ++i) head.bases.emplace_back(mlxbase::Algorithm::sha256, in.get_bytes(kDigestBytes));
  head.sketch = in.get_string();
  if (!in.ok() || kind >= kKinds || head.depth > kMaxDepth || head.size > kMaxObjectBytes || head.payload > kMaxObjectBytes + kBlockBytes ||
      head.sketch.size() > kMaxSketchBytes || (head.depth == 0) != head.bases.empty()) {
    return std::nullopt;
  }
  return head;
}

std::uint32_t block_checksum(std::span<const std::byte> block, std::uint64_t index, std::uint64_t salt) { return salted(salt + index, block); }

std::vector<std::byte> encode_record(const Head& head, std::span<const std::byte> payload, std::uint64_t salt) {
  ByteWriter body;
  put_head(body, head);
  const auto head_bytes = static_cast<std::uint32_t>(body.bytes().size());
  const auto blocks = static_cast<std::uint32_t>(blocks_of(payload.size()));
  for (std::uint32_t i = 0; i < blocks; ++i) {
    const std::size_t at = std::size_t{i} * kBlockBytes;
    body.put(block_checksum(payload.subspan(at, std::min<std::size_t>(kBlockBytes, payload.size() - at)), i, salt));
  }
  ByteWriter w;
  w.put(kRecordMagic);
  w.put(head_bytes);
  w.put(blocks);
  ByteWriter checked;
  checked.put(head_bytes);
  checked.put(blocks);
  checked.put_bytes(body.bytes());
  w.put(salted(salt, checked.bytes()));
  w.put_bytes(body.bytes());
  return w.take();
}

Result<Record> read_record(const ByteSource& pack, std::uint64_t offset, std::uint64_t salt) {
  const auto front = TRY(read_exactly(pack, offset, kRecordFixedBytes));
  if (!front) return damaged(offset, "it is cut short");
  ByteReader r(*front);
  const auto magic = r.get<std::uint32_t>();
  const auto head_bytes = r.get<std::uint32_t>();
  const auto blocks = r.get<std::uint32_t>();
  const auto checksum = r.get<std::uint32_t>();
  if (magic != kRecordMagic) return damaged(offset, "no record begins there");
  if (head_bytes > kMaxHeadBytes || blocks > blocks_of(kMaxObjectBytes + kBlockBytes)) return damaged(offset, "a length is out of range");
  const auto body = TRY(read_exactly(pack, offset + kRecordFixedBytes, std::uint64_t{head_bytes} + std::uint64_t{blocks} * 4));
  if (!body) return damaged(offset, "it is cut short");
  ByteWriter checked;
  checked.put(head_bytes);
  checked.put(blocks);
  checked.put_bytes(*body);
  if (salted(salt, checked.bytes()) != checksum) return damaged(offset, "its head has another checksum");
  ByteReader in{std::span<const std::byte>{*body}.first(head_bytes)};
  auto head = get_head(in);
  if (!head || in.left() != 0 || blocks_of(head->payload) != blocks) return damaged(offset, "its head makes no sense");
  Record record;
  record.head = std::move(*head);
  ByteReader sums{std::span<const std::byte>{*body}.subspan(head_bytes)};
  record.checksums.reserve(blocks);
  for (std::uint32_t i = 0; i < blocks; ++i) record.checksums.push_back(sums.get<std::uint32_t>());
  record.payload_offset = offset + kRecordFixedBytes + body->size();
  return record;
}

Status check_blocks(const Record& record, std::uint64_t first, std::span<const std::byte> bytes, std::uint64_t salt) {
  for (std::size_t at = 0; at < bytes.size(); at += kBlockBytes, ++first) {
    const auto block = bytes.subspan(at, std::min<std::size_t>(kBlockBytes, bytes.size() - at));
    if (first < record.checksums.size() && block_checksum(block, first, salt) == record.checksums[static_cast<std::size_t>(first)]) continue;
    const std::uint64_t begin = record.payload_offset + first * kBlockBytes;
    return fail(Code::corrupt, fmt::format("bytes {} to {} of the pack are damaged", begin, begin + block.size()));
  }
  return {};
}

std::vector<std::byte> encode_index(std::span<const Entry> entries, std::uint64_t index_offset, std::uint64_t salt) {
  ByteWriter w;
  w.put(static_cast<std::uint32_t>(entries.size()));
  for (const Entry& e : entries) {
    w.put(e.offset);
    put_head(w, e.head);
  }
  const std::uint64_t length = w.bytes().size();
  const std::uint32_t checksum = salted(salt, w.bytes());
  ByteWriter trailer;
  trailer.put(salt);
  trailer.put(index_offset);
  trailer.put(length);
  trailer.put(checksum);
  trailer.put_bytes(as_bytes(kTrailerMagic));
  trailer.put(crc32c(trailer.bytes()));
  w.put_bytes(trailer.bytes());
  return w.take();
}

namespace {

struct Trailer {
  std::uint64_t salt = 0, index_offset = 0, index_length = 0;
  std::uint32_t checksum = 0;
};

Result<std::optional<Trailer>> read_trailer(const ByteSource& pack) {
  if (pack.size < kPackHeaderBytes + kPackTrailerBytes) return std::nullopt;
  const auto bytes = TRY(read_exactly(pack, pack.size - kPackTrailerBytes, kPackTrailerBytes));
  if (!bytes) return std::nullopt;
  ByteReader r(*bytes);
  Trailer t;
  t.salt = r.get<std::uint64_t>();
  t.index_offset = r.get<std::uint64_t>();
  t.index_length = r.get<std::uint64_t>();
  t.checksum = r.get<std::uint32_t>();
  const bool magic = mlxbase::as_text(r.get_bytes(kTrailerMagic.size())) == kTrailerMagic;
  if (!magic || r.get<std::uint32_t>() != crc32c(std::span<const std::byte>{*bytes}.first(kPackTrailerBytes - 4))) return std::nullopt;
  if (t.index_offset < kPackHeaderBytes || t.index_offset > pack.size - kPackTrailerBytes || t.index_length != pack.size - kPackTrailerBytes - t.index_offset) return std::nullopt;
  return t;
}

Result<std::optional<std::vector<Entry>>> read_index(const ByteSource& pack, const Trailer& t) {
  const auto bytes = TRY(read_exactly(pack, t.index_offset, t.index_length));
  if (!bytes || salted(t.salt, *bytes) != t.checksum) return std::nullopt;
  ByteReader r(*bytes);
  const auto count = r.get<std::uint32_t>();
  std::vector<Entry> entries;
  for (std::uint32_t i = 0; i < count; ++i) {
    Entry e;
    e.offset = r.get<std::uint64_t>();
    auto head = get_head(r);
    if (!head || e.offset < kPackHeaderBytes || e.offset >= t.index_offset) return std::nullopt;
    e.head = std::move(*head);
    entries.push_back(std::move(e));
  }
  if (!r.ok() || r.left() != 0) return std::nullopt;
  return entries;
}

}  // namespace

Contents scan_records(const ByteSource& pack, std::uint64_t salt, std::uint64_t end) {
  Contents out;
  out.salt = salt;
  out.rebuilt = true;
  std::uint64_t at = kPackHeaderBytes;
  std::optional<std::uint64_t> bad;
  const auto close = [&](std::uint64_t to) {
    if (bad) out.damage.push_back({*bad, to, "no record can be read there"});
    bad.reset();
  };
  std::vector<std::byte> window(std::size_t{1} << 20U);
  while (at < end) {
    if (auto record = read_record(pack, at, salt); record && record->end() <= end) {
      close(at);
      const std::uint64_t next = record->end();
      out.entries.push_back({std::move(record->head), at});
      at = next;
      continue;
    }
    if (!bad) bad = at;
    // The next place where a record may begin.
    ++at;
    bool found = false;
    while (!found && at < end) {
      const auto got = pack.read(at, std::span(window).first(static_cast<std::size_t>(std::min<std::uint64_t>(window.size(), end - at))));
      if (!got || *got < 4) {
        at = end;
        break;
      }
      std::size_t i = 0;
      for (; i + 4 <= *got; ++i) {
        ByteReader r{std::span<const std::byte>(window).subspan(i, 4)};
        if (r.get<std::uint32_t>() == kRecordMagic) {
          found = true;
          break;
        }
      }
      at += i;
    }
  }
  close(end);
  return out;
}

Result<Contents> read_contents(const ByteSource& pack) {
  const auto front = TRY(read_exactly(pack, 0, kPackHeaderBytes));
  if (!front) return fail(Code::corrupt, "it is shorter than a pack's header");
  const auto header = parse_pack_header(*front);
  if (!header && header.error().code != Code::corrupt) return fail(header.error());
  const auto trailer = TRY(read_trailer(pack));
  if (!header && !trailer) return fail(Code::corrupt, "the pack's header and its trailer are damaged");
  const std::uint64_t salt = header ? *header : trailer->salt;
  Contents out;
  if (trailer && trailer->salt == salt) {
    if (auto entries = TRY(read_index(pack, *trailer))) {
      out.salt = salt;
      out.entries = std::move(*entries);
      if (!header) out.damage.push_back({0, kPackHeaderBytes, "the pack's header"});
      return out;
    }
  }
  out = scan_records(pack, salt, trailer ? trailer->index_offset : pack.size);
  if (!header) out.damage.push_back({0, kPackHeaderBytes, "the pack's header"});
  if (trailer) {
    out.damage.push_back({trailer->index_offset, pack.size - kPackTrailerBytes, "the pack's index"});
  } else if (!out.damage.empty() && out.damage.back().end == pack.size) {
    out.damage.back().what = "the pack's index or trailer";
  } else {
    out.damage.push_back({pack.size, pack.size, "the pack's trailer is missing"});
  }
  return out;
}

}  // namespace mlxcache::vault
