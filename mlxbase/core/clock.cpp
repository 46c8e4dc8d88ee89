#include "mlxbase/core/clock.h"

#include <chrono>

namespace mlxbase {
namespace {
class SystemClock final : public Clock {
 public:
  std::int64_t wall_ns() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
  std::int64_t steady_ns() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
};
}  // namespace

Clock& system_clock() {
  // Never destroyed: a thread that a hanging call holds up may still ask for the time while the program ends.
  static auto* const clock = new SystemClock;
  return *clock;
}

}  // namespace mlxbase
