#include "mlxcache/vault/candidates.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace mlxcache::vault {

namespace {

constexpr double kLikeEnough = 0.05;  // below that the codec found nothing to gain from a base
constexpr std::size_t kFew = 256;     // so many are compared exactly
constexpr unsigned kAlike = 3;        // of 32 rough values; of strangers one is
constexpr std::size_t kLooked = 4096; // sketches that a search for what a recipe started from looks at
constexpr std::size_t kInChain = 64;  // tensors of one value everywhere would all be in one

}  // namespace

Candidates::Rough Candidates::rough_of(const codec::Sketch& sketch) {
  Rough out{};
  for (std::size_t i = 0; i < kRough; ++i) out[i] = static_cast<std::uint8_t>((sketch.values[i] >> 8U & 0x80U) | (sketch.values[i] >> 5U & 0x7fU));
  return out;
}

std::size_t Candidates::slot_of(std::size_t band, const Rough& rough) const {
  std::uint32_t key = 0;
  for (std::size_t i = 0; i < kInBand; ++i) key = key << 8U | rough[band * kInBand + i];
  key *= 2654435761U;  // the golden ratio: spreads the upper bits
  return band * slots_ + (key >> 12U) % slots_;
}

void Candidates::link(std::uint32_t candidate) {
  for (std::size_t band = 0; band < kBands; ++band) {
    std::uint32_t& latest = latest_[slot_of(band, rough_[candidate])];
    before_[candidate][band] = latest;
    latest = candidate + 1;
  }
}

void Candidates::add(const Digest& digest, const codec::Sketch& sketch) {
  all_.emplace_back(digest, sketch);
  rough_.push_back(rough_of(sketch));
  if (all_.size() <= kFew) return;
  before_.resize(all_.size());
  if (all_.size() <= slots_) return link(static_cast<std::uint32_t>(all_.size() - 1));
  slots_ = std::bit_ceil(all_.size() * 2);
  latest_.assign(kBands * slots_, 0);
  for (std::uint32_t c = 0; c < all_.size(); ++c) link(c);
}

const Digest* Candidates::nearest(const codec::Sketch& sketch, std::uint64_t bytes) const {
  double best = kLikeEnough;
  std::size_t found = all_.size();
  // Of equals the one that was there first: it is nearest to the root of its family.
  const auto compare = [&](std::size_t c) {
    const double s = codec::similarity(sketch, all_[c].second);
    if (s > best || (s == best && c < found && found < all_.size())) {
      best = s;
      found = c;
    }
  };
  if (all_.size() <= kFew) {
    for (std::size_t c = 0; c < all_.size(); ++c) compare(c);
    return found == all_.size() ? nullptr : &all_[found].first;
  }
  const Rough mine = rough_of(sketch);
  for (std::size_t band = 0; band < kBands; ++band) {
    std::uint32_t c = latest_[slot_of(band, mine)];
    for (std::size_t i = 0; c != 0 && i < kInChain; ++i) {
      compare(c - 1);
      c = before_[c - 1][band];
    }
  }
  // As many of the latest as coding the tensor leaves time for: all of them for those of megabytes.
  const std::size_t looks = static_cast<std::size_t>(std::min<std::uint64_t>(all_.size(), kFew + bytes / 64));
  for (std::size_t c = all_.size() - looks; c < all_.size(); ++c) {
    std::uint8_t alike = 0;
    for (std::size_t i = 0; i < kRough; ++i) alike = static_cast<std::uint8_t>(alike + (mine[i] == rough_[c][i] ? 1 : 0));
    if (alike >= kAlike) compare(c);
  }
  return found == all_.size() ? nullptr : &all_[found].first;
}

std::vector<std::size_t> Candidates::likest(const codec::Sketch& sketch, std::size_t count) const {
  std::vector<std::pair<double, std::size_t>> found;
  for (std::size_t c = all_.size() > kLooked ? all_.size() - kLooked : 0; c < all_.size(); ++c) {
    if (const double s = codec::similarity(sketch, all_[c].second); s > kLikeEnough) found.emplace_back(-s, c);
  }
  std::ranges::sort(found);
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < found.size() && i < count; ++i) out.push_back(found[i].second);
  return out;
}

std::vector<std::size_t> Candidates::around(std::size_t place, std::uint64_t rows, std::size_t count) const {
  std::vector<std::size_t> out;
  for (std::size_t d = 0; d < all_.size() && d < kLooked && out.size() < count; ++d) {
    if (place + d < all_.size() && all_[place + d].second.rows == rows) out.push_back(place + d);
    if (d != 0 && d <= place && place - d < all_.size() && all_[place - d].second.rows == rows) out.push_back(place - d);
  }
  return out;
}

}  // namespace mlxcache::vault
