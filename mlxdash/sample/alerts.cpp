#include "mlxdash/sample/alerts.h"

#include <algorithm>

namespace mlxdash {

std::vector<Alert> Alerts::add(const Snapshot& snapshot, std::int64_t steady_ns) {
  const double now = static_cast<double>(steady_ns) / 1e9;
  const double pause = begun_ ? now - before_ : 0;
  if (pause > rules_.begins_after) {
    // Nobody looked: that time counts for nothing.
    for (auto& [cause, state] : causes_) {
      state.first += pause;
      state.last += pause;
    }
  }
  begun_ = true;
  before_ = now;

  std::vector<Alert> out;
  std::map<std::string, const Finding*> seen;  // the worst of each cause: findings come worst first
  for (const Finding& finding : snapshot.findings) {
    if (finding.severity >= rules_.least) seen.try_emplace(finding.cause, &finding);
  }
  for (const auto& [cause, finding] : seen) {
    auto [at, fresh] = causes_.try_emplace(cause, State{.first = now});
    State& state = at->second;
    state.last = now;
    state.text = finding->text;
    const bool lasts = now - state.first >= rules_.begins_after;
    const bool worse = state.told && finding->severity > state.severity;
    if ((lasts && !state.told) || worse) out.push_back({.cause = cause, .severity = finding->severity, .text = state.text, .lasted = now - state.first});
    state.told = state.told || lasts;
    state.severity = std::max(state.severity, finding->severity);
  }
  std::erase_if(causes_, [&](const auto& entry) {
    const auto& [cause, state] = entry;
    if (state.last == now) return false;
    if (!state.told) return true;  // it has to last without a gap
    if (now - state.last < rules_.over_after) return false;
    out.push_back({.cause = cause, .severity = state.severity, .text = state.text, .over = true, .lasted = state.last - state.first});
    return true;
  });
  return out;
}

}  // namespace mlxdash
