#pragma once
// Threads that take their turns in the order of their work: what one pass hashes in order while others decode.
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace mlxcache::vault {

class Turns {
 public:
  /// Waits until everything before `n` is done. False: somebody failed, and nobody waits any more.
  bool wait(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || next_ == n; });
    return !stopped_;
  }
  void done() {
    {
      const std::lock_guard lock(mutex_);
      ++next_;
    }
    changed_.notify_all();
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
  }
  bool stopped() {
    const std::lock_guard lock(mutex_);
    return stopped_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t next_ = 0;
  bool stopped_ = false;
};

}  // namespace mlxcache::vault
