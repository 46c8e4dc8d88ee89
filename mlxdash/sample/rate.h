#pragma once
// From counters to rates.
#include <cstdint>

#include "mlxdash/sample/reading.h"

namespace mlxdash {

/// Remembers a counter's last value and when it was read. A counter that went down was started anew: that interval tells nothing.
class Rate {
 public:
  /// Units a second since the last call; not_yet at the first, after a restart, and where no time has passed.
  Reading<double> per_second(double counter, std::int64_t steady_ns) {
    const bool usable = seen_ && steady_ns > at_ns_ && counter >= last_;
    const double seconds = static_cast<double>(steady_ns - at_ns_) / 1e9;
    const double gained = counter - last_;
    seen_ = true;
    last_ = counter;
    at_ns_ = steady_ns;
    if (!usable) return Absent::not_yet;
    return gained / seconds;
  }
  /// The same for a counter that begins again at 0 after `range`.
  Reading<double> per_second_wrapping(double counter, double range, std::int64_t steady_ns) {
    if (seen_ && counter < last_ && range > 0 && range >= last_) last_ -= range;
    return per_second(counter, steady_ns);
  }
  void forget() { seen_ = false; }

 private:
  bool seen_ = false;
  double last_ = 0;
  std::int64_t at_ns_ = 0;
};

}  // namespace mlxdash
