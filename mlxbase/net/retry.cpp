#include "mlxbase/net/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace mlxbase::net {
namespace {

constexpr std::uint64_t kMsPerSecond = 1000;

bool worth_repeating(const Error* error, const ResponseHead* head) {
  if (error != nullptr) return error->code == Code::io;
  if (head == nullptr) return false;
  switch (head->status) {
    case 408: case 425: case 429: case 500: case 502: case 503: case 504: return true;
    default: return false;
  }
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure == std::errc::result_out_of_range) return UINT64_MAX / kMsPerSecond;
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return std::min(value, UINT64_MAX / kMsPerSecond);
}

/// Seconds, or a date: the distance from the answer's own Date, whatever our clock says.
std::optional<std::uint64_t> retry_after_s(const ResponseHead& head) {
  const auto value = find_header(head.headers, "Retry-After");
  if (!value) return std::nullopt;
  if (const auto seconds = whole_number(*value)) return seconds;
  const auto date = find_header(head.headers, "Date");
  if (!date) return std::nullopt;
  const time_t then = curl_getdate(value->c_str(), nullptr);
  const time_t now = curl_getdate(date->c_str(), nullptr);
  if (then < 0 || now < 0) return std::nullopt;
  return then > now ? static_cast<std::uint64_t>(then - now) : 0;
}

/// `"api";r=0;t=55`: nothing left, and 55 seconds until there is. One second more, as its clock may be cut to whole ones.
std::optional<std::uint64_t> rate_limit_s(const ResponseHead& head) {
  const auto value = find_header(head.headers, "RateLimit");
  if (!value) return std::nullopt;
  std::optional<std::uint64_t> remaining, reset;
  for (std::string_view left = *value; !left.empty();) {
    const auto end = std::min(left.find_first_of(";,"), left.size());
    std::string_view field = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    while (field.starts_with(' ')) field.remove_prefix(1);
    while (field.ends_with(' ')) field.remove_suffix(1);
    if (field.starts_with("r=")) remaining = whole_number(field.substr(2));
    if (field.starts_with("t=")) reset = whole_number(field.substr(2));
  }
  if (!remaining || *remaining != 0 || !reset) return std::nullopt;
  return *reset + 1;
}

}  // namespace

std::optional<std::uint32_t> wait_before(const RetryPolicy& policy, std::uint32_t attempt, const Error* error, const ResponseHead* head,
                                         double chance) {
  if (attempt == 0 || attempt >= policy.attempts || !worth_repeating(error, head)) return std::nullopt;
  const std::uint32_t doublings = std::min<std::uint32_t>(attempt - 1, 31);
  const std::uint64_t plain = std::min<std::uint64_t>(std::uint64_t{policy.first_wait_ms} << doublings, policy.longest_wait_ms);
  const double jitter = 0.75 + 0.5 * std::clamp(chance, 0.0, 1.0);
  std::uint64_t wait = static_cast<std::uint64_t>(static_cast<double>(plain) * jitter);
  if (head != nullptr) {
    const std::uint64_t asked = kMsPerSecond * std::max(retry_after_s(*head).value_or(0), rate_limit_s(*head).value_or(0));
    if (asked > policy.longest_asked_ms) return std::nullopt;
    wait = std::max(wait, asked);
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(wait, UINT32_MAX));
}

}  // namespace mlxbase::net
