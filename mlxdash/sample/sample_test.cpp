#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "mlxdash/sample/derive.h"
#include "mlxdash/sample/json.h"
#include "mlxdash/sample/rate.h"
#include "mlxdash/sample/series.h"

namespace mlxdash {
namespace {

TEST(Reading, OneThatNobodyFilledIsMissing) {
  const Reading<double> reading;
  EXPECT_FALSE(reading);
  EXPECT_EQ(reading.error(), Absent::not_yet);
}

TEST(Rate, TellsNothingAfterARestartAndWhereNoTimePassed) {
  Rate rate;
  EXPECT_FALSE(rate.per_second(10, 1'000'000'000));
  EXPECT_EQ(rate.per_second(30, 3'000'000'000), 10.0);
  EXPECT_FALSE(rate.per_second(5, 4'000'000'000));
  EXPECT_EQ(rate.per_second(6, 5'000'000'000), 1.0);
  EXPECT_FALSE(rate.per_second(7, 5'000'000'000));
}

Snapshot some() {
  Snapshot s;
  s.cpu.busy = 0.5;
  s.memory.total = 1000U;
  Engine e{.kind = "ollama", .url = "http://h\"\\\n:1", .state = "up"};
  LoadedModel m{.name = "m"};
  m.bytes = 10U;
  m.gpu_bytes = 4U;
  m.expires_in = std::numeric_limits<double>::infinity();
  e.models = std::vector<LoadedModel>{m};
  e.process = Process{.pid = 1, .name = "ollama"};
  s.engines = std::vector<Engine>{e};
  s.gpus = std::vector<Gpu>{{.driver = "nvidia", .name = "G", .id = "0"}};
  s.cache = Cache{.stores = {{.kind = "ollama"}}};
  return s;
}

TEST(Series, EveryNameIsInTheTableAndWhatIsMissingIsLeftOut) {
  std::set<std::string_view> known;
  for (const Metric& m : metrics()) EXPECT_TRUE(known.insert(m.name).second) << m.name;
  const auto all = measurements(some());
  for (const Measurement& m : all) {
    EXPECT_TRUE(known.contains(m.name)) << m.name;
    EXPECT_NE(m.name, "mlxdash_memory_used_bytes");
  }
  EXPECT_GE(all.size(), 6U);
}

TEST(Series, LabelsAreEscaped) {
  const std::string text = prometheus_text(some());
  EXPECT_NE(text.find(R"(url="http://h\"\\\n:1"})"), std::string::npos) << text;
}

TEST(Json, WhatIsMissingIsNullAndItsReasonIsTold) {
  const auto document = to_json(some());
  EXPECT_TRUE(document["memory"]["used"].is_null());
  EXPECT_EQ(document["absent"]["memory.used"].string(), "not_yet");
  EXPECT_EQ(document["engines"].array().at(0)["models"].array().at(0)["expires_in"].string(), "never");
  EXPECT_EQ(document["absent"]["engines[0].process.resident"].string(), "not_yet");
}

std::set<std::string> causes(const std::vector<Finding>& found) {
  std::set<std::string> out;
  for (const Finding& f : found) out.insert(f.cause);
  return out;
}

TEST(Findings, AMachineOfWhichNothingIsKnownHasNone) { EXPECT_TRUE(findings(Snapshot()).empty()); }

TEST(Findings, NameWhatIsSeenWorstFirst) {
  Snapshot s = some();
  s.memory.swap_in = 50e6;
  s.memory.refaults = 30e6;
  s.gpus->front().throttled = "too hot";
  s.engines->front().waiting = 2.0;
  s.engines->front().running = 1.0;
  s.engines->front().kv_used = 0.99;
  const auto found = findings(s);
  EXPECT_EQ(causes(found), (std::set<std::string>{"swap", "rereading", "throttled", "queue", "kv_full", "cpu_fallback"}));
  EXPECT_EQ(found.front().cause, "swap");
  EXPECT_EQ(found.back().cause, "queue");
}

TEST(Findings, AModelOnTheProcessorIsNoFallbackWhereThereIsNoGpu) {
  Snapshot s = some();
  s.gpus = std::vector<Gpu>{};
  EXPECT_FALSE(causes(findings(s)).contains("cpu_fallback"));
}

TEST(JoulesPerToken, CountsEachPartOnceAndNeedsBothHalves) {
  Snapshot s = some();
  EXPECT_EQ(joules_per_token(s).error(), Absent::not_supported);
  s.gpus->front().watts = 150.0;
  EXPECT_EQ(joules_per_token(s).error(), Absent::not_yet);
  s.engines->front().decode = 50.0;
  s.powers = std::vector<Power>{{.name = "package-0", .watts = 50.0}, {.name = "package-0/core", .watts = 30.0}};
  EXPECT_EQ(joules_per_token(s), 4.0);
}

TEST(Forecast, ALineIsFollowedToItsEnd) {
  Forecast f;
  EXPECT_EQ(f.full_in().error(), Absent::not_yet);
  for (int i = 0; i <= 100; ++i) f.add(std::int64_t{i} * 5'000'000'000, 100.0 + i * 5.0 + (i % 3), 1000);
  ASSERT_TRUE(f.full_in());
  EXPECT_NEAR(*f.full_in(), 400, 15);
}

TEST(Forecast, SaysNothingOfWhatStandsStillShrinksOrOnlyTrembles) {
  Forecast still, shrinks, trembles;
  for (int i = 0; i <= 100; ++i) {
    const std::int64_t t = std::int64_t{i} * 5'000'000'000;
    still.add(t, 500, 1000);
    shrinks.add(t, 500.0 - i, 1000);
    trembles.add(t, 500.0 + (i * 7919 % 100), 1000);
  }
  EXPECT_FALSE(still.full_in());
  EXPECT_FALSE(shrinks.full_in());
  EXPECT_FALSE(trembles.full_in());
}

}  // namespace
}  // namespace mlxdash
