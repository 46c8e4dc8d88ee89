#include "mlxcache/watch/pace.h"

#include <algorithm>
#include <utility>

namespace mlxcache::watch {
namespace {

constexpr std::int64_t kShortestNs = 5'000'000;     // shorter rests cost more than they save
constexpr std::int64_t kLongestNs = 500'000'000;    // a request to stop is answered within this

}  // namespace

Pace::Pace(mlxbase::Progress& inner, mlxbase::Clock& clock, const mlxbase::Cancel& cancel, unsigned percent, std::function<std::int64_t()> cpu_ns,
           std::function<void(std::int64_t)> rest)
    : inner_(inner), clock_(clock), cancel_(cancel), percent_(percent), cpu_ns_(std::move(cpu_ns)), rest_(std::move(rest)) {
  begin();
}

void Pace::begin() {
  const std::scoped_lock lock(mutex_);
  cpu_began_ns_ = cpu_ns_();
  began_ns_ = clock_.steady_ns();
}

void Pace::stage(std::string_view name, std::uint64_t total, bool unit_is_bytes) {
  inner_.stage(name, total, unit_is_bytes);
  const std::scoped_lock lock(mutex_);
  holding_ = name == "sharing";
}

void Pace::advance(std::uint64_t units) {
  inner_.advance(units);
  if (percent_ == 0) return;
  const std::scoped_lock lock(mutex_);
  if (!holding_) rest_if_needed();
}

void Pace::item(std::string_view what) {
  inner_.item(what);
  if (percent_ == 0) return;
  const std::scoped_lock lock(mutex_);
  rest_if_needed();
}

void Pace::rest_if_needed() {
  // A large file is compared in one go by the kernel; what that took is rested for as long as it takes.
  for (std::int64_t over = 0; !cancel_.requested(); rest_(std::min(over, kLongestNs))) {
    over = (cpu_ns_() - cpu_began_ns_) / percent_ * 100 - (clock_.steady_ns() - began_ns_);
    if (over < kShortestNs) return;
  }
}

}  // namespace mlxcache::watch
