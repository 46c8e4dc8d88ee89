#pragma once
// When a person should be told: a finding that lasts, told once when it begins and once when it is over. Pure.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mlxdash/sample/snapshot.h"

namespace mlxdash {

struct AlertRules {
  Severity least = Severity::warning;
  double begins_after = 15;  // seconds that it was seen in each snapshot: what passes by itself is not told
  double over_after = 60;    // seconds that it was not seen: what comes and goes is one alert, not many
};

struct Alert {
  std::string cause;  // of the finding
  Severity severity{};
  std::string text;   // as it was last seen
  bool over = false;
  double lasted = 0;  // seconds from the first to the last time that it was seen
};

class Alerts {
 public:
  explicit Alerts(AlertRules rules = {}) : rules_(rules) {}
  /// What began, grew worse or ended with this snapshot. After a time without snapshots (nobody looked) nothing has lasted and nothing has ended.
  std::vector<Alert> add(const Snapshot& snapshot, std::int64_t steady_ns);

 private:
  struct State {
    double first = 0, last = 0;  // seconds; when it was seen
    bool told = false;
    Severity severity{};
    std::string text;
  };
  AlertRules rules_;
  double before_ = 0;
  bool begun_ = false;
  std::map<std::string, State> causes_;
};

}  // namespace mlxdash
