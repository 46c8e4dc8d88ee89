#pragma once
// Walks the stores, keeps the catalog true, finds equal files by the cheapest trustworthy means.
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::scan {

struct Options {
  std::vector<std::string> extra_roots;           // --root
  std::vector<catalog::StoreKind> only;           // --store; empty: all
  std::uint64_t min_size = 1;                     // smaller files are not grouped (they are listed)
  bool find_duplicates = true;                    // false: list only (ls, show)
  bool keep_links = true;                         // false: listings come without symlinks that resolve, models without their entries (scan, dups: nobody asks)
  bool ask_sharing = true;                        // ask the volume which extents of duplicates are already shared
  unsigned workers = 0;                           // 0: one a core
  std::optional<std::set<std::uint64_t>> sizes;   // only files of these sizes are grouped
  mlxbase::Clock* clock = nullptr;                // null: the machine's
};

/// Never fails for one bad store: see Listing::problems. Errors: cancelled; io or corrupt of our own catalog.
mlxbase::Result<catalog::Inventory> scan(const stores::Context& context, catalog::Catalog& catalog, const Options& options,
                                         mlxbase::Progress& progress);

/// The second half of a scan alone: finds what is equal in an inventory that was only listed (find_duplicates false). Errors: as above.
mlxbase::Status find_duplicates(const stores::Context& context, catalog::Catalog& catalog, catalog::Inventory& inventory, const Options& options,
                                mlxbase::Progress& progress);

}  // namespace mlxcache::scan
