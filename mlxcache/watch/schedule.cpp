#include "mlxcache/watch/schedule.h"

#include <algorithm>

namespace mlxcache::watch {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kRestFactor = 20;               // looks take at most a twentieth of the time
constexpr std::int64_t kLongestRestNs = 600 * kSecond;
constexpr std::int64_t kPollNs = 60 * kSecond;
constexpr std::int64_t kPollFactor = 1000;             // a thousandth of the time; bench/results/watch.md: a look every minute costs 0.3 % with 6000 folders
constexpr std::int64_t kLongestPollNs = 600 * kSecond;
constexpr std::int64_t kBusyNs = 5 * kSecond;          // another mlxcache: it is soon done, mostly
constexpr std::int64_t kLongestBusyNs = 60 * kSecond;
constexpr std::int64_t kFailedNs = 60 * kSecond;
constexpr std::int64_t kLongestFailedNs = 3600 * kSecond;
constexpr std::int64_t kPowerNs = 60 * kSecond;

std::int64_t first_of(const std::vector<Waiting>& waiting) {
  std::int64_t first = INT64_MAX;
  for (const Waiting& w : waiting) {
    if (w.until_ns > 0) first = std::min(first, w.until_ns);
  }
  return first;
}

}  // namespace

void Schedule::changed(std::int64_t now_ns) { changes_ns_ = std::min(changes_ns_, now_ns + quiet_ns_); }

void Schedule::looked(std::int64_t began_ns, std::int64_t ended_ns, const std::vector<Waiting>& waiting, bool polling) {
  failures_ = 0;
  const std::int64_t rest = std::clamp((ended_ns - began_ns) * kRestFactor, kSecond, kLongestRestNs);
  rest_until_ns_ = ended_ns + rest;
  waiting_ns_ = first_of(waiting);
  changes_ns_ = polling ? ended_ns + std::clamp((ended_ns - began_ns) * kPollFactor, kPollNs, kLongestPollNs) : INT64_MAX;
}

void Schedule::waited(std::int64_t now_ns, const std::vector<Waiting>& waiting) {
  waiting_ns_ = first_of(waiting);
  rest_until_ns_ = std::max(rest_until_ns_, now_ns + kSecond);
}

void Schedule::failed(std::int64_t now_ns, bool busy) {
  const std::int64_t longest = busy ? kLongestBusyNs : kLongestFailedNs;
  std::int64_t wait = busy ? kBusyNs : kFailedNs;
  for (int i = 0; i < failures_ && wait < longest; ++i) wait *= 2;
  ++failures_;
  rest_until_ns_ = now_ns + std::min(wait, longest);
  changes_ns_ = std::min(changes_ns_, now_ns);
}

void Schedule::held_back(std::int64_t now_ns) {
  rest_until_ns_ = now_ns + kPowerNs;
  changes_ns_ = std::min(changes_ns_, now_ns);
}

std::int64_t Schedule::due_ns() const {
  const std::int64_t wanted = std::min(changes_ns_, waiting_ns_);
  return wanted == INT64_MAX ? wanted : std::max(wanted, rest_until_ns_);
}

}  // namespace mlxcache::watch
