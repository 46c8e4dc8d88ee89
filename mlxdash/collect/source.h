#pragma once
// A source of values: a row of kSources (sources.cpp) and one file that makes it. A source looks when it is told to, on the thread of its lane,
// and hands back a function that puts what it saw into a snapshot; so one that hangs, lies or dies costs only its own values.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxdash/sample/snapshot.h"

namespace mlxdash::collect {

struct NvmlTable;

struct Moment {
  std::int64_t wall_ns = 0;
  std::int64_t steady_ns = 0;
};

/// Moves what was seen into the snapshot. Runs under the board's lock: no calls of the system in it.
using Apply = std::function<void(Snapshot&)>;

class Looker {
 public:
  virtual ~Looker() = default;
  /// What cannot be read is missing in the snapshot and no error; an error means that the source as a whole gave nothing
  /// (Code::unsupported: there is no such thing here, which is not asked again soon).
  virtual mlxbase::Result<Apply> look(const Moment& now) = 0;
};

/// What sources are made from. Everything that is real can be replaced: tests move `root`, give a base URL or a table of functions.
struct Parts {
  mlxbase::os::FileSystem& fs;
  const mlxbase::os::Environment& environment;
  mlxbase::Clock& clock;
  std::string root = "/";                   // of /proc and /sys
  std::vector<std::string> engine_urls;     // named by the person; asked besides what is found
  bool find_engines = true;                 // false: only those named
  std::uint32_t http_deadline_ms = 300;
  const NvmlTable* nvml = nullptr;          // null: the system's library
  const mlxbase::Cancel* cancel = nullptr;
};

/// Each lane is a thread, so that what is slow does not hold up what is quick.
enum class Lane : std::uint8_t { files, http, gpu, processes, cache };
inline constexpr std::size_t kLanes = 5;

/// On which platforms a row is used.
struct On {
  bool linux_os = false, macos = false;
};

struct Row {
  std::string_view name;
  Lane lane;
  std::uint32_t period_ms;  // 0: as often as the face asks for
  On on;
  std::unique_ptr<Looker> (*make)(const Parts&);
  /// Takes its values out of the snapshot again.
  void (*clear)(Snapshot&, Absent);
};
/// The table.
std::span<const Row> sources();

/// What a failure of a source leaves in its place.
Absent absent_of(mlxbase::Code code);

}  // namespace mlxdash::collect
