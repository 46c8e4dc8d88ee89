// The n-th call fails; the program ends at the n-th call; the power fails there. For every n, for every way of sharing, for
// apply, undo and recover: afterwards every path opens with its bytes, nothing is left about, and undo gives all of it back.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "world.h"

namespace mlxcache::crash {
namespace {

using mlxbase::testing::RefusingFileSystem;

constexpr int kErrnos[] = {EIO, ENOSPC, EPERM, EXDEV, EMLINK};  // EDQUOT and EROFS are the same codes as ENOSPC and EPERM

class EveryCall : public testing::TestWithParam<Way> {
 protected:
  const Way& way() const { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Ways, EveryCall, testing::ValuesIn(kWays), [](const auto& i) { return std::string(i.param.name); });

/// Recovers as often as it takes: after a failing call the program may have had to leave things for the next start.
void recovered(World& world, const std::string& what) {
  const auto r = world.recover(world.fs);
  ASSERT_TRUE(r) << what << ": " << r.error().message;
  for (const auto& l : r->left) ADD_FAILURE() << what << ": recover left " << l.path << ": " << l.reason;
  const auto again = world.recover(world.fs);
  ASSERT_TRUE(again) << what;
  EXPECT_TRUE(again->transactions.empty()) << what << ": a second recovery found something to do";
}

TEST_P(EveryCall, SharesAllAndUndoGivesAllBack) {
  World world(way());
  const auto plan = world.plan();
  const auto applied = world.apply(world.fs, plan);
  ASSERT_TRUE(applied) << applied.error().message;
  for (const auto& s : applied->skipped) ADD_FAILURE() << s.path << ": " << s.reason;
  EXPECT_EQ(applied->done.size(), plan.actions.size());
  EXPECT_EQ(applied->bytes_freed, plan.bytes_freed);
  world.expect_whole("applied");
  const auto moved = world.picture();
  if (way().method != dedup::Method::symlink && way().method != dedup::Method::hard_link) {
    for (const auto& target : world.targets) EXPECT_EQ(moved.at(target).metadata, world.original.at(target).metadata) << target;
  }
  world.expect_undo_restores("undone");
}

TEST_P(EveryCall, ApplyMayFailAnywhere) {
  for (const int error : kErrnos) {
    for (std::uint64_t n = 0;; ++n) {
      World world(way());
      const auto plan = world.plan();
      RefusingFileSystem refusing(world.fs, n, error);
      const auto applied = world.apply(refusing, plan);
      if (!refusing.refused()) break;
      const auto what = fmt::format("{} at call {}", std::strerror(error), n);
      recovered(world, what);
      world.expect_whole(what);
      world.expect_undo_restores(what);
      if (HasFailure()) return;
    }
  }
}

TEST_P(EveryCall, ApplyMayEndAnywhere) {
  for (std::uint64_t n = 0;; ++n) {
    World world(way());
    const auto plan = world.plan();
    {
      RefusingFileSystem dead(world.fs, n, EIO, true);
      (void)world.apply(dead, plan);
      if (!dead.refused()) break;
    }
    const auto what = fmt::format("ended at call {}", n);
    recovered(world, what);
    world.expect_whole(what);
    world.expect_undo_restores(what);
    if (HasFailure()) return;
  }
}

TEST_P(EveryCall, ApplyMayLosePowerAnywhere) {
  for (std::uint64_t n = 0;; ++n) {
    bool refused = false;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      World world(way());
      const auto plan = world.plan();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.apply(dead, plan);
        refused = dead.refused();
      }
      const auto what = fmt::format("power lost at call {}, seed {}", n, seed);
      world.fs.crash(n * 1000 + seed);
      recovered(world, what);
      world.expect_whole(what);
      // Whatever recovery did is on the device too.
      world.fs.crash(n * 1000 + seed + 500);
      recovered(world, what + ", again");
      world.expect_whole(what + ", again");
      world.expect_undo_restores(what);
      if (HasFailure()) return;
    }
    if (!refused) break;
  }
}

TEST_P(EveryCall, UndoMayFailAnywhere) {
  for (const int error : kErrnos) {
    for (std::uint64_t n = 0;; ++n) {
      World world(way());
      ASSERT_TRUE(world.apply(world.fs, world.plan()));
      RefusingFileSystem refusing(world.fs, n, error);
      const auto undone = world.undo(refusing);
      if (!refusing.refused()) break;
      const auto what = fmt::format("undo: {} at call {}", std::strerror(error), n);
      recovered(world, what);
      world.expect_whole(what);
      // Where no further link can be made (EMLINK, EXDEV) a name gets its bytes as a file of its own, and undo says so.
      const bool parted = undone && std::ranges::any_of(undone->notes, [](const auto& note) { return note.reason.starts_with("is no longer one file with "); });
      EXPECT_TRUE(!parted || error == EMLINK || error == EXDEV) << what;
      world.expect_undo_restores(what, parted);
      if (HasFailure()) return;
    }
  }
}

TEST_P(EveryCall, UndoMayLosePowerAnywhere) {
  for (std::uint64_t n = 0;; ++n) {
    bool refused = false;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      World world(way());
      ASSERT_TRUE(world.apply(world.fs, world.plan()));
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.undo(dead);
        refused = dead.refused();
      }
      const auto what = fmt::format("undo: power lost at call {}, seed {}", n, seed);
      // The first seed only ends the program.
      if (seed > 0) world.fs.crash(n * 1000 + seed);
      recovered(world, what);
      world.expect_whole(what);
      world.expect_undo_restores(what);
      if (HasFailure()) return;
    }
    if (!refused) break;
  }
}

TEST_P(EveryCall, RecoveryMayEndAnywhereItself) {
  // Every fourth cut of apply, and for each of them every cut of its recovery: the pairs are many and much alike.
  for (std::uint64_t n = 1;; n += 4) {
    bool apply_refused = false;
    for (std::uint64_t m = 0;; ++m) {
      World world(way());
      const auto plan = world.plan();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.apply(dead, plan);
        apply_refused = dead.refused();
      }
      if (m % 2 == 0) world.fs.crash(n + m);
      RefusingFileSystem dead(world.fs, m, EIO, true);
      (void)world.recover(dead);
      const bool refused = dead.refused();
      if (m % 3 == 0) world.fs.crash(n * 7 + m);
      const auto what = fmt::format("ended at call {}, recovery at call {}", n, m);
      recovered(world, what);
      world.expect_whole(what);
      if (m % 5 == 0) world.expect_undo_restores(what);
      if (HasFailure()) return;
      if (!refused) break;
    }
    if (!apply_refused) break;
  }
}

}  // namespace
}  // namespace mlxcache::crash
