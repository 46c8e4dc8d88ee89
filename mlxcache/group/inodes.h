#pragma once
// From names to inodes, and from inodes to sums: the two steps of a scan that touch no disk.
#include "mlxcache/catalog/inventory.h"

namespace mlxcache::group {

/// Fills inventory.inodes from the regular files of its listings: those with a payload or orphan name first, each part in
/// the order in which the listings name them, so that two runs over the same disk agree.
void build_inodes(catalog::Inventory& inventory);

/// Fills inventory.totals and the sums over all stores. Uses what is known of sharing, so call it last.
void count_totals(catalog::Inventory& inventory);

}  // namespace mlxcache::group
