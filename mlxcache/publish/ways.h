#pragma once
// How a new name in one store can come by the bytes of another: asked of the two volumes and of both stores.
#include <map>
#include <string>
#include <vector>

#include "mlxcache/change/change.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::publish {

/// Ways to make one name, best first; where there is none, `reason` says why.
struct Ways {
  std::vector<change::How> ways;
  std::string reason;
};

/// Volumes are asked once each for a whole plan.
class WayFinder {
 public:
  explicit WayFinder(const stores::Context& context) : context_(context) {}

  /// `tolerated`: what the target's store bears. A clone where both lie on one pool that can; else a hard link on one device between files of
  /// one owner; else a symlink; a copy only if `allow_copy`.
  Ways between(const stores::SourceFile& source, const catalog::Root& target, const std::string& path, catalog::Links tolerated, bool allow_copy);
  /// The folder of `path` that is there already, or the nearest one above.
  std::string existing_folder(const std::string& path) const;

 private:
  const mlxbase::os::VolumeFacts& facts(const std::string& folder, bool probe);

  const stores::Context& context_;
  std::map<std::pair<std::uint64_t, bool>, mlxbase::os::VolumeFacts> known_;
};

}  // namespace mlxcache::publish
