#pragma once
// When to look next. Times are wall times in nanoseconds; nothing here waits.
#include <cstdint>
#include <vector>

#include "mlxcache/watch/news.h"

namespace mlxcache::watch {

class Schedule {
 public:
  explicit Schedule(std::int64_t quiet_ns) : quiet_ns_(quiet_ns) {}

  /// Something changed in a store: look when it may be quiet.
  void changed(std::int64_t now_ns);
  /// A look has ended. `polling`: nobody tells of changes, so look again anyway.
  void looked(std::int64_t began_ns, std::int64_t ended_ns, const std::vector<Waiting>& waiting, bool polling);
  /// Only what waits was looked at, file by file.
  void waited(std::int64_t now_ns, const std::vector<Waiting>& waiting);
  /// A look could not be done: another mlxcache is at work, or an error. At growing distances.
  void failed(std::int64_t now_ns, bool busy);
  /// Not now (on battery): ask again soon.
  void held_back(std::int64_t now_ns);

  /// When to look; INT64_MAX: not before something changes.
  std::int64_t due_ns() const;
  /// Whether the look that is due may be for changes that nobody has looked at yet (else only for what waits).
  bool changes_due(std::int64_t now_ns) const { return changes_ns_ <= now_ns; }

 private:
  std::int64_t quiet_ns_;
  std::int64_t rest_until_ns_ = INT64_MIN;  // a look that took long is not soon repeated
  std::int64_t changes_ns_ = INT64_MIN;     // at the start everything may have changed
  std::int64_t waiting_ns_ = INT64_MAX;
  int failures_ = 0;
};

}  // namespace mlxcache::watch
