#include "mlxdash/collect/board.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "mlxbase/testing/fake_clock.h"

namespace mlxdash::collect {
namespace {

// A source whose behaviour a test sets: the lambdas of a table hold nothing.
struct Script {
  std::atomic<int> looks{0}, hung{0};
  std::atomic<bool> fails{false};
  std::shared_future<void> hangs_until;
};
Script g_good, g_bad;

class Scripted final : public Looker {
 public:
  Scripted(Script& script, double value) : script_(script), value_(value) {}
  mlxbase::Result<Apply> look(const Moment&) override {
    ++script_.looks;
    if (script_.hangs_until.valid()) {
      script_.hangs_until.wait();
      ++script_.hung;
    }
    if (script_.fails) return mlxbase::fail(mlxbase::Code::io, "the device is on fire");
    return [value = value_](Snapshot& s) { s.cpu.load1 = value; };
  }

 private:
  Script& script_;
  double value_;
};

class ScriptedMemory final : public Looker {
 public:
  mlxbase::Result<Apply> look(const Moment&) override {
    ++g_good.looks;
    return [](Snapshot& s) { s.memory.total = 7U; };
  }
};

constexpr On kBoth{.linux_os = true, .macos = true};
const std::array<Row, 2> kRows = {{
    {"bad", Lane::files, 0, kBoth, [](const Parts&) -> std::unique_ptr<Looker> { return std::make_unique<Scripted>(g_bad, 1.5); }, [](Snapshot& s, Absent why) { s.cpu.load1 = why; }},
    {"good", Lane::gpu, 0, kBoth, [](const Parts&) -> std::unique_ptr<Looker> { return std::make_unique<ScriptedMemory>(); }, [](Snapshot& s, Absent why) { s.memory.total = why; }},
}};

class BoardTest : public ::testing::Test {
 protected:
  BoardTest() {
    g_good.looks = g_bad.looks = g_bad.hung = 0;
    g_bad.fails = false;
    g_bad.hangs_until = {};
  }
  Parts parts() { return {.fs = mlxbase::os::real_file_system(), .environment = environment_, .clock = clock_}; }
  const Source& source(const Snapshot& s, std::string_view name) {
    for (const Source& source : s.sources) {
      if (source.name == name) return source;
    }
    ADD_FAILURE();
    return s.sources.front();
  }
  void advance(double seconds) { clock_.advance_ns(static_cast<std::int64_t>(seconds * 1e9)); }
  mlxbase::os::Environment environment_;
  mlxbase::testing::FakeClock clock_;
};

TEST_F(BoardTest, AFailureTakesItsOwnValuesAwayAndSaysWhy) {
  Board board(parts(), kRows, {});
  board.step(Lane::files);
  board.step(Lane::gpu);
  EXPECT_EQ(board.snapshot().cpu.load1, 1.5);
  g_bad.fails = true;
  advance(1);
  board.step(Lane::files);
  const Snapshot s = board.snapshot();
  EXPECT_EQ(s.cpu.load1.error(), Absent::no_answer);
  EXPECT_EQ(s.memory.total, 7U);
  EXPECT_EQ(source(s, "bad").state, SourceState::failed);
  EXPECT_EQ(source(s, "bad").message, "the device is on fire");
  EXPECT_EQ(source(s, "good").state, SourceState::ok);
}

TEST_F(BoardTest, WhatKeepsFailingIsAskedLessAndLess) {
  g_bad.fails = true;
  Board board(parts(), kRows, {});
  for (int second = 0; second < 300; ++second) {
    board.step(Lane::files);
    advance(1);
  }
  EXPECT_LE(g_bad.looks, 12) << "after 1, 2, 5, 15, and then every 60 seconds";
  EXPECT_GE(g_bad.looks, 7);
  g_bad.fails = false;
  advance(61);
  board.step(Lane::files);
  EXPECT_EQ(board.snapshot().cpu.load1, 1.5);
}

TEST_F(BoardTest, ValuesThatAreTooOldAreTakenOff) {
  Board board(parts(), kRows, {});
  board.step(Lane::files);
  advance(3);
  EXPECT_TRUE(board.snapshot().cpu.load1);
  advance(5);
  const Snapshot s = board.snapshot();
  EXPECT_EQ(s.cpu.load1.error(), Absent::no_answer);
  EXPECT_EQ(source(s, "bad").state, SourceState::late);
}

TEST_F(BoardTest, ASourceThatHangsHoldsUpNeitherTheOthersNorTheEnd) {
  std::promise<void> release;
  g_bad.hangs_until = release.get_future().share();
  {
    Board board({.fs = mlxbase::os::real_file_system(), .environment = environment_, .clock = mlxbase::system_clock()}, kRows, {.interval_ms = 1});
    board.start();
    while (g_good.looks < 5) std::this_thread::yield();
    EXPECT_EQ(board.snapshot().memory.total, 7U);
    EXPECT_FALSE(board.snapshot().cpu.load1);
    EXPECT_EQ(g_bad.looks, 1);
  }
  release.set_value();  // the lane ends by itself
  while (g_bad.hung == 0) std::this_thread::yield();
}

TEST_F(BoardTest, NothingIsAskedWhileNobodyLooks) {
  Board board({.fs = mlxbase::os::real_file_system(), .environment = environment_, .clock = mlxbase::system_clock()}, kRows, {.interval_ms = 1});
  board.pause(true);
  board.start();
  EXPECT_FALSE(board.wait_settled(1, 30));
  EXPECT_EQ(g_good.looks + g_bad.looks, 0);
  board.pause(false);
  EXPECT_TRUE(board.wait_settled(2, 10'000));
}

TEST_F(BoardTest, WhatWasSeenBeforeAPauseKeepsItsAge) {
  Board board(parts(), kRows, {});
  board.step(Lane::files);
  board.pause(true);
  advance(3600);
  board.pause(false);
  EXPECT_NEAR(source(board.snapshot(), "bad").age, 3600, 1) << "an hour old, and not new since somebody looks again";
  EXPECT_EQ(source(board.snapshot(), "bad").state, SourceState::ok) << "it had no time yet to look";
  advance(10);
  EXPECT_EQ(source(board.snapshot(), "bad").state, SourceState::late);
}

TEST_F(BoardTest, AfterAPauseWhatIsDueIsLookedAtAndNothingElse) {
  static const std::array<Row, 2> kSlowAndQuick = {{
      {"slow", Lane::files, 300'000, kBoth, kRows[0].make, kRows[0].clear},
      {"quick", Lane::gpu, 1, kBoth, kRows[1].make, kRows[1].clear},
  }};
  Board board({.fs = mlxbase::os::real_file_system(), .environment = environment_, .clock = mlxbase::system_clock()}, kSlowAndQuick, {});
  board.start();
  ASSERT_TRUE(board.wait_settled(1, 10'000));
  board.pause(true);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const int before = g_good.looks;
  board.pause(false);
  EXPECT_TRUE(board.wait_fresh(10'000));
  EXPECT_GT(g_good.looks, before);
  EXPECT_EQ(g_bad.looks, 1) << "its five minutes have not passed";
}

TEST_F(BoardTest, WhatThisPlatformHasNoSourceForIsNotSupported) {
  static const std::array<Row, 1> kMac = {{{"mac", Lane::files, 0, {.macos = true}, kRows[0].make, kRows[0].clear}}};
  environment_.platform = mlxbase::os::Platform::linux_os;
  Board board(parts(), kMac, {});
  EXPECT_EQ(board.snapshot().cpu.load1.error(), Absent::not_supported);
}

}  // namespace
}  // namespace mlxdash::collect
