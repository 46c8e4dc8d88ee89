#pragma once
// The last minutes of what the screen draws as a line.
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mlxdash/sample/snapshot.h"

namespace mlxdash::view {

class Traces {
 public:
  static constexpr std::size_t kLength = 300;
  /// Adds one value to each line; NaN where it is missing. Lines of what is gone end after a while.
  void add(const Snapshot& snapshot);
  /// Oldest first; empty if there is no such line.
  const std::vector<float>& of(std::string_view name) const;

 private:
  void put(const std::string& name, const Reading<double>& value);
  struct Line {
    std::vector<float> values;
    std::uint64_t touched = 0;
  };
  std::map<std::string, Line, std::less<>> lines_;
  std::uint64_t round_ = 0;
};

/// Sums over disks and networks: missing if any part is.
Reading<double> disk_read(const Snapshot& snapshot);
Reading<double> disk_written(const Snapshot& snapshot);
Reading<double> network_received(const Snapshot& snapshot);
Reading<double> network_sent(const Snapshot& snapshot);
Reading<double> memory_share(const Snapshot& snapshot);

}  // namespace mlxdash::view
