#pragma once
// What follows from the values: why it is slow, what a token costs, when something will be full. Pure, except that a forecast remembers.
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "mlxdash/sample/snapshot.h"

namespace mlxdash {

/// Worst first. What is missing gives no finding: absence is no evidence.
std::vector<Finding> findings(const Snapshot& snapshot);

/// Watts of everything that is measured, over the tokens that all servers generate. Missing while no power is measured (not_supported) or nothing is
/// generated (not_yet). What a part draws that is not measured is not in it.
Reading<double> joules_per_token(const Snapshot& snapshot);

/// When a quantity that has been growing steadily will reach its limit.
class Forecast {
 public:
  /// `used` of `limit` at a time.
  void add(std::int64_t steady_ns, double used, double limit);
  /// Seconds until it is full, by the line through the last minutes (least squares). not_yet: too little was seen (under a minute). not_supported: it does
  /// not grow, or not steadily enough to say (less than half of its variance is growth), or not within a day.
  Reading<double> full_in() const;

 private:
  struct Seen {
    double seconds = 0, used = 0;
  };
  std::deque<Seen> seen_;
  double limit_ = 0;
};

/// Forecasts for memory and each volume, kept between snapshots.
class Forecasts {
 public:
  void add(const Snapshot& snapshot);
  std::vector<Finding> findings() const;

 private:
  Forecast memory_;
  std::map<std::string, Forecast> volumes_;
};

/// Puts what follows into the snapshot itself. `forecasts` may be null.
void derive(Snapshot& snapshot, Forecasts* forecasts);

}  // namespace mlxdash
