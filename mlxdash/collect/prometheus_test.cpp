#include "mlxdash/collect/prometheus.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace mlxdash::collect::prometheus {
namespace {

TEST(Prometheus, NamesAreComparedWhole) {
  const auto scrape = Scrape::read(
      "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 7\n"
      "vllm:num_requests_waiting 3\n",
      {"vllm:num_requests_waiting"});
  ASSERT_TRUE(scrape);
  EXPECT_EQ(scrape->sum("vllm:num_requests_waiting"), 3);
}

TEST(Prometheus, SurvivesWhatServersWrite) {
  const auto scrape = Scrape::read(
      "# TYPE a gauge\n# HELP a text\n"
      "a{x=\"a \\\"}\\\" b\\\\\",y=\"1\"} 1.0e+06 1712345678000\n"
      "a{x=\"other\"}\t2\n"
      "b NaN\nc +Inf\nd -Inf\n"
      "a_created 5\r\n"
      "half{\nnot a number x\n = 5\n"
      "# EOF\n",
      {"a", "b", "c", "d"});
  ASSERT_TRUE(scrape);
  EXPECT_EQ(scrape->sum("a"), 1000002);
  EXPECT_EQ(scrape->max("a"), 1000000);
  EXPECT_FALSE(scrape->sum("b")) << "not a number is no number";
  EXPECT_EQ(scrape->sum("c"), std::numeric_limits<double>::infinity());
  EXPECT_FALSE(scrape->sum("e"));
}

TEST(Prometheus, LabelsAreUnescaped) {
  std::optional<std::string> x, y, z;
  ASSERT_TRUE(parse("m{x=\"a\\\"b\\\\c\\nd\",y=\"{}\"} 1", [&](const Sample& s) {
    x = s.label("x");
    y = s.label("y");
    z = s.label("z");
  }));
  EXPECT_EQ(x, "a\"b\\c\nd");
  EXPECT_EQ(y, "{}");
  EXPECT_FALSE(z);
}

TEST(Prometheus, APageOfHtmlIsNoMetrics) {
  const auto scrape = Scrape::read("<!doctype html>\n<html><body>404</body></html>\n", {"a"});
  ASSERT_FALSE(scrape);
  EXPECT_EQ(scrape.error().code, mlxbase::Code::corrupt);
}

TEST(Prometheus, RefusesMoreThanAServerWouldSend) {
  const auto scrape = Scrape::read(std::string(std::size_t{9} << 20U, 'x'), {"x"});
  ASSERT_FALSE(scrape);
  EXPECT_EQ(scrape.error().code, mlxbase::Code::invalid);
}

TEST(Prometheus, CutAnywhereItNeitherCrashesNorInventsANumber) {
  const std::string whole = "a{x=\"1\",le=\"0.5\"} 12\nt_bucket{le=\"0.1\"} 3\nt_bucket{le=\"+Inf\"} 4\n";
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    const auto scrape = Scrape::read(std::string_view(whole).substr(0, n), {"a", "t"});
    if (!scrape) continue;
    const double a = scrape->sum("a").value_or(12);
    EXPECT_TRUE(a == 12 || a == 1) << n;
  }
}

std::map<double, double> histogram(double a, double b, double all) { return {{0.1, a}, {1.0, b}, {std::numeric_limits<double>::infinity(), all}}; }

TEST(PrometheusQuantile, IsThatOfWhatCameSinceTheLastScrape) {
  // 10 fast ones long ago; since then 10 between 0.1 and 1.
  const auto q = quantile(histogram(10, 10, 10), histogram(10, 20, 20), 0.5);
  ASSERT_TRUE(q);
  EXPECT_NEAR(*q, 0.55, 1e-9);
}

TEST(PrometheusQuantile, SaysNothingWhereNothingCameOrTheServerStartedAnew) {
  EXPECT_FALSE(quantile(histogram(1, 2, 3), histogram(1, 2, 3), 0.5));
  EXPECT_FALSE(quantile(histogram(5, 6, 7), histogram(1, 2, 3), 0.5));
  EXPECT_FALSE(quantile({}, histogram(1, 2, 3), 0.5));
}

TEST(PrometheusQuantile, BeyondTheLastBoundItIsAtLeastThatBound) { EXPECT_EQ(quantile(histogram(0, 0, 0), histogram(0, 0, 5), 0.95), 1.0); }

TEST(PrometheusHistogram, KeepsTheLastValueWhileNothingNewComes) {
  Histogram h;
  Reading<double> p50, p95;
  h.update(histogram(0, 0, 0), p50, p95);
  EXPECT_FALSE(p50);
  h.update(histogram(10, 10, 10), p50, p95);
  ASSERT_TRUE(p50);
  const double before = *p50;
  h.update(histogram(10, 10, 10), p50, p95);
  ASSERT_TRUE(p50);
  EXPECT_EQ(*p50, before);
  h.update(histogram(1, 1, 1), p50, p95);
  EXPECT_EQ(p50.error(), Absent::not_yet);
}

}  // namespace
}  // namespace mlxdash::collect::prometheus
