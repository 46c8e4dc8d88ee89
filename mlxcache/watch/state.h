#pragma once
// What the watcher tells of itself, in `<home>/watch.json`. Format: docs/formats/watch.md.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/watch/news.h"

namespace mlxcache::watch {

struct State {
  std::int64_t pid = 0;
  std::int64_t started_at_ns = 0;
  std::int64_t ended_at_ns = 0;    // 0: it has not said that it ended
  bool once = false;
  std::string way;                 // "events", "polling", or empty
  std::string way_reason;          // why polling
  std::uint64_t folders = 0;       // watched
  std::int64_t since_ns = 0;       // what changed before is done with; 0: nothing is known
  std::int64_t looked_at_ns = 0;   // end of the last look
  std::int64_t look_took_ns = 0;
  std::uint64_t looks = 0;         // these four since the file was made
  std::uint64_t files = 0;
  std::uint64_t bytes_freed = 0;
  std::uint64_t transactions = 0;
  std::string last_transaction;
  std::int64_t last_shared_at_ns = 0;
  std::vector<Waiting> waiting;    // the first kMostWaiting
  std::uint64_t waiting_files = 0; // all of them
  std::string held_back;           // "battery", "busy", or empty
  std::uint64_t budget_bytes = 0;  // 0: no limit
  std::int64_t budget_per_ns = 0;
  std::uint64_t budget_used = 0;
  std::int64_t budget_as_of_ns = 0;
  std::string error;               // of the last look; empty if it went well
  std::int64_t error_at_ns = 0;
};

inline constexpr std::size_t kMostWaiting = 50;
inline constexpr std::uint64_t kMostStateBytes = std::uint64_t{1} << 20U;

std::string state_file(const std::string& home);
/// Errors: not_found (nothing ever watched here), corrupt, io.
mlxbase::Result<State> read_state(mlxbase::os::FileSystem& fs, const std::string& home);
mlxbase::Status write_state(mlxbase::os::FileSystem& fs, const std::string& home, const State& state);

/// One watcher a MLXCACHE_HOME: held for its life. Errors: busy (another one watches), permission, io.
mlxbase::Result<std::unique_ptr<mlxbase::os::Lock>> lock_watcher(mlxbase::os::FileSystem& fs, const std::string& home);
/// Whether somebody holds it. The lock goes with its process, however that ends, so this is true only while one runs.
bool is_watching(mlxbase::os::FileSystem& fs, const std::string& home);

}  // namespace mlxcache::watch
