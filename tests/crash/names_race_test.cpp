// The tools that own the stores work at the same moment: before every call of ours one makes the name that we are about to make, replaces or deletes what
// we look at, writes its registry. Nothing of what it wrote is lost.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <string>

#include "mlxbase/os/file_system.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "names_world.h"

namespace mlxcache::crash {
namespace {

using mlxbase::testing::Call;
using mlxbase::testing::HookedFileSystem;

constexpr Deed kHubDeed{"hub", "hub"};
constexpr Deed kRemoveDeed{"remove", "remove"};
constexpr Deed kRegistryDeed{"registry", "registry"};

/// For every n: lets `owner` act just before the n-th call, then looks with `check`, also after a recovery.
void at_every_call(const Deed& deed, const std::function<void(NamesWorld&)>& owner, const std::function<void(NamesWorld&, const std::string&)>& check) {
  for (std::uint64_t n = 0;; ++n) {
    NamesWorld world(deed);
    const auto plan = world.plan();
    bool acted = false;
    {
      HookedFileSystem through(world.fs, [&](const Call& call) -> mlxbase::Status {
        if (call.index == n) {
          acted = true;
          owner(world);
        }
        return {};
      });
      (void)world.carry_out(through, plan);
    }
    if (!acted) return;
    const auto what = fmt::format("the owner acted before call {}", n);
    check(world, what);
    world.recovered(what);
    check(world, what + ", after recover");
    if (testing::Test::HasFailure()) return;
  }
}

TEST(NamesRace, AFileThatTheToolMakesUnderTheSameNameIsItsOwn) {
  const std::string name = "/hub/root/models--org--name/refs/main";
  at_every_call(kHubDeed, [&](NamesWorld& w) { w.fs.owner_replaces(name, "of the tool"); },
                [&](NamesWorld& w, const std::string& what) { EXPECT_EQ(w.fs.content(name), "of the tool") << what; });
}

TEST(NamesRace, AFileThatTheToolReplacesIsNotRemoved) {
  const std::string name = "/lm/models/pub/name/m.gguf";
  at_every_call(kRemoveDeed, [&](NamesWorld& w) { w.fs.owner_replaces(name, "downloaded again"); },
                [&](NamesWorld& w, const std::string& what) {
                  ASSERT_TRUE(w.fs.exists(name)) << what;
                  EXPECT_EQ(w.fs.content(name), "downloaded again") << what;
                });
}

TEST(NamesRace, ARegistryThatTheToolReplacesKeepsItsText) {
  const std::string name = "/lm/models/registry.json";
  at_every_call(kRegistryDeed, [&](NamesWorld& w) { w.fs.owner_replaces(name, "{\"of\": \"the tool\"}"); },
                [&](NamesWorld& w, const std::string& what) { EXPECT_EQ(w.fs.content(name), "{\"of\": \"the tool\"}") << what; });
}

/// A client of the hub makes its folders if they are not there, brings the blob, and then links to it. The last step comes after we have given way.
TEST(NamesRace, AFolderThatTheToolHasSeenIsThereWhenItLinksIntoIt) {
  const std::string repo = "/hub/root/models--org--name";
  const std::string snapshot = repo + "/snapshots/" + std::string(40, '1');
  const std::string blob = repo + "/blobs/" + std::string(64, 'a');
  at_every_call(kHubDeed,
                [&](NamesWorld& w) {
                  ASSERT_TRUE(mlxbase::os::make_dirs(w.fs, snapshot));
                  if (!w.fs.exists(blob)) w.fs.owner_replaces(blob, "of the tool");
                },
                [&](NamesWorld& w, const std::string& what) {
                  ASSERT_TRUE(w.fs.exists(blob)) << what;
                  const auto linked = w.fs.make_symlink("../../blobs/" + std::string(64, 'a'), snapshot + "/of-the-tool.gguf");
                  EXPECT_TRUE(linked || linked.error().os_errno == EEXIST) << what << ": " << linked.error().message;
                });
}

TEST(NamesRace, ASourceThatIsDeletedLeavesAWholeModelOrNone) {
  at_every_call(kHubDeed, [&](NamesWorld& w) { (void)w.fs.unlink("/loose/model.gguf"); },
                [&](NamesWorld& w, const std::string& what) {
                  const bool link = w.fs.exists("/hub/root/models--org--name/snapshots/" + std::string(40, '1') + "/model.gguf");
                  EXPECT_EQ(link, w.fs.exists("/hub/root/models--org--name/refs/main")) << what;
                });
}

}  // namespace
}  // namespace mlxcache::crash
