#pragma once
// What is known of the bytes of some inodes that are thought to be equal, and what follows from it.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxcache/catalog/rare.h"

namespace mlxcache::group {

/// At most one digest an algorithm; a measured one outweighs a claim.
class Knowledge {
 public:
  struct Item {
    catalog::RareDigest digest;  // never missing; shared with whoever else knows it
    bool measured = false;
  };

  /// Two different claims of one algorithm cancel each other: one of them lies, and who knows which.
  void claim(const catalog::RareDigest& digest) {
    Item* item = find(digest->algorithm());
    if (item == nullptr) {
      items_.push_back({digest, false});
    } else if (!item->measured && item->digest != digest) {
      disputed_ |= bit(digest->algorithm());
      items_.erase(items_.begin() + (item - items_.data()));
    }
  }
  void measured(const catalog::RareDigest& digest) {
    if (Item* item = find(digest->algorithm()); item != nullptr) {
      *item = {digest, true};
    } else {
      items_.push_back({digest, true});
    }
  }
  /// Call once after the last claim: a third claim must not revive a disputed algorithm.
  void settle() {
    std::erase_if(items_, [&](const Item& i) {
      return !i.measured && (disputed_ & bit(i.digest->algorithm())) != 0;
    });
  }

  const Item* of(mlxbase::Algorithm algorithm) const { return const_cast<Knowledge*>(this)->find(algorithm); }
  bool has(mlxbase::Algorithm algorithm) const { return of(algorithm) != nullptr; }
  const std::vector<Item>& items() const { return items_; }

  /// Whether some algorithm says that the bytes of the two differ.
  bool contradicts(const Knowledge& other) const {
    return std::any_of(items_.begin(), items_.end(), [&](const Item& i) {
      const Item* theirs = other.of(i.digest->algorithm());
      return theirs != nullptr && theirs->digest != i.digest;
    });
  }
  void take_in(const Knowledge& other) {
    for (const Item& item : other.items_) {
      Item* mine = find(item.digest->algorithm());
      if (mine == nullptr) {
        items_.push_back(item);
      } else {
        mine->measured = mine->measured || item.measured;
      }
    }
  }

 private:
  static std::uint32_t bit(mlxbase::Algorithm algorithm) { return 1U << static_cast<unsigned>(algorithm); }
  Item* find(mlxbase::Algorithm algorithm) {
    const auto at = std::find_if(items_.begin(), items_.end(), [&](const Item& i) { return i.digest->algorithm() == algorithm; });
    return at == items_.end() ? nullptr : &*at;
  }
  std::vector<Item> items_;
  std::uint32_t disputed_ = 0;  // a bit an algorithm
};

}  // namespace mlxcache::group
