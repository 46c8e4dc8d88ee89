#pragma once
// What sharing would free, and what is shared already: exact where the volume says who refers to which blocks.
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/group/group.h"

namespace mlxcache::group {

/// Fills reclaimable_bytes of every group, and private_bytes, shared_bytes and sharing_known of its inodes where the volume can
/// share extents (asked only with options.ask_sharing; else every inode is taken to own its blocks). Where a file cannot
/// be asked, its blocks count as its own.
void measure_sharing(mlxbase::os::FileSystem& fs, catalog::Inventory& inventory, const Options& options);

}  // namespace mlxcache::group
