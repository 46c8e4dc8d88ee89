#include "mlxcache/fetch/download_state.h"

#include <algorithm>
#include <string_view>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"

namespace mlxcache::fetch {

using namespace mlxbase;

namespace {

constexpr std::string_view kMagic = "MLXDLST\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksum = 32;
constexpr std::size_t kPieceRecord = 4 + 32;
constexpr std::size_t kFixed = 8 + 4 + 8 + 8 + 1 + 32 + 4;  // up to the validator's bytes

Digest checksum_of(std::span<const std::byte> bytes) {
  Hasher hasher(Algorithm::sha256);
  hasher.update(bytes);
  return hasher.finish();
}

void put_padded(ByteWriter& out, const Digest& digest) {
  out.put_bytes(digest.bytes());
  for (std::size_t i = digest.size(); i < 32; ++i) out.put(std::uint8_t{0});
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

Result<DownloadState> damaged() { return fail(Code::corrupt, "the record of this download is damaged"); }

}  // namespace

std::uint64_t piece_count(std::uint64_t size) { return size / kPieceBytes + (size % kPieceBytes == 0 ? 0 : 1); }

std::uint32_t piece_size(std::uint64_t size, std::uint64_t index) {
  return static_cast<std::uint32_t>(std::min(kPieceBytes, size - index * kPieceBytes));
}

std::uint64_t max_state_bytes(std::uint64_t size) { return kFixed + kMaxValidator + piece_count(size) * kPieceRecord + kChecksum; }

std::string encode_state(const DownloadState& state) {
  ByteWriter out;
  out.put_bytes(as_bytes(kMagic));
  out.put(kVersion);
  out.put(state.size);
  out.put(kPieceBytes);
  out.put(static_cast<std::uint8_t>(state.digest.algorithm()));
  put_padded(out, state.digest);
  out.put_string(state.validator);
  for (const auto& piece : state.pieces) {
    out.put(piece.have);
    put_padded(out, piece.sha256);
  }
  const Digest sum = checksum_of(out.bytes());
  out.put_bytes(sum.bytes());
  return std::string(as_text(out.bytes()));
}

Result<DownloadState> parse_state(std::span<const std::byte> bytes) {
  if (bytes.size() < kFixed + kChecksum) return damaged();
  const auto body = bytes.first(bytes.size() - kChecksum);
  if (!std::ranges::equal(checksum_of(body).bytes(), bytes.last(kChecksum))) return damaged();
  ByteReader in(body);
  if (as_text(in.get_bytes(kMagic.size())) != kMagic || in.get<std::uint32_t>() != kVersion) return damaged();
  DownloadState state;
  state.size = in.get<std::uint64_t>();
  if (state.size > kMaxDownload || in.get<std::uint64_t>() != kPieceBytes) return damaged();
  const auto algorithm = static_cast<Algorithm>(in.get<std::uint8_t>());
  if (algorithm != Algorithm::sha256 && algorithm != Algorithm::git_sha1) return damaged();
  const auto digest = in.get_bytes(32);
  if (!in.ok() || !all_zero(digest.subspan(digest_size(algorithm)))) return damaged();
  state.digest = Digest(algorithm, digest.first(digest_size(algorithm)));
  state.validator = in.get_string();
  if (!in.ok() || state.validator.size() > kMaxValidator) return damaged();
  const std::uint64_t count = piece_count(state.size);
  if (in.left() != count * kPieceRecord) return damaged();
  state.pieces.resize(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    auto& piece = state.pieces[i];
    piece.have = in.get<std::uint32_t>();
    if (piece.have > piece_size(state.size, i)) return damaged();
    const auto sum = in.get_bytes(32);
    if (all_zero(sum)) continue;
    if (piece.have != piece_size(state.size, i)) return damaged();
    piece.sha256 = Digest(Algorithm::sha256, sum);
  }
  return state;
}

}  // namespace mlxcache::fetch
