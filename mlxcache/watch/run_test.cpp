#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>

#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/memory_file_system.h"
#include "mlxcache/dedup/apply.h"
#include "mlxcache/watch/watch.h"

namespace mlxcache::watch {
namespace {

namespace os = mlxbase::os;
using mlxbase::Code;
using mlxbase::Result;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;
constexpr std::int64_t kDiskTime = std::int64_t{1'700'000'000} * kSecond;  // MemoryFileSystem's own, which hardly moves

/// Waits by moving the clock, and does at each wait what the test says; at the end of the script it asks the watcher to stop.
class ScriptedWatch final : public os::FolderWatch {
 public:
  ScriptedWatch(mlxbase::testing::FakeClock& clock, mlxbase::Cancel& cancel) : clock_(clock), cancel_(cancel) {}

  mlxbase::Status add(const std::string& folder) override {
    if (folders_.size() >= most) return mlxbase::fail(Code::out_of_space, "no more folders");
    folders_.push_back(folder);
    return {};
  }
  bool watches(const std::string& folder) const override { return std::find(folders_.begin(), folders_.end(), folder) != folders_.end(); }
  std::size_t size() const override { return folders_.size(); }
  Result<os::FolderChanges> wait(std::int64_t timeout_ns, const mlxbase::Cancel&) override {
    waits.push_back(timeout_ns);
    if (script.empty()) {
      cancel_.request();
      return os::FolderChanges{};
    }
    auto next = std::move(script.front());
    script.pop_front();
    if (next.lasts_ns >= 0) timeout_ns = std::min(timeout_ns, next.lasts_ns);
    clock_.advance_ns(timeout_ns);
    return next.happens ? next.happens() : os::FolderChanges{};
  }

  struct Wait {
    std::function<os::FolderChanges()> happens;  // null: nothing
    std::int64_t lasts_ns = -1;                  // shorter than was asked for; -1: as long
  };
  std::deque<Wait> script;
  std::vector<std::int64_t> waits;
  std::size_t most = 1000;

 private:
  mlxbase::testing::FakeClock& clock_;
  mlxbase::Cancel& cancel_;
  std::vector<std::string> folders_;
};

/// Counts how often each folder is listed.
class CountingFileSystem final : public mlxbase::testing::MemoryFileSystem {
 public:
  Result<std::vector<os::DirEntry>> list(const std::string& dir) override {
    ++lists[dir];
    return MemoryFileSystem::list(dir);
  }
  std::map<std::string, int> lists;
};

class Watching : public testing::Test {
 protected:
  Watching() {
    environment.home = "/home/u";
    environment.working_directory = "/home/u";
    environment.temp_directory = "/tmp";
    environment.uid = fs.uid;
    fs.put("/home/u/.lmstudio/models/org/old/old.gguf", weights('a'));
    settings.extra_roots = {"/models"};
    settings.min_size = 4096;
    fs.put("/models/readme.txt", "here");
    clock.advance_ns(60 * kSecond);
  }

  static std::string weights(char c, std::size_t size = 64 * 1024) { return std::string(size, c); }
  os::FolderChanges change(const std::string& path) {
    const auto slash = path.rfind('/');
    return {.changes = {{path.substr(0, slash), path.substr(slash + 1)}}, .lost = false};
  }
  /// A download that ends now. The disk's clock stands still, so ours is set to it: the file is as fresh as can be.
  ScriptedWatch::Wait download(const std::string& path, std::string bytes) {
    return {.happens =
                [this, path, bytes = std::move(bytes)] {
                  fs.put(path, bytes);
                  return change(path);
                },
            .lasts_ns = kSecond};
  }
  void nothing_happens(int waits) {
    for (int i = 0; i < waits; ++i) folders.script.push_back({});
  }

  Result<Outcome> watch() {
    const Machine machine{.context = context, .home = home, .catalog = catalog, .clock = clock, .progress = mlxbase::no_progress(), .cancel = cancel, .folders = folders,
                          .on_battery = [this] { return battery; },
                          .tell = [this](const Event& event) { events.push_back(std::string(event.name) + (event.text.empty() ? "" : ": " + event.text)); },
                          .resting = nullptr, .command = "watch", .pid = 42};
    return run(machine, settings);
  }
  bool share(const std::string& a, const std::string& b) {
    const auto x = (*fs.open_read(a, os::Follow::no))->extents();
    const auto y = (*fs.open_read(b, os::Follow::no))->extents();
    return !x->empty() && !y->empty() && (*x)[0].physical == (*y)[0].physical;
  }
  State state() { return *read_state(fs, home); }

  CountingFileSystem fs;
  os::Environment environment;
  mlxbase::Cancel cancel;
  stores::Context context{fs, environment, &cancel};
  const std::string home = "/home/u/state";
  mlxbase::testing::FakeClock clock{kDiskTime};
  catalog::Catalog catalog = catalog::Catalog::in_memory().value();
  ScriptedWatch folders{clock, cancel};
  Settings settings;
  std::optional<bool> battery;
  std::vector<std::string> events;
};

const std::string kOld = "/home/u/.lmstudio/models/org/old/old.gguf";
const std::string kNew = "/models/new.gguf";

TEST_F(Watching, SharesWhatIsNewAndQuietInOneLook) {
  settings.once = true;
  fs.put(kNew, weights('a'));
  const auto outcome = watch();
  ASSERT_TRUE(outcome) << outcome.error().message;
  ASSERT_EQ(outcome->actions.size(), 1U);
  EXPECT_TRUE(share(kOld, kNew));
  EXPECT_EQ(state().files, 1U);
  EXPECT_EQ(state().bytes_freed, 64U * 1024U);
  EXPECT_NE(state().ended_at_ns, 0);
  EXPECT_FALSE(state().last_transaction.empty());
}

TEST_F(Watching, ChangesOnlyWhatIsNew) {
  settings.once = true;
  settings.since_ns = kDay;
  fs.put("/models/old2.gguf", weights('a'));
  clock.advance_ns(2 * kDay);  // both are old now
  const auto outcome = watch();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_THAT(outcome->actions, IsEmpty());
  EXPECT_FALSE(share(kOld, "/models/old2.gguf"));
}

TEST_F(Watching, WaitsUntilAFileIsQuiet) {
  settings.once = true;
  settings.quiet_ns = 2 * 3600 * kSecond;  // the file is a minute old
  fs.put(kNew, weights('a'));
  const auto early = watch();
  ASSERT_TRUE(early) << early.error().message;
  EXPECT_THAT(early->actions, IsEmpty());
  EXPECT_GE(early->state.waiting_files, 1U);
  clock.advance_ns(2 * 3600 * kSecond);
  const auto late = watch();
  ASSERT_TRUE(late) << late.error().message;
  EXPECT_EQ(late->actions.size(), 1U);
}

TEST_F(Watching, WhatWaitsIsNotForgottenHoweverLongItTakes) {
  settings.once = true;
  settings.quiet_ns = 5 * kDay;
  fs.put(kNew, weights('a'));
  ASSERT_TRUE(watch());
  clock.advance_ns(6 * kDay);
  const auto late = watch();
  ASSERT_TRUE(late) << late.error().message;
  EXPECT_EQ(late->actions.size(), 1U);
}

TEST_F(Watching, LooksWhenAFolderChangesAndNotBefore) {
  // Nothing, for a while: it looks around for new stores, and that is all.
  nothing_happens(3);
  folders.script.push_back(download(kNew, weights('a')));
  nothing_happens(3);
  const auto outcome = watch();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(share(kOld, kNew));
  EXPECT_THAT(events, Contains(HasSubstr("shared: shared: /models/new.gguf")));
  EXPECT_EQ(state().way, "events");
  EXPECT_NE(state().ended_at_ns, 0);
  EXPECT_EQ(state().looks, 2U) << "at the start, and for the download";
}

TEST_F(Watching, AChangeThatFinishesNothingCostsAListingOfThatStoreAlone) {
  nothing_happens(1);
  int before = 0;
  folders.script.push_back({.happens =
                                [&] {
                                  before = fs.lists["/home/u/.lmstudio/models/org/old"];
                                  fs.put("/models/note.txt", "small");
                                  return change("/models/note.txt");
                                },
                            .lasts_ns = kSecond});
  folders.script.push_back({});  // until it is quiet
  folders.script.push_back({.happens =
                                [&] {
                                  EXPECT_EQ(fs.lists["/home/u/.lmstudio/models/org/old"], before);
                                  return os::FolderChanges{};
                                },
                            .lasts_ns = kSecond});
  ASSERT_TRUE(watch());
  EXPECT_GT(before, 0);
  EXPECT_EQ(state().looks, 1U);
}

TEST_F(Watching, ADownloadThatWasAlreadySharedIsNotLookedAtAgain) {
  folders.script.push_back(download(kNew, weights('a')));
  nothing_happens(2);
  folders.script.push_back(download("/models/note.txt", "small"));
  nothing_happens(2);
  ASSERT_TRUE(watch());
  EXPECT_TRUE(share(kOld, kNew));
  EXPECT_EQ(state().looks, 2U);
}

TEST_F(Watching, ANameThatIsNoNewsWakesNobody) {
  nothing_happens(1);
  folders.script.push_back(download("/models/x.gguf.incomplete", weights('x')));
  folders.script.push_back(download("/models/x.lock", ""));
  nothing_happens(2);
  ASSERT_TRUE(watch());
  EXPECT_EQ(state().looks, 1U);
}

TEST_F(Watching, APartialDownloadIsLeftAloneUntilItHasItsName) {
  settings.once = true;
  fs.put("/models/new.gguf.part", weights('a'));
  const auto early = watch();
  ASSERT_TRUE(early) << early.error().message;
  EXPECT_THAT(early->actions, IsEmpty());
  EXPECT_FALSE(share(kOld, "/models/new.gguf.part"));
  ASSERT_TRUE(fs.rename("/models/new.gguf.part", kNew));
  const auto late = watch();
  ASSERT_TRUE(late) << late.error().message;
  EXPECT_EQ(late->actions.size(), 1U);
}

TEST_F(Watching, AFileThatIsOpenForWritingWaitsAndIsSharedLater) {
  settings.once = true;
  fs.put(kNew, weights('a'));
  fs.owner_holds_for_writing(kNew, true);
  const auto early = watch();
  ASSERT_TRUE(early) << early.error().message;
  EXPECT_FALSE(share(kOld, kNew));
  EXPECT_THAT(events, Contains(HasSubstr("a program is using it")));
  fs.owner_holds_for_writing(kNew, false);
  ASSERT_TRUE(watch());
  EXPECT_TRUE(share(kOld, kNew));
}

TEST_F(Watching, ASecondWatcherIsRefusedAndChangesNothing) {
  fs.put(kNew, weights('a'));
  const auto first = lock_watcher(fs, home);
  ASSERT_TRUE(first);
  EXPECT_TRUE(is_watching(fs, home));
  nothing_happens(20);
  const auto second = watch();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::busy);
  EXPECT_FALSE(share(kOld, kNew));
}

TEST_F(Watching, WaitsWhileAnotherMlxcacheIsAtWork) {
  settings.once = true;
  fs.put(kNew, weights('a'));
  ASSERT_TRUE(os::make_dirs(fs, home, 0700));
  auto other = *fs.try_lock(home + "/lock", 0600);
  nothing_happens(2);
  folders.script.push_back({.happens = [&] {
    other.reset();
    return os::FolderChanges{};
  }});
  nothing_happens(1);
  const auto outcome = watch();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(share(kOld, kNew));
  EXPECT_THAT(events, Contains(HasSubstr("another mlxcache is at work")));
}

TEST_F(Watching, OnBatteryItWaitsIfToldTo) {
  settings.only_on_power = true;
  battery = true;
  fs.put(kNew, weights('a'));
  nothing_happens(2);
  folders.script.push_back({.happens = [&] {
    EXPECT_FALSE(share(kOld, kNew));
    EXPECT_EQ(state().held_back, "battery");
    battery = false;
    return os::FolderChanges{};
  }});
  nothing_happens(3);
  ASSERT_TRUE(watch());
  EXPECT_TRUE(share(kOld, kNew));
}

TEST_F(Watching, ReadsNoMoreThanItsBudget) {
  settings.once = true;
  settings.max_read = ReadLimit{400'000, 3600 * kSecond};
  fs.put("/home/u/.lmstudio/models/org/old/other.gguf", weights('b', 60 * 1024));
  fs.put(kNew, weights('a'));
  fs.put("/models/new2.gguf", weights('b', 60 * 1024));
  const auto first = watch();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->actions.size(), 1U);
  EXPECT_THAT(events, Contains(HasSubstr("budget")));
  for (int i = 0; i < 3; ++i) {
    clock.advance_ns(3600 * kSecond);
    ASSERT_TRUE(watch());
  }
  EXPECT_TRUE(share("/home/u/.lmstudio/models/org/old/other.gguf", "/models/new2.gguf"));
}

TEST_F(Watching, ADryRunChangesNothingAndLeavesNoState) {
  settings.once = settings.dry_run = true;
  fs.put(kNew, weights('a'));
  const auto outcome = watch();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->actions.size(), 1U);
  EXPECT_FALSE(share(kOld, kNew));
  EXPECT_FALSE(fs.exists(state_file(home)));
  EXPECT_THAT(events, Contains(HasSubstr("would_share")));
}

TEST_F(Watching, WhatWasTakenBackIsNotSharedAgain) {
  settings.once = true;
  fs.put(kNew, weights('a'));
  const auto first = watch();
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(share(kOld, kNew));
  const dedup::Machinery machinery{.context = context, .home = home, .clock = clock, .progress = mlxbase::no_progress(), .cancel = nullptr, .command = "undo"};
  ASSERT_TRUE(dedup::undo(machinery, first->state.last_transaction));
  ASSERT_FALSE(share(kOld, kNew));
  const auto second = watch();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_THAT(second->actions, IsEmpty());
  EXPECT_FALSE(share(kOld, kNew));
  // The same model downloaded anew is a new file.
  fs.owner_replaces(kNew, weights('a'));
  ASSERT_TRUE(watch());
  EXPECT_TRUE(share(kOld, kNew));
}

TEST_F(Watching, WithoutEnoughWatchesItPollsAndSaysSo) {
  folders.most = 2;
  nothing_happens(2);
  folders.script.push_back({.happens = [&] {
    fs.put(kNew, weights('a'));
    return os::FolderChanges{};
  }});
  nothing_happens(4);
  ASSERT_TRUE(watch());
  EXPECT_TRUE(share(kOld, kNew));
  EXPECT_EQ(state().way, "polling");
  EXPECT_THAT(events, Contains(HasSubstr("polling: looks every minute")));
}

TEST_F(Watching, NeverMakesAHardLinkUnasked) {
  fs.volume_of().clone = fs.volume_of().dedupe = false;
  settings.once = true;
  fs.put(kNew, weights('a'));
  const auto outcome = watch();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_THAT(outcome->actions, IsEmpty());
  EXPECT_EQ(fs.stat(kNew, os::Follow::no)->links, 1U);
  EXPECT_THAT(events, Contains(HasSubstr("cannot share extents")));
}

TEST_F(Watching, CancelledBeforeItBeginsItDoesNothingAndSaysThatItEnded) {
  cancel.request();
  fs.put(kNew, weights('a'));
  ASSERT_TRUE(watch());
  EXPECT_FALSE(share(kOld, kNew));
  EXPECT_NE(state().ended_at_ns, 0);
}

TEST_F(Watching, AStateThatCannotBeReadIsBegunAnew) {
  settings.once = true;
  fs.put(state_file(home), "{\"version\": 99}");
  fs.put(kNew, weights('a'));
  ASSERT_TRUE(watch());
  EXPECT_TRUE(share(kOld, kNew));
  EXPECT_EQ(state().pid, 42);
}

TEST_F(Watching, AStoreThatComesLaterIsFound) {
  nothing_happens(1);
  folders.script.push_back({.happens = [&] {
    fs.put("/home/u/.cache/huggingface/hub/models--a--b/blobs/0000000000000000000000000000000000000000000000000000000000000000", weights('a'));
    return os::FolderChanges{};
  }});
  nothing_happens(3);
  ASSERT_TRUE(watch());
  EXPECT_GE(state().looks, 2U);
}

TEST(WatchState, SurvivesTheRoundTripAndRefusesWhatItDidNotWrite) {
  mlxbase::testing::MemoryFileSystem fs;
  EXPECT_EQ(read_state(fs, "/home/s").error().code, Code::not_found);
  State s;
  s.pid = 7;
  s.since_ns = 5;
  s.way = "polling";
  s.way_reason = "too many";
  s.budget_used = UINT64_MAX;
  for (int i = 0; i < 100; ++i) s.waiting.push_back({"/a\xff" + std::to_string(i), Why::in_use, i, 1});
  s.waiting_files = 100;
  ASSERT_TRUE(write_state(fs, "/home/s", s));
  const auto back = read_state(fs, "/home/s");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->pid, 7);
  EXPECT_EQ(back->budget_used, UINT64_MAX);
  EXPECT_EQ(back->waiting.size(), kMostWaiting);
  EXPECT_EQ(back->waiting[3].until_ns, 3);
  EXPECT_EQ(back->waiting_files, 100U);
  for (const auto* wrong : {"", "[]", "{}", "{\"version\":2}", "{\"version\":1"}) {
    ASSERT_TRUE(fs.unlink(state_file("/home/s")));
    fs.put(state_file("/home/s"), wrong);
    EXPECT_EQ(read_state(fs, "/home/s").error().code, Code::corrupt) << wrong;
  }
}

}  // namespace
}  // namespace mlxcache::watch
