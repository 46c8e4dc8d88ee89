#pragma once
// Other inodes that should hold the same bytes as a damaged one.
#include <cstdint>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxcache/catalog/inventory.h"

namespace mlxcache::verify {

/// Inodes other than `inode` that carry the same claim, share a group with it, or were measured to have that SHA-256; then those of its size of which nobody
/// knows what they are. Each once. Candidates only: their bytes are still to be measured.
std::vector<std::uint32_t> twin_candidates(const catalog::Inventory& inventory, std::uint32_t inode, const mlxbase::Digest& expected);

}  // namespace mlxcache::verify
