#pragma once
#include <string_view>

namespace mlxcache::fetch {

/// Whether `path` fits a pattern as `hf download --include` reads it (Python's fnmatch): "*" and "?" also cross "/", "[a-c]" and "[!x]" are sets, a
/// pattern that ends with "/" means all below. Time is bounded by the product of both lengths.
bool glob_matches(std::string_view pattern, std::string_view path);

}  // namespace mlxcache::fetch
