#pragma once
// Who runs and who listens, from /proc. A process is known by pid and start time together, since pids come again.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/os/file_system.h"
#include "mlxdash/sample/snapshot.h"

namespace mlxdash::collect {

struct Running {
  std::int64_t pid = 0, parent = 0;
  std::string name;            // the kernel's short name
  std::uint64_t started = 0;   // ticks after boot
  std::uint64_t cpu_ticks = 0; // user and system
};

/// A TCP port that somebody listens on.
struct Listener {
  std::string host;            // to be asked at: "127.0.0.1", "::1", or the one address it is bound to
  std::uint16_t port = 0;
  std::uint64_t socket = 0;    // inode
  std::optional<std::int64_t> pid;  // unknown where its owner is another user
};

/// Reads below `<root>/proc`. Not for two threads at once.
class ProcessTable {
 public:
  ProcessTable(mlxbase::os::FileSystem& fs, std::string root) : fs_(fs), root_(std::move(root)) {}

  /// Looks at all processes anew. Errors: not_found (no /proc: macOS), io.
  mlxbase::Status refresh();
  const std::map<std::int64_t, Running>& all() const { return all_; }
  /// The process and everything it started that still runs.
  std::vector<std::int64_t> family(std::int64_t pid) const;
  std::optional<Running> read(std::int64_t pid) const;
  /// Arguments, joined by blanks, at most 4 KiB. Empty where it may not be read.
  std::string command_line(std::int64_t pid) const;

  struct Memory {
    Reading<std::uint64_t> resident, anonymous, file;
  };
  Memory memory(std::int64_t pid) const;
  /// Memory of the family of `pid`.
  Process measure(std::int64_t pid) const;
  /// Processor time of the family, in clock ticks.
  std::uint64_t family_ticks(std::int64_t pid) const;

  /// Ports, with the processes where they can be seen.
  mlxbase::Result<std::vector<Listener>> listeners() const;

 private:
  std::string at(std::int64_t pid, std::string_view file) const;
  mlxbase::os::FileSystem& fs_;
  std::string root_;
  std::map<std::int64_t, Running> all_;
};

}  // namespace mlxdash::collect
