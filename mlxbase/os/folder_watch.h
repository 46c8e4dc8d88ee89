#pragma once
// Tells that names in folders came, went or were written, and waits for it without using the processor: inotify, kqueue.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"

namespace mlxbase::os {

struct FolderChange {
  std::string folder;  // as it was given to add()
  std::string name;    // of what came, went or was closed after writing; empty where the system does not say which
};

struct FolderChanges {
  std::vector<FolderChange> changes;
  bool lost = false;  // more happened than the system could keep for us: anything may have changed
};

class FolderWatch {
 public:
  virtual ~FolderWatch() = default;
  /// Begins to watch one folder, not those below it. Twice is once. Errors: out_of_space (`most`, or a limit of the system, is reached),
  /// not_found, permission, io.
  virtual Status add(const std::string& folder) = 0;
  virtual bool watches(const std::string& folder) const = 0;
  /// Folders that are watched now; those that went away have left by themselves.
  virtual std::size_t size() const = 0;
  /// Waits until something changes, `timeout_ns` are over, or a signal (SIGINT, SIGTERM) or `cancel` ends the wait. May come back early with nothing.
  virtual Result<FolderChanges> wait(std::int64_t timeout_ns, const Cancel& cancel) = 0;
};

/// `most`: folders, 0 for what is decent on this system. Where the system gives no watch at all, add() says so and wait() still waits.
std::unique_ptr<FolderWatch> watch_folders(std::size_t most = 0);

/// Waits until `descriptor` (-1: none) can be read, the time is over or a signal comes; a signal that came just before counts. True if it can be read.
bool wait_readable(int descriptor, std::int64_t timeout_ns, const Cancel& cancel);

}  // namespace mlxbase::os
