#include "mlxcache/verify/pieces.h"

#include <algorithm>

#include "mlxcache/verify/measure.h"

namespace mlxcache::verify {

mlxbase::Result<std::vector<Range>> damaged_pieces(mlxbase::os::File& file, const mlxbase::Chain& chain, const mlxbase::Cancel* cancel,
                                                   std::atomic<std::uint64_t>& bytes_read) {
  std::vector<Range> ranges;
  std::vector<std::byte> block(kBlockBytes);
  for (std::uint64_t piece = 0; piece < chain.pieces(); ++piece) {
    const std::uint64_t begin = piece * mlxbase::kChainPieceBytes;
    const std::uint64_t size = chain.piece_size(piece);
    mlxbase::PieceCheck check(chain, piece);
    for (std::uint64_t at = 0; at < size;) {
      if (cancel != nullptr && cancel->requested()) return mlxbase::fail(mlxbase::Code::cancelled, "verify: stopped");
      const auto part = std::span(block).first(static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), size - at)));
      const std::size_t got = TRY(file.pread(begin + at, part));
      if (got == 0) break;
      check.update(part.first(got));
      at += got;
      bytes_read.fetch_add(got, std::memory_order_relaxed);
    }
    if (check.finish()) continue;
    if (!ranges.empty() && ranges.back().offset + ranges.back().length == begin) {
      ranges.back().length += size;
    } else {
      ranges.push_back({begin, size});
    }
  }
  return ranges;
}

}  // namespace mlxcache::verify
