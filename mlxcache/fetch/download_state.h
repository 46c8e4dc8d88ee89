#pragma once
// What a download that was interrupted has on disk already. Format: docs/formats/download.md.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxcache/fetch/download.h"

namespace mlxcache::fetch {

struct DownloadState {
  struct Piece {
    std::uint32_t have = 0;   // bytes from the piece's beginning that are on the device
    mlxbase::Digest sha256;   // of the whole piece; none while it is not whole, or where the file is one piece
    friend bool operator==(const Piece&, const Piece&) = default;
  };
  std::uint64_t size = 0;
  mlxbase::Digest digest;     // what shall come out
  std::string validator;      // the server's ETag or Last-Modified, as sent; may be empty
  std::vector<Piece> pieces;  // one for each kPieceBytes, the last may be shorter
  friend bool operator==(const DownloadState&, const DownloadState&) = default;
};

inline constexpr std::uint64_t kMaxDownload = std::uint64_t{1} << 44U;
inline constexpr std::size_t kMaxValidator = 1024;

std::uint64_t piece_count(std::uint64_t size);
/// How many bytes piece `index` of a file of `size` has.
std::uint32_t piece_size(std::uint64_t size, std::uint64_t index);
/// The longest state that a file of `size` may have.
std::uint64_t max_state_bytes(std::uint64_t size);

std::string encode_state(const DownloadState& state);
/// Errors: corrupt. Whatever is accepted encodes to the same bytes again.
mlxbase::Result<DownloadState> parse_state(std::span<const std::byte> bytes);

}  // namespace mlxcache::fetch
