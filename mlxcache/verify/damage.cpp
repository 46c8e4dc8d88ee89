#include "mlxcache/verify/damage.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "mlxcache/verify/measure.h"

namespace mlxcache::verify {
namespace {

mlxbase::Result<std::size_t> read_whole_block(mlxbase::os::File& file, std::uint64_t at, std::span<std::byte> out) {
  std::size_t got = 0;
  while (got < out.size()) {
    const std::size_t n = TRY(file.pread(at + got, out.subspan(got)));
    if (n == 0) break;
    got += n;
  }
  return got;
}

void add(std::vector<Range>& ranges, std::uint64_t begin, std::uint64_t end) {
  if (!ranges.empty() && (ranges.back().offset + ranges.back().length == begin || ranges.size() >= kMaxRanges)) {
    ranges.back().length = end - ranges.back().offset;
  } else {
    ranges.push_back({begin, end - begin});
  }
}

}  // namespace

mlxbase::Result<std::vector<Range>> compare(mlxbase::os::File& damaged, mlxbase::os::File& twin, const mlxbase::Cancel* cancel,
                                            std::atomic<std::uint64_t>& bytes_read) {
  static_assert(kBlockBytes % kDamageBlock == 0);
  std::vector<Range> ranges;
  std::vector<std::byte> a(kBlockBytes);
  std::vector<std::byte> b(kBlockBytes);
  for (std::uint64_t at = 0;; at += kBlockBytes) {
    if (cancel != nullptr && cancel->requested()) return mlxbase::fail(mlxbase::Code::cancelled, "verify: stopped");
    const std::size_t in_a = TRY(read_whole_block(damaged, at, a));
    const std::size_t in_b = TRY(read_whole_block(twin, at, b));
    bytes_read.fetch_add(in_a + in_b, std::memory_order_relaxed);
    const std::size_t either = std::max(in_a, in_b);
    for (std::size_t block = 0; block < either; block += kDamageBlock) {
      const std::size_t end = std::min<std::size_t>(block + kDamageBlock, either);
      const bool both = end <= in_a && end <= in_b;
      if (!both || std::memcmp(a.data() + block, b.data() + block, end - block) != 0) add(ranges, at + block, at + end);
    }
    if (either < kBlockBytes) return ranges;
  }
}

}  // namespace mlxcache::verify
