#pragma once
// Prometheus text as servers write it, 0.0.4 and OpenMetrics: read once from front to back, names compared whole, never by their beginning
// (vllm:num_requests_waiting is the beginning of vllm:num_requests_waiting_by_reason).
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxdash/sample/reading.h"

namespace mlxdash::collect::prometheus {

/// One line. The views point into the text.
struct Sample {
  std::string_view name;
  std::string_view labels;  // what stands between the braces, as written
  double value = 0;
  /// The value of a label, unescaped.
  std::optional<std::string> label(std::string_view name) const;
};

/// Calls `each` for every sample. Comments, time stamps and exemplars are skipped, a line that makes no sense too. Errors: corrupt (not one line
/// of a text that is not empty makes sense: a page in HTML, for example), invalid (over 8 MiB or 200,000 samples).
mlxbase::Status parse(std::string_view text, const std::function<void(const Sample&)>& each);

/// What one scrape said of the names asked for.
class Scrape {
 public:
  /// `keep`: the names wanted; of histograms name, without _bucket, _sum, _count. Samples for which `want` says no are left out.
  static mlxbase::Result<Scrape> read(std::string_view text, const std::vector<std::string_view>& keep, const std::function<bool(const Sample&)>& want = {});
  /// The sum over all series of that name; nothing where there is none or it is no number.
  std::optional<double> sum(std::string_view name) const;
  std::optional<double> max(std::string_view name) const;
  /// Upper bound -> cumulative count, summed over series. Empty where there is none.
  const std::map<double, double>& buckets(std::string_view name) const;
  bool empty() const { return values_.empty() && buckets_.empty(); }

 private:
  struct Values {
    double sum = 0, max = 0;
  };
  std::map<std::string, Values, std::less<>> values_;
  std::map<std::string, std::map<double, double>, std::less<>> buckets_;
};

/// The quantile of what was observed between two scrapes, by linear interpolation inside the bucket; nothing where nothing was observed.
std::optional<double> quantile(const std::map<double, double>& before, const std::map<double, double>& now, double q);

/// Remembers one histogram between scrapes.
class Histogram {
 public:
  /// not_yet at first and after a restart; the last values stay while nothing new is observed.
  void update(const std::map<double, double>& now, Reading<double>& p50, Reading<double>& p95);

 private:
  std::map<double, double> before_;
  Reading<double> p50_, p95_;
};

}  // namespace mlxdash::collect::prometheus
