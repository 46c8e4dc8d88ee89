#pragma once
// Private to this room: of very many known tensors the one that is most like another, in time that does not grow with their number.
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/object.h"

namespace mlxcache::vault {

/// Tensors of as many elements a row, by their sketches.
class Candidates {
 public:
  void add(const Digest& digest, const codec::Sketch& sketch);
  /// Nothing if none is like it. `bytes` of the tensor: the longer it is, the more may be compared for it.
  const Digest* nearest(const codec::Sketch& sketch, std::uint64_t bytes) const;

  // By number, in the order in which they came.
  const std::pair<Digest, codec::Sketch>& at(std::size_t number) const { return all_[number]; }
  /// Of the latest few thousand those most like it, the most alike first.
  std::vector<std::size_t> likest(const codec::Sketch& sketch, std::size_t count) const;
  /// Those with so many rows, the nearest to `place` first.
  std::vector<std::size_t> around(std::size_t place, std::uint64_t rows, std::size_t count) const;

 private:
  static constexpr std::size_t kRough = 32;
  static constexpr std::size_t kBands = 10;
  static constexpr std::size_t kInBand = 3;
  /// Of the first values sign, the lower end of the exponent and two bits behind: those of strangers are rarely equal.
  using Rough = std::array<std::uint8_t, kRough>;
  static Rough rough_of(const codec::Sketch& sketch);
  std::size_t slot_of(std::size_t band, const Rough& rough) const;
  void link(std::uint32_t candidate);

  std::vector<std::pair<Digest, codec::Sketch>> all_;
  std::vector<Rough> rough_;  // beside, since most are told apart by them alone
  // Once there are many: chains of those whose rough values are equal in a band, the latest first. 0 ends one, else 1 + number.
  std::size_t slots_ = 0;  // of each band
  std::vector<std::uint32_t> latest_;
  std::vector<std::array<std::uint32_t, kBands>> before_;
};

}  // namespace mlxcache::vault
