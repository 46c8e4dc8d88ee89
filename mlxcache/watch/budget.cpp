#include "mlxcache/watch/budget.h"

#include <algorithm>
#include <cmath>

#include "mlxbase/core/units.h"

namespace mlxcache::watch {

std::optional<ReadLimit> parse_read_limit(std::string_view text) {
  constexpr std::int64_t kHourNs = std::int64_t{3600} * 1'000'000'000;
  std::int64_t per = 24 * kHourNs;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    const std::string_view unit = text.substr(slash + 1);
    if (unit == "hour" || unit == "h") {
      per = kHourNs;
    } else if (unit != "day" && unit != "d") {
      return std::nullopt;
    }
    text = text.substr(0, slash);
  }
  const auto bytes = mlxbase::parse_bytes(text);
  if (!bytes || *bytes == 0) return std::nullopt;
  return ReadLimit{*bytes, per};
}

void Budget::drain(std::int64_t now_ns) {
  if (!limit_) return;
  if (now_ns > as_of_ns_) {
    const double gone = static_cast<double>(limit_->bytes) * (static_cast<double>(now_ns - as_of_ns_) / static_cast<double>(limit_->per_ns));
    // Less than a byte stays for the next time: many small looks must not round it all away.
    if (gone < 1 && used_ > 0) return;
    used_ = gone >= static_cast<double>(used_) ? 0 : used_ - static_cast<std::uint64_t>(gone);
  }
  as_of_ns_ = now_ns;  // also when the clock was set back
}

bool Budget::admits(std::uint64_t bytes, std::int64_t now_ns) {
  if (!limit_ || bytes == 0) return true;
  drain(now_ns);
  return used_ == 0 || (used_ <= limit_->bytes && bytes <= limit_->bytes - used_);
}

void Budget::take(std::uint64_t bytes, std::int64_t now_ns) {
  drain(now_ns);
  used_ = bytes > UINT64_MAX - used_ ? UINT64_MAX : used_ + bytes;
}

std::int64_t Budget::when(std::uint64_t bytes, std::int64_t now_ns) {
  if (admits(bytes, now_ns)) return now_ns;
  const std::uint64_t may_be_used = bytes >= limit_->bytes ? 0 : limit_->bytes - bytes;
  const double wait = static_cast<double>(used_ - may_be_used) / static_cast<double>(limit_->bytes) * static_cast<double>(limit_->per_ns);
  constexpr double kYearNs = 365.0 * 86'400e9;
  return now_ns + static_cast<std::int64_t>(std::ceil(std::min(wait, kYearNs))) + 1'000'000;
}

std::uint64_t Budget::used(std::int64_t now_ns) {
  drain(now_ns);
  return used_;
}

}  // namespace mlxcache::watch
