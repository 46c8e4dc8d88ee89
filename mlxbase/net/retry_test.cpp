#include "mlxbase/net/retry.h"

#include <gtest/gtest.h>

namespace mlxbase::net {
namespace {

ResponseHead head(int status, Headers headers = {}) {
  ResponseHead out;
  out.status = status;
  out.headers = std::move(headers);
  return out;
}

const RetryPolicy kPolicy;

TEST(Retry, RepeatsWhatMayGoBetterNextTime) {
  for (const int status : {408, 425, 429, 500, 502, 503, 504}) {
    const auto answer = head(status);
    EXPECT_TRUE(wait_before(kPolicy, 1, nullptr, &answer, 0.5)) << status;
  }
  for (const int status : {200, 206, 301, 400, 401, 403, 404, 410, 416, 501, 505}) {
    const auto answer = head(status);
    EXPECT_FALSE(wait_before(kPolicy, 1, nullptr, &answer, 0.5)) << status;
  }
  const Error reset{Code::io, "reset", 0};
  EXPECT_TRUE(wait_before(kPolicy, 1, &reset, nullptr, 0.5));
  for (const Code code : {Code::corrupt, Code::permission, Code::cancelled, Code::invalid, Code::unsupported, Code::out_of_space}) {
    const Error error{code, "", 0};
    EXPECT_FALSE(wait_before(kPolicy, 1, &error, nullptr, 0.5));
  }
}

TEST(Retry, WaitsTwiceAsLongEachTimeUpToALimit) {
  const Error reset{Code::io, "reset", 0};
  RetryPolicy patient;
  patient.attempts = 100;
  EXPECT_EQ(wait_before(patient, 1, &reset, nullptr, 0.5), 500U);
  EXPECT_EQ(wait_before(patient, 2, &reset, nullptr, 0.5), 1000U);
  EXPECT_EQ(wait_before(patient, 3, &reset, nullptr, 0.5), 2000U);
  EXPECT_EQ(wait_before(patient, 60, &reset, nullptr, 0.5), 30'000U);
  EXPECT_EQ(wait_before(patient, 1, &reset, nullptr, 0.0), 375U);
  EXPECT_LT(*wait_before(patient, 1, &reset, nullptr, 0.999), 626U);
}

TEST(Retry, GivesUpAfterTheLastAttempt) {
  const Error reset{Code::io, "reset", 0};
  EXPECT_TRUE(wait_before(kPolicy, kPolicy.attempts - 1, &reset, nullptr, 0.5));
  EXPECT_FALSE(wait_before(kPolicy, kPolicy.attempts, &reset, nullptr, 0.5));
}

TEST(Retry, HeedsRetryAfter) {
  const auto wait = [](Headers headers) {
    const auto answer = head(429, std::move(headers));
    return wait_before(kPolicy, 1, nullptr, &answer, 0.5);
  };
  EXPECT_EQ(wait({{"retry-after", "7"}}), 7000U);
  EXPECT_EQ(wait({{"Retry-After", "0"}}), 500U);
  EXPECT_EQ(wait({{"Retry-After", "601"}}), std::nullopt);
  EXPECT_EQ(wait({{"Retry-After", "99999999999999999999999"}}), std::nullopt);
  EXPECT_EQ(wait({{"Retry-After", "soon"}}), 500U);
  EXPECT_EQ(wait({{"Retry-After", "-5"}}), 500U);
  // A date counts from the answer's own: this machine's clock may be years off.
  EXPECT_EQ(wait({{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"Retry-After", "Sun, 06 Nov 1994 08:49:57 GMT"}}), 20'000U);
  EXPECT_EQ(wait({{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"Retry-After", "Sun, 06 Nov 1994 08:00:00 GMT"}}), 500U);
  EXPECT_EQ(wait({{"Retry-After", "Sun, 06 Nov 1994 08:49:57 GMT"}}), 500U);
}

TEST(Retry, HeedsTheRateLimitHeader) {
  const auto wait = [](const char* value) {
    const auto answer = head(429, {{"RateLimit", value}});
    return wait_before(kPolicy, 1, nullptr, &answer, 0.5);
  };
  EXPECT_EQ(wait("\"api\";r=0;t=55"), 56'000U);
  EXPECT_EQ(wait("\"api\"; r=0; t=55"), 56'000U);
  EXPECT_EQ(wait("\"api\";r=3;t=55"), 500U);
  EXPECT_EQ(wait("\"api\";r=0"), 500U);
  EXPECT_EQ(wait(";;;=,"), 500U);
  EXPECT_EQ(wait("\"api\";r=0;t=100000"), std::nullopt);
}

}  // namespace
}  // namespace mlxbase::net
