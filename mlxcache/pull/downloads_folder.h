#pragma once
#include <string>

#include "mlxcache/stores/adapter.h"

namespace mlxcache::pull {

/// Where downloads for a root lie until they are published: on the root's volume, so that they can move in, and where no tool looks. `downloads` in
/// our own home if that is on the volume; else a hidden sibling of the root; else (a mount point, somebody else's folder) one in the root. Makes nothing.
std::string downloads_folder(const stores::Context& context, const std::string& home, const catalog::Root& root);

/// The nearest folder at or above `path` that is there.
std::string existing_folder(mlxbase::os::FileSystem& fs, const std::string& path);

}  // namespace mlxcache::pull
