#include "mlxcache/verify/measure.h"

#include <algorithm>
#include <optional>

#include "mlxbase/format/hasher.h"

namespace mlxcache::verify {
namespace {

using mlxbase::Algorithm;

// A file this large would push everything else out of the page cache, and is not read again soon.
constexpr std::uint64_t kHugeBytes = std::uint64_t{1} << 30U;
constexpr std::uint64_t kDropEvery = std::uint64_t{64} << 20U;

}  // namespace

const mlxbase::Digest* Measurement::find(Algorithm algorithm) const {
  if (algorithm == Algorithm::sha256_prefix) algorithm = Algorithm::sha256;
  for (const mlxbase::Digest& digest : digests) {
    if (digest.algorithm() == algorithm) return &digest;
  }
  return nullptr;
}

bool same_state(const mlxbase::os::FileStat& a, const mlxbase::os::FileStat& b) {
  return a.id == b.id && a.size == b.size && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns;
}

bool agrees(const mlxbase::Digest& claimed, const mlxbase::Digest& measured) {
  return claimed == measured || (claimed.algorithm() == Algorithm::sha256_prefix && claimed.is_prefix_of(measured));
}

mlxbase::Result<Measurement> measure(mlxbase::os::File& file, const std::vector<Algorithm>& algorithms, const mlxbase::Cancel* cancel,
                                     mlxbase::Progress& progress, std::atomic<std::uint64_t>& bytes_read) {
  Measurement out;
  out.stat = TRY(file.stat());
  std::vector<mlxbase::Hasher> hashers;
  std::vector<Algorithm> wanted;
  std::optional<mlxbase::Sha256Chain> chain;
  for (Algorithm algorithm : algorithms) {
    if (algorithm == Algorithm::sha256_prefix) algorithm = Algorithm::sha256;
    if (std::find(wanted.begin(), wanted.end(), algorithm) != wanted.end()) continue;
    wanted.push_back(algorithm);
    if (algorithm == Algorithm::sha256) {
      chain.emplace();
      continue;
    }
    hashers.emplace_back(algorithm, out.stat.size);
  }
  file.advise_sequential();
  std::vector<std::byte> block(static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, std::max<std::uint64_t>(out.stat.size, 1))));
  std::uint64_t at = 0;
  std::uint64_t dropped = 0;
  while (at < out.stat.size) {
    if (cancel != nullptr && cancel->requested()) return mlxbase::fail(mlxbase::Code::cancelled, "verify: stopped");
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), out.stat.size - at));
    const std::size_t got = TRY(file.pread(at, std::span(block).first(want)));
    if (got == 0) break;  // it became shorter
    for (mlxbase::Hasher& hasher : hashers) hasher.update(std::span(block).first(got));
    if (chain) chain->update(std::span(block).first(got));
    at += got;
    bytes_read.fetch_add(got, std::memory_order_relaxed);
    progress.advance(got);
    if (out.stat.size >= kHugeBytes && at - dropped >= kDropEvery) {
      file.advise_done(dropped, at - dropped);
      dropped = at;
    }
  }
  const auto after = TRY(file.stat());
  out.held_still = at == out.stat.size && same_state(out.stat, after);
  auto hasher = hashers.begin();
  for (const Algorithm algorithm : wanted) out.digests.push_back(algorithm == Algorithm::sha256 ? chain->finish() : (hasher++)->finish());
  if (chain) out.links = chain->links();
  return out;
}

}  // namespace mlxcache::verify
