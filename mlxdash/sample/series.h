#pragma once
// The numbers of a snapshot that have a history and a name: one table, read by history, by `export` and by the sparklines.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxdash/sample/snapshot.h"

namespace mlxdash {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

/// One number of one moment. The name is that of Prometheus, with the unit at its end: "mlxdash_memory_used_bytes".
struct Measurement {
  std::string_view name;
  Labels labels;  // {"gpu", "0"}
  double value = 0;
};

enum class Kind : std::uint8_t { gauge, counter };
struct Metric {
  std::string_view name;
  Kind kind;
  std::string_view help;
};
/// Every name that measurements() may give.
const std::vector<Metric>& metrics();

/// What is there; what is missing is left out.
std::vector<Measurement> measurements(const Snapshot& snapshot);

/// "mlxdash_gpu_busy_ratio{gpu=\"0\"}": what a series is known by. Escaped as Prometheus has it.
std::string key_of(const Measurement& measurement);

/// Prometheus text format 0.0.4. Names come with HELP and TYPE once; nothing missing is written.
std::string prometheus_text(const Snapshot& snapshot);

}  // namespace mlxdash
