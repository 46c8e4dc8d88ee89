#pragma once
// What a person took back with `undo` stays as it is: sharing it again would be arguing.
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "mlxbase/os/file_system.h"

namespace mlxcache::watch {

/// Paths of undone transactions, both sides of each, with the inode that has the name since then.
std::set<std::pair<std::string, std::uint64_t>> taken_back(mlxbase::os::FileSystem& fs, const std::string& home);

}  // namespace mlxcache::watch
