#pragma once
// Finds inodes with equal bytes by the cheapest trustworthy means: size, digests known or claimed, samples, full digests.
#include <cstdint>
#include <set>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"

namespace mlxcache::group {

struct Options {
  std::uint64_t min_size = 1;   // smaller inodes are not grouped; empty ones never are
  bool ask_sharing = true;      // ask volumes that can share extents which of them already are
  unsigned workers = 0;         // threads; 0: one a core
  const std::set<std::uint64_t>* sizes = nullptr;  // only inodes of these sizes; null: of any
  const mlxbase::Cancel* cancel = nullptr;
};

/// Fills groups, sums and the measured parts of inodes of an inventory that has its inodes (build_inodes). What is measured goes
/// into the catalog, except of files so fresh that a later change could bear the same time. Files that vanish or
/// change meanwhile get a problem in their listing and are in no group that reading decided.
/// Errors: cancelled (what was measured is kept), io and corrupt of the catalog.
mlxbase::Status find_groups(mlxbase::os::FileSystem& fs, catalog::Catalog& catalog, catalog::Inventory& inventory, const Options& options,
                            mlxbase::Clock& clock, mlxbase::Progress& progress);

}  // namespace mlxcache::group
