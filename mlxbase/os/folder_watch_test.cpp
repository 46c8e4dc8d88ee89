#include "mlxbase/os/folder_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "mlxbase/os/background.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/testing/memory_file_system.h"
#include "mlxbase/testing/temporary_folder.h"

namespace mlxbase::os {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLong = std::int64_t{30} * 1'000'000'000;

class FolderWatching : public ::testing::Test {
 protected:
  bool heard(const FolderChanges& changes, const std::string& where) {
    return std::any_of(changes.changes.begin(), changes.changes.end(), [&](const FolderChange& c) { return c.folder == where; });
  }
  testing::TemporaryFolder folder;
  Cancel cancel;
};

TEST_F(FolderWatching, TellsThatANameCame) {
  const auto watch = watch_folders();
  ASSERT_TRUE(watch->add(folder.path()));
  ASSERT_TRUE(watch->add(folder.path()));
  EXPECT_EQ(watch->size(), 1U);
  std::ofstream(folder.path() + "/new") << "x";
  const auto changes = watch->wait(kLong, cancel);
  ASSERT_TRUE(changes);
  EXPECT_TRUE(heard(*changes, folder.path()));
}

TEST_F(FolderWatching, TellsOfARename) {
  std::ofstream(folder.path() + "/a.part") << "x";
  const auto watch = watch_folders();
  ASSERT_TRUE(watch->add(folder.path()));
  fs::rename(folder.path() + "/a.part", folder.path() + "/a");
  EXPECT_TRUE(heard(*watch->wait(kLong, cancel), folder.path()));
}

TEST_F(FolderWatching, IsQuietWhenNothingHappens) {
  const auto watch = watch_folders();
  ASSERT_TRUE(watch->add(folder.path()));
  const auto changes = watch->wait(1'000'000, cancel);
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->changes.empty());
  EXPECT_FALSE(changes->lost);
}

TEST_F(FolderWatching, TakesNoMoreFoldersThanItWasTold) {
  fs::create_directory(folder.path() + "/a");
  const auto watch = watch_folders(1);
  ASSERT_TRUE(watch->add(folder.path()));
  const auto more = watch->add(folder.path() + "/a");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::out_of_space);
}

TEST_F(FolderWatching, AFolderThatGoesLeavesByItselfAndItsPlaceIsFree) {
  fs::create_directory(folder.path() + "/a");
  const auto watch = watch_folders(1);
  ASSERT_TRUE(watch->add(folder.path() + "/a"));
  fs::remove(folder.path() + "/a");
  ASSERT_TRUE(watch->wait(kLong, cancel));
  EXPECT_EQ(watch->size(), 0U);
  EXPECT_TRUE(watch->add(folder.path()));
}

TEST_F(FolderWatching, AMissingFolderIsNotFound) {
  EXPECT_EQ(watch_folders()->add(folder.path() + "/none").error().code, Code::not_found);
}

TEST_F(FolderWatching, ARequestToStopEndsTheWait) {
  cancel.request();
  EXPECT_TRUE(watch_folders()->wait(kLong, cancel));
}

Cancel* g_cancel = nullptr;

TEST_F(FolderWatching, ASignalIsHeard) {
  g_cancel = &cancel;
  struct sigaction action {};
  action.sa_handler = [](int) { g_cancel->request(); };
  struct sigaction before {};
  ::sigaction(SIGTERM, &action, &before);
  ::raise(SIGTERM);
  EXPECT_TRUE(watch_folders()->wait(kLong, cancel));
  EXPECT_TRUE(cancel.requested());
  sigset_t now;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
  EXPECT_EQ(sigismember(&now, SIGTERM), 0) << "signals are let in again after the wait";
  ::sigaction(SIGTERM, &before, nullptr);
}

TEST(PowerSupply, IsReadFromTheKernelsFiles) {
  if (this_platform() == Platform::macos) GTEST_SKIP() << "macOS is asked by a call";
  testing::MemoryFileSystem memory;
  EXPECT_FALSE(on_battery(memory, "/").has_value());
  memory.put("/sys/class/power_supply/BAT0/type", "Battery\n");
  memory.put("/sys/class/power_supply/BAT0/status", "Discharging\n");
  memory.put("/sys/class/power_supply/AC/type", "Mains\n");
  memory.put("/sys/class/power_supply/AC/online", "0\n");
  memory.put("/sys/class/power_supply/mouse/type", "Battery\n");
  memory.put("/sys/class/power_supply/mouse/scope", "Device\n");
  memory.put("/sys/class/power_supply/mouse/status", "Discharging\n");
  EXPECT_EQ(on_battery(memory, "/"), std::optional(true));
  ASSERT_TRUE(memory.unlink("/sys/class/power_supply/AC/online"));
  memory.put("/sys/class/power_supply/AC/online", "1\n");
  EXPECT_EQ(on_battery(memory, "/"), std::optional(false));
}

}  // namespace
}  // namespace mlxbase::os
