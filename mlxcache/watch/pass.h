#pragma once
// One look: what is new, what of it is finished, and sharing that.
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mlxcache/dedup/apply.h"
#include "mlxcache/watch/news.h"
#include "mlxcache/watch/watch.h"

namespace mlxcache::watch {

/// Inodes with their ctime.
using Settled = std::set<std::pair<mlxbase::os::FileId, std::int64_t>>;

struct Pass {
  std::int64_t began_ns = 0;
  std::int64_t ended_ns = 0;
  std::int64_t since_ns = 0;             // where the next look begins
  std::uint64_t fresh = 0;               // files that were new and finished
  std::vector<Waiting> waiting;
  std::vector<dedup::Skipped> left;      // new files that stay as they are, and why
  std::vector<dedup::Action> actions;    // done, or with dry_run planned
  std::uint64_t bytes_freed = 0;
  std::uint64_t bytes_read = 0;
  std::string transaction;
  std::vector<catalog::Root> roots;
  Settled settled;                       // new files that were looked at to the end
  bool cancelled = false;
};

/// What of these stores alone is new and finished, `settled` left out; lists them and reads no file.
News look_at_stores(const Machine& machine, const Settings& settings, std::int64_t since_ns, const std::vector<catalog::Root>& roots,
                    const std::vector<catalog::Root>& all, const Settled& settled);

/// Errors: busy (another mlxcache is at work; nothing was changed), io, corrupt.
mlxbase::Result<Pass> look_and_share(const Machine& machine, const Settings& settings, std::int64_t since_ns, Budget& budget);

}  // namespace mlxcache::watch
