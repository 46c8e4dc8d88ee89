#include "mlxcache/group/sample.h"

#include <array>
#include <span>

#include "mlxbase/format/hasher.h"

namespace mlxcache::group {

std::vector<SampleRange> sample_ranges(std::uint64_t size) {
  if (sample_is_whole(size)) return {{0, size}};
  // The middle piece lies on a page border: one page from the cache or the disk, not two.
  const std::uint64_t middle = size / 2 / kSamplePiece * kSamplePiece;
  return {{0, kSamplePiece}, {middle, kSamplePiece}, {size - kSamplePiece, kSamplePiece}};
}

mlxbase::Result<mlxbase::Digest> sample(mlxbase::os::File& file, std::uint64_t size) {
  std::array<std::byte, kSampleWhole> buffer;
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  for (const auto& range : sample_ranges(size)) {
    const auto want = std::span(buffer).first(static_cast<std::size_t>(range.length));
    const std::size_t got = TRY(file.pread(range.offset, want));
    if (got != want.size()) return mlxbase::fail(mlxbase::Code::changed, "it became shorter while it was read");
    hasher.update(want);
  }
  return hasher.finish();
}

}  // namespace mlxcache::group
