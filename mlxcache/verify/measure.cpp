#include "mlxcache/verify/measure.h"

#include <algorithm>
#include <utility>

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

mlxbase::Result<Measuring> Measuring::begin(mlxbase::os::File& file, const std::vector<Algorithm>& algorithms, mlxbase::Progress& progress,
                                            std::atomic<std::uint64_t>& bytes_read) {
  Measuring out(file, progress, bytes_read);
  out.out_.stat = TRY(file.stat());
  const std::uint64_t size = out.out_.stat.size;
  for (Algorithm algorithm : algorithms) {
    if (algorithm == Algorithm::sha256_prefix) algorithm = Algorithm::sha256;
    if (std::find(out.wanted_.begin(), out.wanted_.end(), algorithm) != out.wanted_.end()) continue;
    out.wanted_.push_back(algorithm);
    algorithm == Algorithm::sha256 ? void(out.chain_.emplace()) : void(out.hashers_.emplace_back(algorithm, size));
  }
  file.advise_sequential();
  out.block_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, size)));
  out.ended_ = size == 0;
  return out;
}

std::span<const std::byte> Measuring::read() {
  const std::uint64_t size = out_.stat.size;
  const auto want = std::span(block_).first(static_cast<std::size_t>(std::min<std::uint64_t>(block_.size(), size - at_)));
  const auto got = file_->pread(at_, want);
  if (!got) status_ = mlxbase::fail(got.error());
  if (!got || *got == 0) {  // it became shorter
    ended_ = true;
    return {};
  }
  at_ += *got;
  ended_ = at_ == size;
  bytes_read_->fetch_add(*got, std::memory_order_relaxed);
  progress_->advance(*got);
  if (size >= kHugeBytes && at_ - dropped_ >= kDropEvery) {
    file_->advise_done(dropped_, at_ - dropped_);
    dropped_ = at_;
  }
  return want.first(*got);
}

void Measuring::hash(std::span<const std::byte> bytes, bool chain_too) {
  for (mlxbase::Hasher& hasher : hashers_) hasher.update(bytes);
  if (chain_ && chain_too) chain_->update(bytes);
}

void Measuring::go_on(Measuring& one, Measuring* other) {
  const auto bytes = one.read();
  if (other == nullptr) return one.hash(bytes, true);
  const auto others = other->read();
  const bool in_step = one.chain_ && other->chain_;
  if (in_step) mlxbase::Sha256Chain::update_pair(*one.chain_, bytes, *other->chain_, others);
  one.hash(bytes, !in_step);
  other->hash(others, !in_step);
}

mlxbase::Result<Measurement> Measuring::finish() {
  TRY(status_);
  const auto after = TRY(file_->stat());
  out_.held_still = at_ == out_.stat.size && same_state(out_.stat, after);
  auto hasher = hashers_.begin();
  for (const Algorithm algorithm : wanted_) out_.digests.push_back(algorithm == Algorithm::sha256 ? chain_->finish() : (hasher++)->finish());
  if (chain_) out_.links = chain_->links();
  return std::move(out_);
}

mlxbase::Result<Measurement> measure(mlxbase::os::File& file, const std::vector<Algorithm>& algorithms, const mlxbase::Cancel* cancel,
                                     mlxbase::Progress& progress, std::atomic<std::uint64_t>& bytes_read) {
  Measuring measuring = TRY(Measuring::begin(file, algorithms, progress, bytes_read));
  while (!measuring.ended()) {
    if (cancel != nullptr && cancel->requested()) return mlxbase::fail(mlxbase::Code::cancelled, "verify: stopped");
    Measuring::go_on(measuring, nullptr);
  }
  return measuring.finish();
}

}  // namespace mlxcache::verify
