#pragma once
// When to ask again, and after how long. Pure.
#include <cstdint>
#include <optional>

#include "mlxbase/core/result.h"
#include "mlxbase/net/http.h"

namespace mlxbase::net {

struct RetryPolicy {
  std::uint32_t attempts = 6;             // in a row without progress
  std::uint32_t first_wait_ms = 500;      // doubled each time, with jitter of ±25 %
  std::uint32_t longest_wait_ms = 30'000;
  std::uint32_t longest_asked_ms = 600'000;  // a Retry-After beyond this is an error for the person, not a wait
};

/// How long to wait before attempt number `attempt` (1 is the first repetition), or nothing: give up. A failed transfer has `error`,
/// an answer has `head`. Repeats: connection failures, resets, stalls, cut bodies, 408, 425, 429, 500, 502, 503, 504. Retry-After (seconds or a
/// date, taken against the answer's own Date header, so a wrong clock does no harm) and `RateLimit: "…";r=0;t=55` lengthen the wait.
/// `chance` in [0, 1) makes the jitter.
std::optional<std::uint32_t> wait_before(const RetryPolicy& policy, std::uint32_t attempt, const Error* error, const ResponseHead* head, double chance);

}  // namespace mlxbase::net
