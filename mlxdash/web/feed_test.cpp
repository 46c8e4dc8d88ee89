#include "mlxdash/web/feed.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "mlxbase/core/clock.h"
#include "mlxbase/os/file_system.h"

namespace mlxdash::web {
namespace {

std::atomic<int> g_looks{0};

class Counting final : public collect::Looker {
 public:
  mlxbase::Result<collect::Apply> look(const collect::Moment&) override {
    const int n = ++g_looks;
    return [n](Snapshot& s) { s.cpu.load1 = n; };
  }
};

constexpr std::array<collect::Row, 1> kRows = {{
    {"count", collect::Lane::files, 0, {.linux_os = true, .macos = true}, [](const collect::Parts&) -> std::unique_ptr<collect::Looker> { return std::make_unique<Counting>(); },
     [](Snapshot& s, Absent why) { s.cpu.load1 = why; }},
}};

/// Waits for events.
struct Watcher {
  std::mutex mutex;
  std::condition_variable came;
  std::vector<Event> events;
  Sink sink() {
    return [this](const Event& event) {
      const std::lock_guard lock(mutex);
      events.push_back(event);
      came.notify_all();
    };
  }
  bool wait(std::size_t n) {
    std::unique_lock lock(mutex);
    return came.wait_for(lock, std::chrono::seconds(10), [&] { return events.size() >= n; });
  }
};

class FeedTest : public ::testing::Test {
 protected:
  FeedTest() { g_looks = 0; }
  mlxbase::os::Environment environment_;
  collect::Board board_{{.fs = mlxbase::os::real_file_system(), .environment = environment_, .clock = mlxbase::system_clock()}, kRows, {.interval_ms = 2}};
};

TEST_F(FeedTest, WithoutWatchersNothingLooks) {
  Feed feed(board_, {.interval_ms = 2});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(g_looks, 0);
  EXPECT_FALSE(feed.looks());
}

TEST_F(FeedTest, AWatcherGetsEventsAndAfterTheLastOneTheSourcesRest) {
  Watcher first, second;
  Feed feed(board_, {.interval_ms = 2});
  const auto a = feed.add(first.sink());
  const auto b = feed.add(second.sink());
  ASSERT_TRUE(first.wait(3) && second.wait(3));
  EXPECT_TRUE(first.events.front()->starts_with("id: "));
  EXPECT_TRUE(first.events.front()->find("\nevent: snapshot\ndata: {\"schema\":\"mlxdash.snapshot/1\"") != std::string::npos);
  EXPECT_TRUE(first.events.front()->ends_with("}\n\n"));
  feed.remove(a);
  EXPECT_EQ(feed.watchers(), 1U);
  EXPECT_TRUE(feed.looks());
  feed.remove(b);
  for (int i = 0; i < 5000 && feed.looks(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_FALSE(feed.looks());
  std::this_thread::sleep_for(std::chrono::milliseconds(10));  // a look that had begun
  const int looks = g_looks;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(g_looks, looks);
}

TEST_F(FeedTest, OneWhoAsksOnceGetsValuesOfNowAndWakesNobodyForLong) {
  Feed feed(board_, {.interval_ms = 2});
  const Snapshot before = feed.now(5000);
  ASSERT_TRUE(before.cpu.load1);
  EXPECT_FALSE(feed.looks());
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const Snapshot after = feed.now(5000);
  ASSERT_TRUE(after.cpu.load1);
  EXPECT_GT(*after.cpu.load1, *before.cpu.load1) << "not what was seen the last time";
}

TEST_F(FeedTest, WhatIsKeptIsKeptAlsoWithoutWatchersIfThatIsWanted) {
  std::atomic<int> kept{0};
  Feed feed(board_, {.interval_ms = 2, .always = true, .on_sample = [&](const Snapshot&) { ++kept; }});
  for (int i = 0; i < 5000 && kept < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(kept, 3);
}

TEST_F(FeedTest, AfterTheEndNobodyIsTaken) {
  Feed feed(board_, {.interval_ms = 2});
  feed.end();
  EXPECT_EQ(feed.add([](const Event&) {}), 0U);
}

}  // namespace
}  // namespace mlxdash::web
