#include "mlxhub/text/stop.h"

#include <algorithm>
#include <utility>

namespace mlxhub::text {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

StopMatcher::Step StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  Step step;
  std::size_t first = std::string::npos;
  for (std::size_t i = 0; i < stops_.size(); ++i) {
    if (stops_[i].empty()) continue;
    const std::size_t at = held_.find(stops_[i]);
    if (at < first) {
      first = at;
      step.stop = i;
    }
  }
  if (step.stop) {
    step.text = held_.substr(0, first);
    step.rest = held_.substr(first + stops_[*step.stop].size());
    held_.clear();
    stopped_ = true;
    return step;
  }
  std::size_t keep = 0;  // the longest end that begins one of them
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.empty() ? 0 : stop.size() - 1, held_.size()); n > keep; --n) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) keep = n;
    }
  }
  step.text = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return step;
}

std::string StopMatcher::finish() {
  stopped_ = true;
  return std::exchange(held_, {});
}

}  // namespace mlxhub::text
