#pragma once
// What several adapters ask of file names.
#include <string>
#include <string_view>

namespace mlxcache::stores {

/// ASCII letters in lower case; other bytes stay.
std::string lower(std::string_view text);
/// Not empty, and nothing but 0 to 9.
bool all_digits(std::string_view text);

}  // namespace mlxcache::stores
