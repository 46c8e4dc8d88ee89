#pragma once
#include <string>

#include "mlxcache/stores/adapter.h"

namespace mlxcache::pull {

/// Where downloads for a root lie until they are published: on the root's volume, so that they can move in, and where no tool looks. A hidden
/// sibling of the root; else `downloads` in our own home; else a hidden folder in the root. Makes nothing; the first that is there or could be made.
std::string downloads_folder(const stores::Context& context, const std::string& home, const catalog::Root& root);

/// The nearest folder at or above `path` that is there.
std::string existing_folder(mlxbase::os::FileSystem& fs, const std::string& path);

}  // namespace mlxcache::pull
