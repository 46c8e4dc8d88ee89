#include "mlxcache/verify/memory.h"

#include <algorithm>

#include "mlxbase/core/log.h"

namespace mlxcache::verify {
namespace {

// What a run cut short may have to read again: small files by the dozen, a large one never.
constexpr std::size_t kPendingFiles = 64;
constexpr std::uint64_t kPendingBytes = std::uint64_t{64} << 20U;

}  // namespace

void Memory::keep(const Measurement& measurement, const std::optional<catalog::Measured>& earlier) {
  if (!measurement.held_still || measurement.digests.empty()) return;
  catalog::Measured row;
  row.of = catalog::fingerprint_of(measurement.stat);
  row.digests = measurement.digests;
  row.verified_at_ns = clock_.wall_ns();
  if (earlier && earlier->of == row.of) {
    const bool contradicted = std::any_of(earlier->digests.begin(), earlier->digests.end(), [&](const mlxbase::Digest& digest) {
      const mlxbase::Digest* now = measurement.find(digest.algorithm());
      return now != nullptr && *now != digest;
    });
    if (!contradicted) {
      row.sample = earlier->sample;
      for (const mlxbase::Digest& digest : earlier->digests) {
        if (measurement.find(digest.algorithm()) == nullptr) row.digests.push_back(digest);
      }
    }
  }
  const std::lock_guard hold(mutex_);
  pending_bytes_ += row.of.size;
  if (!measurement.links.empty()) {
    pending_chains_.push_back({.sha256 = *measurement.find(mlxbase::Algorithm::sha256), .size = row.of.size, .links = measurement.links});
  }
  pending_.push_back(std::move(row));
  if (pending_.size() >= kPendingFiles || pending_bytes_ >= kPendingBytes) flush_locked();
}

void Memory::flush() {
  const std::lock_guard hold(mutex_);
  flush_locked();
}

void Memory::flush_locked() {
  if (pending_.empty()) return;
  auto kept = catalog_.remember(pending_);
  if (kept) kept = catalog_.remember_chains(pending_chains_);
  if (!kept && !warned_) {
    warned_ = true;
    mlxbase::log::warning("verify.not_remembered", {{"reason", kept.error().message}});
  }
  pending_.clear();
  pending_chains_.clear();
  pending_bytes_ = 0;
}

}  // namespace mlxcache::verify
