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
#include "mlxbase/format/sha256_chain.h"
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
  std::vector<mlxbase::ChainLink> links;  // of SHA-256, for one of those that share a digest
};

/// Digests of up to kSideBySide files of one size that are thought to be equal. They are read in step: as long as a file's
/// bytes equal those of the one before it, they are compared (several times cheaper than hashing) and share its hash; where
/// they part, its own hash goes on from there. So each byte is read once and each distinct content hashed once.
std::vector<Hashed> hash_side_by_side(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory, std::span<const std::uint32_t> inodes,
                                      mlxbase::Algorithm algorithm, mlxbase::Progress& progress, const mlxbase::Cancel* cancel);

struct Compared {
  mlxbase::Result<bool> equal;
  std::uint64_t bytes_read = 0;
};

/// Whether each of up to kSideBySide files has the bytes of `reference`, all of one size; a file is read up to its first difference.
/// `bytes_of_reference` is what was read of that one. If the reference itself fails, its error is everyone's.
std::vector<Compared> compare_side_by_side(mlxbase::os::FileSystem& fs, const catalog::Inventory& inventory, std::uint32_t reference,
                                           std::span<const std::uint32_t> inodes, std::uint64_t& bytes_of_reference,
                                           mlxbase::Progress& progress, const mlxbase::Cancel* cancel);

/// Whether the file seems to lie in the cache as a whole: a few places are asked for.
bool is_cached(mlxbase::os::File& file, std::uint64_t size);

}  // namespace mlxcache::group
