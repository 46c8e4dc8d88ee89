// Real processes, really ended (_exit, no destructors) at their n-th call, on real files.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "mlxbase/os/file_system.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/dedup/plan.h"

namespace mlxcache::crash {
namespace {

using mlxbase::testing::noise;
using mlxbase::testing::read_all;
using mlxbase::testing::TemporaryFolder;

int drive(const TemporaryFolder& folder, const std::string& what, dedup::Method method, std::uint64_t n) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string m = std::to_string(static_cast<int>(method));
    const std::string count = std::to_string(n);
    ::execl(KILL_DRIVER, KILL_DRIVER, folder.path().c_str(), what.c_str(), m.c_str(), count.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr std::uint64_t kNever = ~std::uint64_t{0};

class Kill : public testing::TestWithParam<dedup::Method> {
 protected:
  const std::string bytes_ = noise(20'000, 5);

  void build(const TemporaryFolder& folder) const {
    folder.write("a/source", bytes_);
    for (const char* name : {"b/one", "b/two", "c/three"}) folder.write(name, bytes_);
    ::chmod((folder / "b/one").c_str(), 0604);
  }
  /// Every path opens with its bytes, at every moment.
  void expect_paths(const TemporaryFolder& folder, const std::string& what) const {
    for (const char* name : {"a/source", "b/one", "b/two", "c/three"}) EXPECT_TRUE(read_all(folder / name) == bytes_) << what << ": " << name;
  }
  void expect_whole(const TemporaryFolder& folder, const std::string& what) const {
    std::size_t names = 0;
    for (const char* dir : {"a", "b", "c"}) names += static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder / dir), {}));
    expect_paths(folder, what);
    EXPECT_EQ(names, 4U) << what << ": something was left behind";
  }
  void expect_original(const TemporaryFolder& folder, const std::string& what) const {
    expect_whole(folder, what);
    auto& fs = mlxbase::os::real_file_system();
    for (const char* name : {"a/source", "b/one", "b/two", "c/three"}) {
      const auto s = fs.stat(folder / name).value();
      EXPECT_EQ(s.kind, mlxbase::os::FileKind::regular) << what << ": " << name;
      EXPECT_EQ(s.links, 1U) << what << ": " << name;
    }
    EXPECT_EQ(fs.stat(folder / "b/one")->mode, 0604U) << what;
  }
};

// The kernel's own sharing needs a volume that can: tests/filesystems runs that on Btrfs and XFS.
INSTANTIATE_TEST_SUITE_P(Methods, Kill, testing::Values(dedup::Method::hard_link, dedup::Method::symlink),
                         [](const auto& i) { return i.param == dedup::Method::hard_link ? std::string("hard_link") : std::string("symlink"); });

TEST_P(Kill, ApplyEndedAtAnyCallLosesNothing) {
  for (std::uint64_t n = 0;; n += 5) {
    const TemporaryFolder folder;
    build(folder);
    const int code = drive(folder, "apply", GetParam(), n);
    ASSERT_TRUE(code == 77 || code == 0) << code;
    const auto what = fmt::format("killed at call {}", n);
    expect_paths(folder, what + ", before recovery");
    ASSERT_EQ(drive(folder, "recover", GetParam(), kNever), 0) << what;
    expect_whole(folder, what);
    ASSERT_EQ(drive(folder, "undo", GetParam(), kNever), 0) << what;
    expect_original(folder, what);
    if (code == 0 || HasFailure()) break;
  }
}

TEST_P(Kill, UndoAndRecoveryEndedAtAnyCallLoseNothing) {
  for (std::uint64_t n = 2;; n += 5) {
    const TemporaryFolder folder;
    build(folder);
    ASSERT_EQ(drive(folder, "apply", GetParam(), kNever), 0);
    const int code = drive(folder, "undo", GetParam(), n);
    const auto what = fmt::format("undo killed at call {}", n);
    // Recovery is ended too, a little later each time.
    for (std::uint64_t m = n % 7; drive(folder, "recover", GetParam(), m) == 77; m += 7) expect_paths(folder, what);
    expect_whole(folder, what);
    ASSERT_EQ(drive(folder, "undo", GetParam(), kNever), 0) << what;
    expect_original(folder, what);
    if (code == 0 || HasFailure()) break;
  }
}

}  // namespace
}  // namespace mlxcache::crash
