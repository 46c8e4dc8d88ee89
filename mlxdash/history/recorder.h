#pragma once
// Writes history on a thread of its own, so that a slow disk holds up no face.
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxdash/history/history.h"
#include "mlxdash/sample/snapshot.h"

namespace mlxdash::history {

/// Where our state lies: MLXDASH_HOME, or what the platform's convention says.
std::string state_home(const mlxbase::os::Environment& environment);

class Recorder {
 public:
  /// Begins to record in `home`, which is made. Errors: busy (another mlxdash records), and those of History::open.
  static mlxbase::Result<std::unique_ptr<Recorder>> start(mlxbase::os::FileSystem& fs, const std::string& home);
  /// Writes what is left.
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  void add(const Snapshot& snapshot);
  /// Why the last writing failed; empty: it did not.
  std::string trouble() const;

 private:
  Recorder(std::unique_ptr<mlxbase::os::Lock> lock, History history);
  void run();
  std::unique_ptr<mlxbase::os::Lock> lock_;
  History history_;  // of the thread alone
  mutable std::mutex mutex_;
  std::condition_variable woken_;
  std::vector<std::pair<std::int64_t, std::vector<Value>>> queue_;
  std::string trouble_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mlxdash::history
