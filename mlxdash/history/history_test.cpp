#include "mlxdash/history/history.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "mlxbase/testing/temporary_folder.h"
#include "mlxdash/history/recorder.h"

namespace mlxdash::history {
namespace {

constexpr std::int64_t kBegin = 1'795'800'000;  // divisible by 3600
constexpr std::int64_t kHour = 3600;

template <class T>
T must(mlxbase::Result<T> result) {
  EXPECT_TRUE(result) << (result ? "" : result.error().message);
  return std::move(*result);
}

TEST(History, GivesBackWhatWasWrittenSecondBySecond) {
  auto history = must(History::in_memory());
  for (int i = 0; i < 100; ++i) {
    std::vector<Value> values{{"a", 0.1 * i}};
    if (i != 50) values.emplace_back("b", 1.0);
    history.add(kBegin + i, std::move(values));
  }
  ASSERT_TRUE(history.write());
  const auto a = must(history.read("a", kBegin, kBegin + 1000));
  ASSERT_EQ(a.size(), 100U);
  EXPECT_EQ(a[33].mean, 0.1 * 33) << "to the last bit";
  EXPECT_EQ(must(history.read("b", kBegin, kBegin + 1000)).size(), 99U) << "a gap stays a gap";
  EXPECT_TRUE(must(history.read("c", kBegin, kBegin + 1000)).empty());
  EXPECT_EQ(must(history.series()), (std::vector<std::string>{"a", "b"}));
}

TEST(History, AWeekStaysBoundedAndItsRollupsAreRight) {
  auto history = must(History::in_memory());
  std::int64_t most = 0;
  const std::int64_t end = kBegin + 7 * 24 * kHour;
  for (std::int64_t t = kBegin; t < end; ++t) {
    history.add(t, {{"seconds", static_cast<double>(t % kHour)}});
    if ((t + 1) % 600 == 0) {
      ASSERT_TRUE(history.write());
      if ((t + 1) % (6 * kHour) == 0) most = std::max(most, must(history.rows()));
    }
  }
  // 3600 s and up to ten minutes more, 6 h of 10 s, 2 d of 1 min, 7 d of 10 min and of 1 h, with some slack for what is forgotten once a minute.
  EXPECT_LE(most, 3600 + 600 + 2160 + 2880 + 1008 + 168 + 200);
  const auto hours = must(history.read("seconds", kBegin, end));
  ASSERT_GE(hours.size(), 1000U) << "ten minutes reach back a week";
  for (const Point& p : hours) {
    EXPECT_EQ(p.t % 600, 0);
    EXPECT_EQ(p.low, static_cast<double>(p.t % kHour));
    EXPECT_EQ(p.high, static_cast<double>(p.t % kHour + 599));
    EXPECT_NEAR(p.mean, static_cast<double>(p.t % kHour) + 299.5, 1e-6);
  }
  const auto minutes = must(history.read("seconds", end - 24 * kHour, end));
  ASSERT_FALSE(minutes.empty());
  EXPECT_EQ(minutes[1].t - minutes[0].t, 60);
  EXPECT_EQ(must(history.read("seconds", end - 1800, end)).size(), 1800U);
}

TEST(History, TooManySeriesAreDroppedAndCountedNotKept) {
  auto history = must(History::in_memory());
  std::vector<Value> values;
  for (std::size_t i = 0; i < kMostSeries + 40; ++i) values.emplace_back("series " + std::to_string(i), 1.0);
  history.add(kBegin, values);
  ASSERT_TRUE(history.write());
  EXPECT_EQ(history.dropped(), 40U);
  EXPECT_EQ(must(history.series()).size(), kMostSeries);
}

TEST(History, AClockThatIsSetBackLosesNothingThatComesAfter) {
  auto history = must(History::in_memory());
  for (int i = 0; i < 7200; ++i) history.add(kBegin + 10 * 24 * kHour + i, {{"a", 1.0}});
  ASSERT_TRUE(history.write());
  for (int i = 0; i < 7200; ++i) {
    history.add(kBegin + i, {{"a", 2.0}});
    if (i % 60 == 0) {
      ASSERT_TRUE(history.write());
    }
  }
  ASSERT_TRUE(history.write());
  const auto points = must(history.read("a", kBegin, kBegin + 7200));
  ASSERT_GE(points.size(), 700U);
  for (const Point& p : points) EXPECT_EQ(p.mean, 2.0);
}

TEST(History, SurvivesKill) {
  const mlxbase::testing::TemporaryFolder folder;
  const std::string path = folder / "history.sqlite";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto history = History::open(path);
    for (std::int64_t i = 0; history; ++i) {
      history->add(kBegin + i, {{"a", static_cast<double>(i)}});
      if (!history->write()) ::_exit(1);
      if (i == 100 && ::write(ready[1], "x", 1) != 1) ::_exit(1);
    }
    ::_exit(1);
  }
  char c = 0;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  auto history = must(History::open(path));
  const auto points = must(history.read("a", kBegin, kBegin + 100'000));
  ASSERT_GE(points.size(), 100U);
  for (std::size_t i = 0; i < points.size(); ++i) EXPECT_EQ(points[i].mean, static_cast<double>(i));
}

TEST(History, ADamagedFileIsSetAsideAndANewerOneRefused) {
  const mlxbase::testing::TemporaryFolder folder;
  const std::string path = folder.write("history.sqlite", std::string(8192, 'x'));
  {
    auto history = must(History::open(path));
    history.add(kBegin, {{"a", 1.0}});
    ASSERT_TRUE(history.write());
  }
  EXPECT_EQ(mlxbase::testing::read_all(path + ".damaged").size(), 8192U);
  auto db = must(mlxbase::sql::Database::open(path));
  ASSERT_TRUE(db.execute("PRAGMA user_version=99"));
  const auto newer = History::open(path);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, mlxbase::Code::unsupported);
}

TEST(Recorder, OneRecordsAndAnotherIsTold) {
  const mlxbase::testing::TemporaryFolder folder;
  auto& fs = mlxbase::os::real_file_system();
  Snapshot s;
  s.wall_ns = kBegin * 1'000'000'000;
  s.memory.used = 5U;
  {
    auto first = must(Recorder::start(fs, folder / "state"));
    const auto second = Recorder::start(fs, folder / "state");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, mlxbase::Code::busy);
    first->add(s);
  }
  auto history = must(History::open(folder / "state/history.sqlite"));
  EXPECT_EQ(must(history.series()), (std::vector<std::string>{"mlxdash_memory_used_bytes"})) << "what is missing has no series";
  EXPECT_EQ(must(history.read("mlxdash_memory_used_bytes", kBegin - 1, kBegin + 1)).at(0).mean, 5.0);
}

}  // namespace
}  // namespace mlxdash::history
