#include "mlxcache/scan/scan.h"

#include <algorithm>

#include "mlxbase/core/parallel.h"
#include "mlxbase/os/memory.h"
#include "mlxcache/group/group.h"
#include "mlxcache/group/inodes.h"

namespace mlxcache::scan {
namespace {

using catalog::Inventory;
using catalog::Root;
using mlxbase::Code;
using mlxbase::Result;

bool is_wanted(const Options& options, const Root& root) {
  return options.only.empty() || std::find(options.only.begin(), options.only.end(), root.kind) != options.only.end();
}

/// A hub cache has a symlink for every file.
void drop_links(catalog::Listing& listing) {
  std::erase_if(listing.entries, [](const catalog::Entry& entry) { return entry.role == catalog::Role::link; });
  for (catalog::Model& model : listing.models) model.entries = {};  // they counted the links
}

// Rows that no scan has asked for in half a year are of files that are gone, or of a disk that will be measured again.
constexpr std::int64_t kForgetAfterNs = std::int64_t{180} * 24 * 3600 * 1'000'000'000;

}  // namespace

Result<Inventory> scan(const stores::Context& context, catalog::Catalog& catalog, const Options& options, mlxbase::Progress& progress) {
  auto& clock = options.clock != nullptr ? *options.clock : mlxbase::system_clock();
  const auto cancelled = [&] { return context.cancel != nullptr && context.cancel->requested(); };
  const unsigned workers = options.workers != 0 ? options.workers : mlxbase::worker_count();
  Inventory inventory;
  inventory.scanned_at_ns = clock.wall_ns();

  progress.stage("walking", 0, false);
  const std::vector<Root> all = stores::discover_all(context, options.extra_roots);
  std::vector<Root> roots = all;
  std::erase_if(roots, [&](const Root& root) { return !is_wanted(options, root); });
  inventory.listings.resize(roots.size());
  // Stores lie beside one another, so they can be walked at the same time, and so can the folders of a large one (walk.cpp); the order of the
  // listings stays that of the roots.
  mlxbase::crew_for(roots.size(), workers, [&](std::size_t i) {
    if (cancelled()) return;
    progress.item(roots[i].path);
    inventory.listings[i] = stores::list_store(context, roots[i], all);  // a store inside another is listed once, as its own
    if (!options.keep_links) drop_links(inventory.listings[i]);
    progress.advance(inventory.listings[i].entries.size());
  });
  if (cancelled()) return mlxbase::fail(Code::cancelled, "cancelled");
  mlxbase::os::give_memory_back();  // walking holds names twice for a while

  group::build_inodes(inventory);
  if (!options.find_duplicates) {
    group::count_totals(inventory);
    return inventory;
  }
  TRY(find_duplicates(context, catalog, inventory, options, progress));
  return inventory;
}

mlxbase::Status find_duplicates(const stores::Context& context, catalog::Catalog& catalog, Inventory& inventory, const Options& options, mlxbase::Progress& progress) {
  auto& clock = options.clock != nullptr ? *options.clock : mlxbase::system_clock();
  const unsigned workers = options.workers != 0 ? options.workers : mlxbase::worker_count();
  const group::Options how{.min_size = options.min_size, .ask_sharing = options.ask_sharing, .workers = workers, .sizes = options.sizes ? &*options.sizes : nullptr,
                           .cancel = context.cancel};
  TRY(group::find_groups(context.fs, catalog, inventory, how, clock, progress));
  // Only where something was measured, so that an unchanged rescan writes nothing.
  if (inventory.bytes_read > 0) TRY(catalog.forget_unseen(inventory.scanned_at_ns - kForgetAfterNs));
  return {};
}

}  // namespace mlxcache::scan
