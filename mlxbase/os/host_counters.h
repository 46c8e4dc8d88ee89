#pragma once
// What a kernel tells of the whole machine only by calls, not by files: macOS. Linux has files in /proc for all of it, so there every call is
// `unsupported`.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxbase::os {

/// Ticks since boot, of one core; they may wrap at 2^32.
struct CoreTicks {
  std::uint64_t busy = 0, idle = 0;
};
/// Errors: unsupported, io.
Result<std::vector<CoreTicks>> core_ticks();

/// Bytes, except the counters of pages that were moved.
struct HostMemory {
  std::uint64_t total = 0;
  std::uint64_t used = 0;      // as Activity Monitor counts: (internal - purgeable) + wired + compressor
  std::uint64_t cached = 0;    // external + purgeable
  std::uint64_t wired = 0;
  std::uint64_t swap_total = 0, swap_used = 0;
  std::uint64_t swapped_in = 0, swapped_out = 0;  // bytes since boot
  int pressure_level = 0;      // 1 normal, 2 warning, 4 critical; 0: not told
  std::uint64_t wired_limit = 0;  // iogpu.wired_limit_mb in bytes; 0: the default
};
/// Errors: unsupported, io.
Result<HostMemory> host_memory();

/// Of one minute. Errors: unsupported.
Result<double> load_average();

}  // namespace mlxbase::os
