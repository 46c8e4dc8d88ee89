#pragma once
// Time that moves when a test says so, and a little at each look, so that no two moments are equal. Threads may share it.
#include <atomic>

#include "mlxbase/core/clock.h"

namespace mlxbase::testing {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(std::int64_t wall_ns = 1'795'409'627'000'000'000) : now_(wall_ns) {}  // 2026-11-23 04:13:47 UTC
  std::int64_t wall_ns() override { return now_ += 1000; }
  std::int64_t steady_ns() override { return now_ += 1000; }
  void advance_ns(std::int64_t ns) { now_ += ns; }

 private:
  std::atomic<std::int64_t> now_;
};

}  // namespace mlxbase::testing
