#pragma once
// One look for all who watch live: a thread that makes an event of each snapshot, encoded once, and hands it to everybody. Without watchers it does
// nothing, and the sources rest.
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "mlxdash/sample/derive.h"
#include "mlxdash/sample/snapshot.h"
#include "mlxdash/web/awake.h"

namespace mlxdash::web {

struct FeedOptions {
  std::uint32_t interval_ms = 1000;
  bool always = false;                                // look also while nobody watches: for history
  std::function<void(const Snapshot&)> on_sample;     // each look of the feed
};

/// A server-sent event: "id: 7\nevent: snapshot\ndata: {...}\n\n".
using Event = std::shared_ptr<const std::string>;
/// Must not block.
using Sink = std::function<void(const Event&)>;

class Feed {
 public:
  Feed(collect::Board& board, FeedOptions options);
  /// Forgets all sinks and ends.
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  std::uint64_t add(Sink sink);
  void remove(std::uint64_t sink);
  std::size_t watchers() const;
  /// Whether the sources look.
  bool looks() const { return awake_.looks(); }
  /// Forgets all sinks, and takes no more.
  void end();
  /// The values of now, for one who asks once; at most `most_ms` are waited for what hangs.
  Snapshot now(std::uint32_t most_ms);

 private:
  void run();
  /// With `lock` held: nobody is left to look for.
  bool idle() const { return sinks_.empty() && !options_.always; }
  void send(const std::string& event);
  Snapshot derived();

  collect::Board& board_;
  FeedOptions options_;
  Awake awake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Sink> sinks_;
  std::uint64_t last_sink_ = 0, last_event_ = 0;
  bool ending_ = false, newcomer_ = false;
  std::mutex forecasts_mutex_;
  Forecasts forecasts_;
  std::thread thread_;
};

}  // namespace mlxdash::web
