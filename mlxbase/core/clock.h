#pragma once
#include <cstdint>

namespace mlxbase {

/// Time through a seam: nothing sleeps in tests.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Nanoseconds since 1970 UTC.
  virtual std::int64_t wall_ns() = 0;
  /// Nanoseconds that only grow.
  virtual std::int64_t steady_ns() = 0;
};

Clock& system_clock();

}  // namespace mlxbase
