#pragma once
// Where a damaged file differs from an intact twin.
#include <atomic>
#include <cstdint>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/verify/verify.h"

namespace mlxcache::verify {

inline constexpr std::uint64_t kDamageBlock = 4096;  // a page, a sector of today's disks: rot comes in these
inline constexpr std::size_t kMaxRanges = 10'000;    // beyond, the last range covers the rest

/// Compares in blocks of kDamageBlock and merges neighbours. What only one of the files has differs. Errors: cancelled, io.
mlxbase::Result<std::vector<Range>> compare(mlxbase::os::File& damaged, mlxbase::os::File& twin, const mlxbase::Cancel* cancel,
                                            std::atomic<std::uint64_t>& bytes_read);

}  // namespace mlxcache::verify
