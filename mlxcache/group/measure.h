#pragma once
// Reads files whole, each once, as fast as the disk or the hash goes.
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/inventory.h"

namespace mlxcache::group {

/// Files that one call of hash_side_by_side holds open.
inline constexpr std::size_t kSideBySide = 16;

/// Opens the inode by one of its names. Errors: changed (it is no longer what the walk saw), not_found, permission, io.
mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_unchanged(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory,
                                                                   const catalog::Inode& inode);
/// Whether the open file still is what the walk saw.
mlxbase::Status still_unchanged(mlxbase::os::File& file, const catalog::Inode& inode);

struct Hashed {
  mlxbase::Result<mlxbase::Digest> digest;
  std::uint64_t bytes_read = 0;
};

/// Digests of up to kSideBySide files of one size that are thought to be equal. They are read in step: as long as a file's
/// bytes equal those of the one before it, they are compared (several times cheaper than hashing) and share its hash; where
/// they part, its own hash goes on from there. So each byte is read once and each distinct content hashed once.
std::vector<Hashed> hash_side_by_side(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory, std::span<const std::uint32_t> inodes,
                                      mlxbase::Algorithm algorithm, mlxbase::Progress& progress, const mlxbase::Cancel* cancel);

}  // namespace mlxcache::group
