// Names that come and go: the n-th call fails; the program ends at the n-th call; the power fails there. For every n, for publishing, removing,
// rewriting and adopting, for their undo, their recovery and the emptying of the trash: afterwards either all of it stands or none.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "mlxbase/testing/hooked_file_system.h"
#include "names_world.h"

namespace mlxcache::crash {
namespace {

using mlxbase::testing::RefusingFileSystem;

constexpr int kErrnos[] = {EIO, ENOSPC, EPERM, EROFS, EXDEV, EMLINK, EDQUOT};

class NamesCome : public testing::TestWithParam<Deed> {
 protected:
  const Deed& deed() const { return GetParam(); }
  /// The names when all is done.
  Names after() const {
    NamesWorld world(deed());
    EXPECT_TRUE(world.carry_out(world.fs, world.plan()));
    return world.names();
  }
  /// All or none; with none, names are as before to the inode.
  static void expect_all_or_none(NamesWorld& world, const Names& all, const std::string& what) {
    world.expect_bytes_somewhere(what);
    if (world.difference(world.before).empty()) return;
    const auto now = world.names();
    for (const auto& [path, name] : all) {
      // Names in the trash carry the transaction's id.
      if (!path.contains(".mlxcache-trash")) {
        EXPECT_TRUE(now.contains(path)) << what << ": half of it stands: " << path << " is missing";
      }
    }
    for (const auto& [path, name] : now) {
      if (!path.contains(".mlxcache-trash")) {
        EXPECT_TRUE(all.contains(path)) << what << ": half of it stands: " << path << " is left";
      }
    }
  }
  /// Every name of before is there, to the inode, or all of it stands. Empty folders may be left.
  static void expect_nothing_lost(NamesWorld& world, const Names& stood, const std::string& what) {
    world.expect_bytes_somewhere(what);
    const auto now = world.names();
    std::string lost;
    for (const auto& [path, name] : world.before) {
      const auto is = now.find(path);
      if (is == now.end() || is->second.kind != name.kind || is->second.inode != name.inode || is->second.bytes != name.bytes) lost += path + " ";
    }
    if (lost.empty()) return;
    for (const auto& [path, name] : stood) {
      if (!path.contains(".mlxcache-trash")) {
        EXPECT_TRUE(now.contains(path)) << what << ": lost " << lost << "and half of it stands: " << path << " is missing";
      }
    }
  }
  /// What was carried out and not yet undone is a beginning of the plan, at every moment: a model that can be seen has its bytes.
  static void expect_a_beginning_stands(NamesWorld& world, const change::Plan& plan, const Names& stood, const std::string& what) {
    const auto now = world.names();
    const auto is_as = [&](const Names& then, const std::string& path) {
      const auto was = then.find(path);
      const auto is = now.find(path);
      if (was == then.end() || is == now.end()) return (was == then.end()) == (is == now.end());
      return was->second.kind == is->second.kind && was->second.inode == is->second.inode && was->second.bytes == is->second.bytes;
    };
    std::string undone;
    for (const auto& change : plan.changes) {
      const bool stands = is_as(stood, change.path);
      if (!stands) {
        EXPECT_TRUE(is_as(world.before, change.path)) << what << ": " << change.path << " is neither as it was nor as it is to be";
        undone = change.path;
      } else if (!is_as(world.before, change.path)) {
        EXPECT_EQ(undone, "") << what << ": " << change.path << " still stands";
      }
    }
  }
  /// An undo that was cut short is finished by recovery, unless it had not begun.
  static void expect_all_undone_or_nothing(NamesWorld& world, const Names& stood, const std::string& what) {
    if (world.difference(stood).empty()) return;
    world.expect_as_before(what + ", the undo finished by recovery");
  }
  static void expect_undo_restores(NamesWorld& world, const std::string& what) {
    for (int attempt = 0; attempt < 4; ++attempt) {
      const auto undone = world.undo(world.fs);
      if (!undone) {
        EXPECT_EQ(undone.error().code, mlxbase::Code::not_found) << what << ": " << undone.error().message;
        break;
      }
      for (const auto& r : undone->refused) ADD_FAILURE() << what << ": undo refused " << r.path << ": " << r.reason;
    }
    world.expect_as_before(what + ", undone");
  }
};

INSTANTIATE_TEST_SUITE_P(Deeds, NamesCome, testing::ValuesIn(kDeeds), [](const auto& i) { return std::string(i.param.name); });

TEST_P(NamesCome, AndUndoTakesThemBackToTheInode) {
  NamesWorld world(deed());
  const auto plan = world.plan();
  const auto done = world.carry_out(world.fs, plan);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->skipped.size(), 0U);
  EXPECT_GE(done->done.size(), plan.changes.size());
  EXPECT_NE(world.difference(world.before), "");
  expect_undo_restores(world, "done");
}

TEST_P(NamesCome, CarryOutMayFailAnywhere) {
  for (const int error : kErrnos) {
    for (std::uint64_t n = 0;; ++n) {
      NamesWorld world(deed());
      const auto plan = world.plan();
      RefusingFileSystem refusing(world.fs, n, error);
      const auto done = world.carry_out(refusing, plan);
      if (!refusing.refused()) break;
      const auto what = fmt::format("{} at call {}", std::strerror(error), n);
      world.recovered(what);
      if (!done) world.expect_as_before(what + ": " + done.error().message);
      expect_undo_restores(world, what);
      if (HasFailure()) return;
    }
  }
}

TEST_P(NamesCome, CarryOutMayEndAnywhere) {
  const auto all = after();
  for (std::uint64_t n = 0;; ++n) {
    NamesWorld world(deed());
    const auto plan = world.plan();
    {
      RefusingFileSystem dead(world.fs, n, EIO, true);
      (void)world.carry_out(dead, plan);
      if (!dead.refused()) break;
    }
    const auto what = fmt::format("ended at call {}", n);
    world.expect_bytes_somewhere(what + ", before recovery");
    world.recovered(what);
    expect_all_or_none(world, all, what);
    expect_undo_restores(world, what);
    if (HasFailure()) return;
  }
}

TEST_P(NamesCome, CarryOutMayLosePowerAnywhere) {
  const auto all = after();
  for (std::uint64_t n = 0;; ++n) {
    bool refused = false;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      NamesWorld world(deed());
      const auto plan = world.plan();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.carry_out(dead, plan);
        refused = dead.refused();
      }
      const auto what = fmt::format("power lost at call {}, seed {}", n, seed);
      world.fs.crash(n * 1000 + seed);
      world.expect_bytes_somewhere(what + ", before recovery");
      world.recovered(what);
      expect_all_or_none(world, all, what);
      // Whatever recovery did is on the device too.
      world.fs.crash(n * 1000 + seed + 500);
      world.recovered(what + ", again");
      expect_all_or_none(world, all, what + ", again");
      expect_undo_restores(world, what);
      if (HasFailure()) return;
    }
    if (!refused) break;
  }
}

TEST_P(NamesCome, UndoMayFailAnywhere) {
  for (const int error : kErrnos) {
    for (std::uint64_t n = 0;; ++n) {
      NamesWorld world(deed());
      const auto plan = world.plan();
      ASSERT_TRUE(world.carry_out(world.fs, plan));
      const auto stood = world.names();
      RefusingFileSystem refusing(world.fs, n, error);
      const auto undone = world.undo(refusing);
      if (!refusing.refused()) break;
      const auto what = fmt::format("undo: {} at call {}", std::strerror(error), n);
      expect_a_beginning_stands(world, plan, stood, what);
      // Whoever is told that all is undone can rely on it.
      if (undone && undone->refused.empty() && undone->notes.empty()) world.expect_as_before(what + ", said to be undone");
      world.recovered(what);
      world.expect_bytes_somewhere(what);
      expect_a_beginning_stands(world, plan, stood, what + ", after recovery");
      expect_undo_restores(world, what);
      if (HasFailure()) return;
    }
  }
}

TEST_P(NamesCome, UndoMayEndAnywhereAndIsFinishedByRecovery) {
  for (std::uint64_t n = 0;; ++n) {
    NamesWorld world(deed());
    const auto plan = world.plan();
    ASSERT_TRUE(world.carry_out(world.fs, plan));
    const auto stood = world.names();
    {
      RefusingFileSystem dead(world.fs, n, EIO, true);
      (void)world.undo(dead);
      if (!dead.refused()) break;
    }
    const auto what = fmt::format("undo ended at call {}", n);
    world.expect_bytes_somewhere(what + ", before recovery");
    expect_a_beginning_stands(world, plan, stood, what + ", before recovery");
    world.recovered(what);
    expect_all_undone_or_nothing(world, stood, what);
    expect_undo_restores(world, what);
    if (HasFailure()) return;
  }
}

TEST_P(NamesCome, UndoMayLosePowerAnywhereAndIsFinishedByRecovery) {
  for (std::uint64_t n = 0;; ++n) {
    bool refused = false;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      NamesWorld world(deed());
      ASSERT_TRUE(world.carry_out(world.fs, world.plan()));
      const auto stood = world.names();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.undo(dead);
        refused = dead.refused();
      }
      const auto what = fmt::format("undo: power lost at call {}, seed {}", n, seed);
      world.fs.crash(n * 1000 + seed);
      world.expect_bytes_somewhere(what + ", before recovery");
      world.recovered(what);
      expect_all_undone_or_nothing(world, stood, what);
      // Whatever recovery did is on the device too.
      world.fs.crash(n * 1000 + seed + 500);
      world.recovered(what + ", again");
      expect_all_undone_or_nothing(world, stood, what + ", again");
      expect_undo_restores(world, what);
      if (HasFailure()) return;
    }
    if (!refused) break;
  }
}

TEST_P(NamesCome, RecoveryOfAnUndoMayFailOrEndAnywhereItself) {
  for (std::uint64_t n = 3;; n += 21) {
    bool refused_first = false;
    for (std::uint64_t m = 0;; ++m) {
      NamesWorld world(deed());
      ASSERT_TRUE(world.carry_out(world.fs, world.plan()));
      const auto stood = world.names();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.undo(dead);
        refused_first = dead.refused();
      }
      if (m % 2 == 0) world.fs.crash(n + m);
      // Every third one goes on after the call that failed; the others end there.
      RefusingFileSystem dead(world.fs, m, EIO, m % 3 != 1);
      (void)world.recover(dead);
      const bool refused = dead.refused();
      if (m % 3 == 0) world.fs.crash(n * 7 + m);
      const auto what = fmt::format("undo ended at call {}, recovery at call {}", n, m);
      world.expect_bytes_somewhere(what);
      world.recovered(what);
      expect_all_undone_or_nothing(world, stood, what);
      expect_undo_restores(world, what);
      if (HasFailure()) return;
      if (!refused) break;
    }
    if (!refused_first) break;
  }
}

TEST_P(NamesCome, RecoveryMayEndAnywhereItself) {
  const auto all = after();
  for (std::uint64_t n = 3;; n += 7) {
    bool refused_first = false;
    for (std::uint64_t m = 0;; ++m) {
      NamesWorld world(deed());
      const auto plan = world.plan();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.carry_out(dead, plan);
        refused_first = dead.refused();
      }
      if (m % 2 == 0) world.fs.crash(n + m);
      RefusingFileSystem dead(world.fs, m, EIO, true);
      (void)world.recover(dead);
      const bool refused = dead.refused();
      if (m % 3 == 0) world.fs.crash(n * 7 + m);
      const auto what = fmt::format("ended at call {}, recovery at call {}", n, m);
      world.recovered(what);
      expect_all_or_none(world, all, what);
      if (m % 5 == 0) expect_undo_restores(world, what);
      if (HasFailure()) return;
      if (!refused) break;
    }
    if (!refused_first) break;
  }
}

TEST_P(NamesCome, TwoRecoveriesMayEndAndThenThePowerFails) {
  for (const bool undo : {false, true}) {
    const auto all = undo ? Names() : after();
    for (std::uint64_t n = 5;; n += 31) {
      bool refused_first = false;
      for (std::uint64_t m = n % 3;; m += 3) {
        NamesWorld world(deed());
        const auto plan = world.plan();
        if (undo) {
          ASSERT_TRUE(world.carry_out(world.fs, plan));
        }
        const auto stood = undo ? world.names() : all;
        const auto end = [&](std::uint64_t at, const auto& run) {
          RefusingFileSystem dead(world.fs, at, EIO, true);
          (void)run(dead);
          return dead.refused();
        };
        refused_first = end(n, [&](auto& fs) { return undo ? world.undo(fs).has_value() : world.carry_out(fs, plan).has_value(); });
        const bool refused = end(m, [&](auto& fs) { return world.recover(fs); });
        // What the first recovery did is seen by the second one, and is in memory only.
        (void)end(m % 2 == 0 ? (m * 7) % 150 : UINT64_MAX, [&](auto& fs) { return world.recover(fs); });
        world.fs.crash(n * 1009 + m);
        const auto what = fmt::format("{}ended at call {}, recovery at call {}, another one too", undo ? "undo " : "", n, m);
        world.expect_bytes_somewhere(what);
        world.recovered(what);
        world.fs.crash(n * 1009 + m + 500);
        expect_nothing_lost(world, stood, what);
        if (HasFailure()) return;
        if (!refused) break;
      }
      if (!refused_first) break;
    }
  }
}

TEST_P(NamesCome, EmptyingTheTrashMayEndAnywhereAndIsFinishedThen) {
  for (std::uint64_t n = 0;; ++n) {
    bool refused = false;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      NamesWorld world(deed());
      ASSERT_TRUE(world.carry_out(world.fs, world.plan()));
      const auto kept = world.names();
      {
        RefusingFileSystem dead(world.fs, n, EIO, true);
        (void)world.empty(dead);
        refused = dead.refused();
      }
      if (seed > 0) world.fs.crash(n * 100 + seed);
      const auto what = fmt::format("emptying ended at call {}, seed {}", n, seed);
      world.recovered(what);
      // What stands in the stores is not touched by it.
      const auto now = world.names();
      for (const auto& [path, name] : kept) {
        if (!path.contains(".mlxcache-trash")) {
          EXPECT_TRUE(now.contains(path)) << what << ": " << path;
        }
      }
      ASSERT_TRUE(world.empty(world.fs)) << what;
      for (const auto& [path, name] : world.names()) EXPECT_FALSE(path.contains(".mlxcache-trash")) << what << ": " << path;
      if (HasFailure()) return;
    }
    if (!refused) break;
  }
}

}  // namespace
}  // namespace mlxcache::crash
