#pragma once
// The entries of a store by their path below the root, for tools whose small files name the large ones by path (Jan, LocalAI).
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mlxcache/stores/common.h"

namespace mlxcache::stores {

class NamedEntries {
 public:
  explicit NamedEntries(ListingBuilder& builder) : builder_(builder) {}

  /// Walks the root and adds all that is there; files of which `is_own` (by path below the root) are the tool's, not a model's.
  Finds add_all(const Context& context, const Root& root, const std::function<bool(std::string_view)>& is_own);

  const std::uint32_t* find(std::string_view below_root) const;
  /// The other parts of the split set that the file is one of: tools name the first and find the rest beside it.
  std::vector<std::string> other_parts(std::string_view below_root) const;
  const std::map<std::string, std::uint32_t, std::less<>>& all() const { return by_name_; }

 private:
  ListingBuilder& builder_;
  std::map<std::string, std::uint32_t, std::less<>> by_name_;
};

}  // namespace mlxcache::stores
