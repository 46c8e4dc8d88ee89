#pragma once
// Finding the model that a person means.
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/catalog/inventory.h"

namespace mlxcache::cli {

struct ModelRef {
  std::uint32_t store = 0;  // index into Inventory::listings
  std::uint32_t model = 0;
};

bool contains_ignoring_case(std::string_view text, std::string_view part);  // ASCII letters only

/// Every store's model of that name: exact names first, else ignoring case, else the one name that contains the text.
/// Errors: not_found (with the nearest name), invalid (the text fits several names: says which).
mlxbase::Result<std::vector<ModelRef>> find_models(const catalog::Inventory& inventory, std::string_view text);

}  // namespace mlxcache::cli
