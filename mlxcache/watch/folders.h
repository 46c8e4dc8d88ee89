#pragma once
// Which folders to watch.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/store.h"

namespace mlxcache::watch {

/// The roots and every folder below them (links are not followed), at most `most`, roots first. Roots whose tool keeps nothing that could be shared
/// (chunk caches) are left out.
std::vector<std::string> folders_below(mlxbase::os::FileSystem& fs, const std::vector<catalog::Root>& roots, std::size_t most, const mlxbase::Cancel& cancel);

/// Whether a change of this name is worth a look: not a partial download, a lock, or a temporary name of ours. An empty name may be anything.
bool is_news(std::string_view name);

}  // namespace mlxcache::watch
