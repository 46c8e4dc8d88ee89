// What the model stores hold, by MLXCache's public face. It walks folders, so it has a lane of its own and looks seldom; it reads no payload, writes
// nothing, and keeps nothing beside what it shows.
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxcache/mlxcache.h"
#include "mlxdash/collect/makers.h"

namespace mlxdash::collect {
namespace {

constexpr std::size_t kLargest = 24;

class CacheSource final : public Looker {
 public:
  explicit CacheSource(const Parts& parts) : fs_(parts.fs), environment_(parts.environment), cancel_(parts.cancel), clock_(parts.clock) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    auto catalog = TRY(mlxcache::Catalog::in_memory());
    const mlxcache::Context context{.fs = fs_, .environment = environment_, .cancel = cancel_};
    mlxcache::ScanOptions options;
    options.find_duplicates = false;  // would read payloads
    options.workers = 1;
    options.clock = &clock_;
    const mlxcache::Inventory found = TRY(mlxcache::scan_stores(context, catalog, options, mlxbase::no_progress()));
    Cache cache = summary(found);
    cache.looked_at_ns = now.wall_ns;
    return [cache = std::move(cache)](Snapshot& s) { s.cache = cache; };
  }

 private:
  static Cache summary(const mlxcache::Inventory& found) {
    Cache cache;
    for (std::size_t i = 0; i < found.listings.size(); ++i) {
      const mlxcache::Listing& listing = found.listings[i];
      const mlxcache::StoreTotals& totals = found.totals[i];
      const mlxcache::Adapter& adapter = mlxcache::adapter_of(listing.root.kind);
      cache.stores.push_back({.kind = std::string(adapter.name), .title = std::string(adapter.title), .root = listing.root.path, .models = totals.models,
                              .files = totals.files, .bytes = totals.allocated_bytes, .orphans = totals.orphans, .orphan_bytes = totals.orphan_bytes,
                              .downloads = totals.partials, .download_bytes = totals.partial_bytes, .problems = listing.problems.size()});
      std::unordered_map<std::string_view, std::uint64_t> sizes;  // what links lead to
      for (const mlxcache::Entry& entry : listing.entries) {
        if (entry.role != mlxcache::Role::link) sizes.emplace(entry.path, entry.stat.size);
      }
      for (const mlxcache::Model& model : listing.models) {
        StoredModel stored{.store = std::string(adapter.name), .name = model.id, .format = model.format, .incomplete = model.incomplete};
        for (const auto entry : model.entries) stored.bytes += size_of(sizes, listing.entries[entry]);
        cache.largest.push_back(std::move(stored));
      }
    }
    for (const mlxcache::Inode& inode : found.inodes) cache.bytes += inode.stat.allocated_bytes;
    cache.duplicate_bytes = claimed_twice(found);
    std::ranges::sort(cache.largest, [](const StoredModel& a, const StoredModel& b) { return std::pair(b.bytes, a.name) < std::pair(a.bytes, b.name); });
    if (cache.largest.size() > kLargest) cache.largest.resize(kLargest);
    return cache;
  }

  /// A file's size, or that of what a link of the same listing leads to.
  static std::uint64_t size_of(const std::unordered_map<std::string_view, std::uint64_t>& sizes, const mlxcache::Entry& entry) {
    if (entry.role != mlxcache::Role::link) return entry.stat.size;
    const std::string target = mlxbase::path::normal(mlxbase::path::join(mlxbase::path::parent(entry.path), entry.link_target));
    const auto at = sizes.find(target);
    return at == sizes.end() ? 0 : at->second;
  }

  /// Bytes of inodes beyond the first that claim a digest, on the same volume: `mlxcache scan` looks closer.
  static std::uint64_t claimed_twice(const mlxcache::Inventory& found) {
    std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> seen;
    std::uint64_t bytes = 0;
    for (const mlxcache::Inode& inode : found.inodes) {
      if (!inode.claim) continue;
      if (++seen[{inode.claim->hex(), inode.stat.id.device}] > 1) bytes += inode.stat.allocated_bytes;
    }
    return bytes;
  }

  mlxbase::os::FileSystem& fs_;
  const mlxbase::os::Environment& environment_;
  const mlxbase::Cancel* cancel_;
  mlxbase::Clock& clock_;
};

}  // namespace

std::unique_ptr<Looker> make_cache(const Parts& parts) { return std::make_unique<CacheSource>(parts); }

}  // namespace mlxdash::collect
