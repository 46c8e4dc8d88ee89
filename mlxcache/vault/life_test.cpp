// A model's whole life in the vault: frozen and taken away, thawed at its place, collected around, carried to another vault. With a failure at
// every k-th call, ended there, and with the power cut there: at any moment its bytes are at their place or whole in the vault.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/vault/reader.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

using mlxbase::Code;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
using mlxbase::testing::RefusingFileSystem;

/// What a name is, as a person would compare it before and after.
struct Name {
  os::FileKind kind{};
  std::uint32_t mode = 0;
  std::int64_t mtime_ns = 0;
  std::string text;  // content, or where a link leads
  friend bool operator==(const Name&, const Name&) = default;
};
using Names = std::map<std::string, Name>;

class Life : public testing::Test {
 protected:
  static constexpr const char* kAway = "/away/vault";  // the other vault

  /// Times and modes of folders and links are set last, and noted where that fails.
  static Names names(Bench& b) {
    Names out;
    if (!b.fs.stat("/model")) return out;
    for (const std::string& p : walk(b.fs, "/model")) {
      const auto stat = *b.fs.stat(p);
      Name n{stat.kind, stat.mode, stat.mtime_ns, {}};
      if (stat.kind != os::FileKind::regular) n.mode = 0, n.mtime_ns = 0;
      if (stat.kind == os::FileKind::symlink) n.text = *b.fs.read_link(p);
      if (stat.kind == os::FileKind::regular) n.text = *os::read_small_file(b.fs, p, 1 << 24);
      if (p != "/model") out.emplace(p, std::move(n));
    }
    return out;
  }
  static void fill(Bench& b) {
    const auto a = b.floats(8, 256, 1);
    b.write("/model/one.safetensors", b.safetensors({{"a", a}}));
    b.write("/model/sub/two.safetensors", b.safetensors({{"b", a}}));
    b.write("/model/config.json", mlxbase::as_bytes("{}"));
    ASSERT_TRUE(b.fs.make_symlink("../one.safetensors", "/model/sub/link"));
    ASSERT_TRUE(b.fs.hard_link("/model/config.json", "/model/again.json"));
  }
  static change::Machinery machinery(Bench& b, const stores::Context& context) { return {context, b.home, b.clock, mlxbase::no_progress(), nullptr, "test"}; }

  /// As `freeze --apply --now`: into the vault, read back, and only then away for good.
  static Status freeze_away(Bench& b, os::FileSystem& fs) {
    const stores::Context context{fs, b.environment, nullptr};
    const Subject subject = b.subject("/model");
    change::Plan removal;
    for (auto p = subject.paths.rbegin(); p != subject.paths.rend(); ++p) {
      const os::FileStat stat = TRY(fs.stat(*p));
      change::Change c;
      c.kind = change::Kind::remove;
      c.path = *p;
      c.root = {catalog::StoreKind::loose, "/", "freeze"};
      if (stat.kind != os::FileKind::directory) c.expected = catalog::fingerprint_of(stat);
      removal.changes.push_back(std::move(c));
    }
    auto vault = TRY(Vault::open(fs, b.dir, Access::write));
    const Means means{fs, b.clock, mlxbase::no_progress(), nullptr, 1};
    const Frozen frozen = TRY(freeze(*vault, subject, means));
    TRY(read_back(*vault, frozen.model, means));
    TRY(vault->add_model(frozen.model));
    const auto m = machinery(b, context);
    const auto done = TRY(change::carry_out(m, removal));
    TRY(change::empty_trash(m, done.transaction, INT64_MAX));
    return {};
  }
  /// As `thaw`, to the place of before.
  static Status thaw_home(Bench& b, os::FileSystem& fs) {
    const stores::Context context{fs, b.environment, nullptr};
    auto vault = TRY(Vault::open(fs, b.dir, Access::read));
    std::vector<ModelFile> models = TRY(models_of(*vault));
    if (models.empty()) return mlxbase::fail(Code::not_found, "nothing is frozen");
    const auto m = machinery(b, context);
    TRY(thaw(*vault, models.back().model, target_of(models.back().model, ""), m, 1));
    return {};
  }
  static Result<std::vector<ModelFile>> models_of(Vault& vault) {
    std::vector<ModelFile> models;
    std::vector<Damaged> damaged;
    TRY(vault.each_model([&](ModelFile& m) -> Status {
      models.push_back(std::move(m));
      return {};
    }, damaged));
    if (!damaged.empty()) return mlxbase::fail(Code::corrupt, damaged.front().path + ": " + damaged.front().what);
    return models;
  }
  /// How many frozen models there are, each of them whole.
  static std::size_t expect_whole(Bench& b, const std::string& dir, const std::string& what) {
    if (const auto there = is_vault(b.fs, dir); !there || !*there) return 0;
    auto vault = Vault::open(b.fs, dir, Access::read);
    EXPECT_TRUE(vault) << what << ": " << vault.error().message;
    if (!vault) return 0;
    EXPECT_THAT((*vault)->damaged(), testing::IsEmpty()) << what;
    const auto models = models_of(**vault);
    EXPECT_TRUE(models) << what << ": " << models.error().message;
    if (!models) return 0;
    for (const ModelFile& m : *models) {
      const auto back = read_back(**vault, m.model, b.means());
      EXPECT_TRUE(back) << what << ": " << m.model.name << ": " << back.error().message;
    }
    return models->size();
  }
  static void recover(Bench& b) {
    const stores::Context context{b.fs, b.environment, nullptr};
    const auto m = machinery(b, context);
    const auto done = change::recover(m);
    ASSERT_TRUE(done) << done.error().message;
  }

  enum class Way : std::uint8_t { fails, ends, power };
  using Deed = std::function<Status(Bench&, os::FileSystem&)>;
  /// `deed` with its n-th call failing, for every n that is `first` modulo `step`; `after` looks, and finishes what was begun.
  static void break_it(const std::function<void(Bench&)>& before, const Deed& deed, Way way, std::uint64_t step, std::uint64_t first,
                       const std::function<void(Bench&, const std::string&)>& after) {
    for (std::uint64_t n = first;; n += step) {
      Bench b;
      before(b);
      b.memory.settle();
      RefusingFileSystem refusing(b.memory, n, way == Way::fails ? ENOSPC : EIO, way != Way::fails);
      const Status done = deed(b, refusing);
      if (!refusing.refused()) {
        ASSERT_TRUE(done) << done.error().message;
        ASSERT_GT(n, 30U);
        return;
      }
      if (way == Way::power) b.memory.crash(n);
      after(b, fmt::format("call {}: {}", n, done ? "went on" : done.error().message));
      ASSERT_FALSE(HasFailure()) << "call " << n;
    }
  }
};

TEST_F(Life, FreezingThatTakesAwayMayBeCutAnywhere) {
  Names was;
  const auto before = [&](Bench& b) {
    fill(b);
    was = names(b);
  };
  const auto after = [&](Bench& b, const std::string& what) {
    recover(b);
    const std::size_t frozen = expect_whole(b, b.dir, what);
    const Names now = names(b);
    if (now != was) {
      ASSERT_GE(frozen, 1U) << what << ": something is gone and is not in the vault";
      // All or nothing of it is gone; what is half there came back.
      ASSERT_TRUE(now.empty()) << what;
      const auto home = thaw_home(b, b.fs);
      ASSERT_TRUE(home) << what << ": " << home.error().message;
      ASSERT_EQ(names(b), was) << what;
    }
    const auto again = freeze_away(b, b.fs);
    ASSERT_TRUE(again) << what << ": " << again.error().message;
    ASSERT_FALSE(b.fs.stat("/model")) << what;
  };
  break_it(before, freeze_away, Way::fails, 3, 0, after);
  break_it(before, freeze_away, Way::ends, 3, 1, after);
  break_it(before, freeze_away, Way::power, 3, 2, after);
}

TEST_F(Life, ThawingAtItsPlaceMayBeCutAnywhere) {
  Names was;
  const auto before = [&](Bench& b) {
    fill(b);
    was = names(b);
    ASSERT_TRUE(freeze_away(b, b.fs));
  };
  const auto after = [&](Bench& b, const std::string& what) {
    ASSERT_EQ(expect_whole(b, b.dir, what), 1U) << what;
    const auto again = thaw_home(b, b.fs);
    ASSERT_TRUE(again) << what << ": " << again.error().message;
    ASSERT_EQ(names(b), was) << what;
  };
  break_it(before, thaw_home, Way::fails, 5, 0, after);
  break_it(before, thaw_home, Way::ends, 5, 2, after);
  break_it(before, thaw_home, Way::power, 5, 3, after);
}

/// Two packs: one with a base that nobody needs but the tuned model in the other, and with something that nobody needs at all.
void fill_family(Bench& b) {
  const auto base = b.floats(36, 256, 1);
  b.write("/old/base.safetensors", b.safetensors({{"a", base}}));
  b.write("/old/other.bin", b.noise(20'000, 3));
  b.write("/tuned/tuned.safetensors", b.safetensors({{"a", b.nudged(base, 2)}}));
  auto vault = b.writer();
  for (const char* folder : {"/old", "/tuned"}) {
    const auto frozen = freeze(*vault, b.subject(folder), b.means());
    ASSERT_TRUE(frozen);
    const auto id = vault->add_model(frozen->model);
    ASSERT_TRUE(id);
    if (folder != std::string("/tuned")) {
      ASSERT_TRUE(vault->remove_model(*id));
    }
  }
}
/// The pack that has the base.
std::string old_pack(Bench& b) {
  std::string longest;
  std::uint64_t bytes = 0;
  const auto packs = *b.fs.list(b.dir + "/packs");
  for (const auto& e : packs) {
    const std::string full = b.dir + "/packs/" + e.name;
    if (b.fs.stat(full)->size <= bytes) continue;
    bytes = b.fs.stat(full)->size;
    longest = full;
  }
  return longest;
}

TEST_F(Life, CollectingMayBeCutAnywhere) {
  const auto deed = [](Bench& b, os::FileSystem& fs) -> Status {
    auto vault = TRY(Vault::open(fs, b.dir, Access::write));
    TRY(vault->collect(true, mlxbase::no_progress(), nullptr));
    return {};
  };
  const auto after = [&](Bench& b, const std::string& what) {
    ASSERT_EQ(expect_whole(b, b.dir, what), 1U) << what;
    const auto again = deed(b, b.fs);
    ASSERT_TRUE(again) << what << ": " << again.error().message;
    ASSERT_EQ(expect_whole(b, b.dir, what), 1U) << what;
    std::uint64_t left = 0;
    const auto packs = *b.fs.list(b.dir + "/packs");
    for (const auto& e : packs) left += b.fs.stat(b.dir + "/packs/" + e.name)->size;
    EXPECT_LT(left, 40'000U) << what << ": what nobody needs is still there, or twice";
  };
  break_it(fill_family, deed, Way::fails, 1, 0, after);
  break_it(fill_family, deed, Way::ends, 1, 0, after);
  break_it(fill_family, deed, Way::power, 1, 0, after);
}

TEST_F(Life, CarryingToAnotherVaultMayBeCutAnywhere) {
  const auto deed = [](Bench& b, os::FileSystem& fs) -> Status {
    auto from = TRY(Vault::open(fs, b.dir, Access::read));
    auto to = TRY(Vault::open(fs, kAway, Access::write));
    const Means means{fs, b.clock, mlxbase::no_progress(), nullptr, 1};
    for (const ModelFile& m : TRY(models_of(*from))) TRY(copy_model(*to, *from, m.model, means));
    return {};
  };
  const auto after = [&](Bench& b, const std::string& what) {
    ASSERT_EQ(expect_whole(b, b.dir, what), 1U) << what;
    expect_whole(b, kAway, what);
    const auto again = deed(b, b.fs);
    ASSERT_TRUE(again) << what << ": " << again.error().message;
    ASSERT_GE(expect_whole(b, kAway, what), 1U) << what;
  };
  const auto before = [](Bench& b) {
    fill_family(b);
    ASSERT_TRUE(b.fs.make_dir("/away", 0755));
  };
  break_it(before, deed, Way::fails, 2, 0, after);
  break_it(before, deed, Way::ends, 2, 1, after);
  break_it(before, deed, Way::power, 2, 0, after);
}

// ---- damage --------------------------------------------------------------------------------------------------------------

TEST_F(Life, EveryFlippedByteIsNamedAndEverythingElseIsRead) {
  Bench b;
  fill_family(b);  // its base is gone as a model, and stays as an object
  b.write("/small/a.bin", b.noise(1500, 7));
  b.write("/small/words", mlxbase::as_bytes("words"));
  {
    auto vault = b.writer();
    ASSERT_TRUE(vault->collect(true, mlxbase::no_progress(), nullptr));
    const auto frozen = freeze(*vault, b.subject("/small"), b.means());
    ASSERT_TRUE(frozen);
    ASSERT_TRUE(vault->add_model(frozen->model));
  }
  std::vector<std::string> files;
  for (const std::string& p : walk(b.fs, b.dir)) {
    if (b.fs.stat(p)->kind == os::FileKind::regular && !p.ends_with("/lock")) files.push_back(p);
  }
  ASSERT_EQ(files.size(), 6U) << "format, three packs, two models";
  std::size_t flips = 0;
  for (const std::string& path : files) {
    const Bytes whole = b.content(path);
    // Every byte of the small pack, every third of the models (they are there twice); of the packs of weights head and index, and some between.
    const auto step = [&](std::size_t at) -> std::size_t { return whole.size() < 8000 ? (path.ends_with(".pack") ? 1 : 3) : at < 400 || at + 400 > whole.size() ? 3 : 499; };
    for (std::size_t at = 0; at < whole.size(); at += step(at)) {
      const auto put = [&](std::byte value) {
        auto file = *b.fs.open_write(path);
        ASSERT_TRUE(file->pwrite(at, {&value, 1}));
      };
      put(whole[at] ^ std::byte{0x10});
      ++flips;
      auto vault = Vault::open(b.fs, b.dir, Access::read);
      if (path.ends_with("/format")) {
        ASSERT_FALSE(vault);
        EXPECT_EQ(vault.error().code, Code::unsupported);
      } else {
        ASSERT_TRUE(vault) << path << " byte " << at << ": " << vault.error().message;
        const auto verified = (*vault)->verify(1, mlxbase::no_progress(), nullptr);
        ASSERT_TRUE(verified) << verified.error().message;
        EXPECT_THAT(verified->damaged, testing::Not(testing::IsEmpty())) << path << " byte " << at << " is not noticed";
        std::vector<Damaged> damaged;
        std::size_t models = 0;
        std::size_t broken = 0;
        ASSERT_TRUE((*vault)->each_model([&](ModelFile& m) -> Status {
          ++models;
          if (flips % 4 != 0) return {};  // verify() has read it all
          broken += read_back(**vault, m.model, b.means()) ? 0 : 1;
          return {};
        }, damaged));
        EXPECT_EQ(models, 2U) << path << " byte " << at;
        EXPECT_LE(broken, 1U) << path << " byte " << at << " costs more than its model";
      }
      put(whole[at]);
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_GT(flips, 1500U);
}

TEST_F(Life, CollectingLeavesAPackOfWhichSomethingNeededCannotBeRead) {
  Bench b;
  fill_family(b);
  // The base is damaged, and shares its pack with what goes. Another pack is good, and of no use.
  const std::string pack = old_pack(b);
  const Bytes whole = b.content(pack);
  {
    auto file = *b.fs.open_write(pack);
    const std::byte other = whole[10'000] ^ std::byte{1};
    ASSERT_TRUE(file->pwrite(10'000, {&other, 1}));
  }
  b.write("/more/m.bin", b.noise(30'000, 9));
  auto vault = b.writer();
  const auto frozen = freeze(*vault, b.subject("/more"), b.means());
  ASSERT_TRUE(frozen);
  const auto id = vault->add_model(frozen->model);
  ASSERT_TRUE(id);
  ASSERT_TRUE(vault->remove_model(*id));
  const auto done = vault->collect(true, mlxbase::no_progress(), nullptr);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->packs_rewritten, 1U);
  ASSERT_TRUE(b.fs.stat(pack)) << "perhaps it can be mended";
  vault.reset();
  auto file = *b.fs.open_write(pack);
  ASSERT_TRUE(file->pwrite(10'000, {&whole[10'000], 1}));
  EXPECT_EQ(expect_whole(b, b.dir, "mended"), 1U);
}

TEST_F(Life, WhatIsDamagedIsMendedByFreezingOrCarryingItHereAgain) {
  for (const bool carried : {false, true}) {
    Bench b;
    fill_family(b);
    ASSERT_TRUE(b.fs.make_dir("/away", 0755));
    const Subject subject = b.subject("/old");
    const auto store = [&](Vault& vault) -> Status {
      FrozenModel model;
      TRY(twice(vault, model, [&]() -> Status {
        model = TRY(freeze(vault, subject, b.means())).model;
        return read_back(vault, model, b.means());
      }));
      TRY(vault.add_model(model));
      return {};
    };
    if (carried) {
      auto away = *Vault::open(b.fs, kAway, Access::write);
      ASSERT_TRUE(store(*away));
    }
    const std::string pack = old_pack(b);
    for (const std::uint64_t at : {3000U, 30'000U}) {  // in the base, which the tuned model needs, and in what lies beside it
      const std::byte other = b.content(pack)[at] ^ std::byte{1};
      auto file = *b.fs.open_write(pack);
      ASSERT_TRUE(file->pwrite(at, {&other, 1}));
    }
    {
      auto vault = b.writer();
      if (carried) {
        auto away = *Vault::open(b.fs, kAway, Access::read);
        const auto models = models_of(*away);
        ASSERT_TRUE(models);
        const auto copied = copy_model(*vault, *away, models->front().model, b.means());
        ASSERT_TRUE(copied) << copied.error().message;
      } else {
        const auto stored = store(*vault);
        ASSERT_TRUE(stored) << stored.error().message;
      }
    }
    ASSERT_EQ(expect_whole(b, b.dir, "mended"), 2U) << "the tuned model too, whose base it was";
    auto vault = b.reader();
    Reader reader(*vault, 0);
    const auto models = models_of(*vault);
    ASSERT_TRUE(models);
    for (const ModelFile& m : *models) {
      const auto model = std::make_shared<const FrozenModel>(m.model);
      for (std::size_t i = 0; i < model->names.size(); ++i) {
        const auto file = reader.open(model, i);
        if (!file) continue;
        Bytes out(static_cast<std::size_t>(file->size()));
        const auto got = file->read(0, out);
        ASSERT_TRUE(got) << got.error().message;
        EXPECT_EQ(out, b.content(model->root + "/" + model->names[i].path));
      }
    }
    {
      auto writer = b.writer();
      ASSERT_TRUE(writer->collect(true, mlxbase::no_progress(), nullptr));
    }
    EXPECT_EQ(expect_whole(b, b.dir, "collected"), 2U);
  }
}

TEST_F(Life, APackThatTheDiskCannotReadCostsNoOther) {
  Bench b;
  b.write("/one/a.bin", b.noise(30'000, 1));
  b.write("/two/b.bin", b.noise(30'000, 2));
  for (const char* folder : {"/one", "/two"}) {
    auto vault = b.writer();
    const auto frozen = freeze(*vault, b.subject(folder), b.means());
    ASSERT_TRUE(frozen);
    ASSERT_TRUE(vault->add_model(frozen->model));
  }
  for (const std::string kind : {"/packs/", "/models/"}) {
    const std::string bad = b.dir + kind + b.fs.list(b.dir + kind)->front().name;
    mlxbase::testing::HookedFileSystem fs(b.memory, [&](const mlxbase::testing::Call& call) -> Status {
      if (call.path == bad && call.name != "stat") return mlxbase::fail(Code::io, "read " + bad + ": Input/output error");
      return {};
    });
    auto vault = Vault::open(fs, b.dir, Access::read);
    ASSERT_TRUE(vault) << vault.error().message;
    std::vector<Damaged> damaged = (*vault)->damaged();
    std::size_t good = 0;
    ASSERT_TRUE((*vault)->each_model([&](ModelFile& m) -> Status {
      good += read_back(**vault, m.model, {fs, b.clock, mlxbase::no_progress(), nullptr, 1}) ? 1 : 0;
      return {};
    }, damaged));
    EXPECT_EQ(good, 1U) << kind;
    EXPECT_THAT(damaged, testing::ElementsAre(testing::Field(&Damaged::path, bad)));
  }
}

// ---- two at once ---------------------------------------------------------------------------------------------------------

TEST_F(Life, WhileOneWritesOthersAreToldAndReadersGoOn) {
  Bench b;
  fill_family(b);
  auto first = b.writer();  // as a freeze that runs
  for (int i = 0; i < 2; ++i) {
    const auto second = Vault::open(b.fs, b.dir, Access::write);  // freeze, gc, rm and import all begin so
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::busy);
  }
  EXPECT_EQ(expect_whole(b, b.dir, "while it is open to be written"), 1U);
}

TEST_F(Life, APackThatIsReplacedWhileTheVaultIsOpenedIsNoLoss) {
  Bench b;
  fill_family(b);
  // gc runs between the look at the folder and the opening of the pack.
  bool collected = false;
  mlxbase::testing::HookedFileSystem fs(b.memory, [&](const mlxbase::testing::Call& call) -> Status {
    if (collected || call.name != "open_read" || !call.path.ends_with(".pack")) return {};
    collected = true;
    auto writer = b.writer();
    EXPECT_TRUE(writer->collect(true, mlxbase::no_progress(), nullptr));
    return {};
  });
  auto vault = Vault::open(fs, b.dir, Access::read);
  ASSERT_TRUE(vault) << vault.error().message;
  ASSERT_TRUE(collected);
  EXPECT_FALSE((*vault)->heads().empty()) << "before anything is looked for";
  const auto verified = (*vault)->verify(1, mlxbase::no_progress(), nullptr);
  ASSERT_TRUE(verified);
  EXPECT_THAT(verified->damaged, testing::IsEmpty());
}

TEST_F(Life, WhatIsHeldOpenStaysWhateverElseIsLookedForInVain) {
  Bench b;
  fill_family(b);
  auto vault = b.reader();
  vault->hold_packs();
  const auto models = models_of(*vault);
  ASSERT_TRUE(models);
  {
    auto writer = b.writer();
    for (const ModelFile& m : *models) ASSERT_TRUE(writer->remove_model(m.id));
    ASSERT_TRUE(writer->collect(true, mlxbase::no_progress(), nullptr));
  }
  ASSERT_THAT(*b.fs.list(b.dir + "/packs"), testing::IsEmpty());
  const Digest nowhere = digest_of(mlxbase::as_bytes("nobody has this"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(vault->stored(nowhere).error().code, Code::not_found);
  for (const ModelFile& m : *models) {
    const auto back = read_back(*vault, m.model, b.means());
    EXPECT_TRUE(back) << back.error().message;
  }
}

TEST_F(Life, WhatTheVaultDoesNotHoldIsLookedForOnceInTheFolderAndNotInAllPacks) {
  Bench b;
  fill_family(b);
  int opened = 0;
  mlxbase::testing::HookedFileSystem fs(b.memory, [&](const mlxbase::testing::Call& call) -> Status {
    opened += call.name == "open_read" && call.path.ends_with(".pack") ? 1 : 0;
    return {};
  });
  auto vault = *Vault::open(fs, b.dir, Access::read);
  const int before = opened;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(vault->stored(digest_of(mlxbase::as_bytes("nobody has this"))).error().code, Code::not_found);
  EXPECT_EQ(opened, before);
}

TEST_F(Life, AReaderTakesCollectedObjectsFromWhereTheyAreNow) {
  Bench b;
  fill_family(b);
  const std::string old = old_pack(b);
  int reads = 0;
  mlxbase::testing::HookedFileSystem fs(b.memory, [&](const mlxbase::testing::Call& call) -> Status {
    reads += call.name == "pread" && call.path == old ? 1 : 0;
    return {};
  });
  auto vault = *Vault::open(fs, b.dir, Access::read);
  vault->hold_packs();
  const auto models = models_of(*vault);
  { ASSERT_TRUE(b.writer()->collect(true, mlxbase::no_progress(), nullptr)); }
  ASSERT_FALSE(b.fs.stat(old));
  ASSERT_TRUE(vault->refresh());
  reads = 0;
  for (const ModelFile& m : *models) {
    const auto back = read_back(*vault, m.model, b.means());
    EXPECT_TRUE(back) << back.error().message;
  }
  EXPECT_EQ(reads, 0);
  const Bytes other = b.content("/old/other.bin");
  const auto read = vault->read(digest_of(other));
  ASSERT_TRUE(read) << "what only the old pack has can still be read, since it is open: " << read.error().message;
  EXPECT_EQ(*read, other);
}

TEST_F(Life, WithTooFewDescriptorsThePacksThatAreGoneStayOpen) {
  Bench b;
  constexpr unsigned kModels = 60;  // each in a pack of its own; a vault holds 48 open
  {
    auto vault = b.writer();
    for (unsigned i = 0; i < kModels; ++i) {
      const std::string folder = fmt::format("/m{}", i);
      b.write(folder + "/a.bin", b.noise(2000, i));
      const auto frozen = freeze(*vault, b.subject(folder), b.means());
      ASSERT_TRUE(frozen);
      ASSERT_TRUE(vault->add_model(frozen->model));
    }
  }
  auto vault = b.reader();
  const auto models = *models_of(*vault);
  ASSERT_TRUE(read_back(*vault, models[0].model, b.means()));  // its pack is open now
  {
    auto writer = b.writer();
    ASSERT_TRUE(writer->remove_model(models[0].id));
    ASSERT_TRUE(writer->collect(true, mlxbase::no_progress(), nullptr));
  }
  for (const ModelFile& m : models) {
    const auto back = read_back(*vault, m.model, b.means());
    EXPECT_TRUE(back) << back.error().message;
  }
  EXPECT_TRUE(read_back(*vault, models[0].model, b.means())) << "there is no other way to it";
}

TEST_F(Life, AnotherVaultIsNotBelievedWhatItsBytesAre) {
  Bench b;
  const auto bytes = b.noise(20'000, 5);
  const auto lie = b.noise(20'000, 6);
  const Digest digest = digest_of(bytes);
  {
    auto from = b.writer();
    ASSERT_TRUE(from->put(digest, lie, {}));  // under a name that is not its own
    ASSERT_TRUE(from->publish());
  }
  auto from = b.reader();
  ASSERT_TRUE(b.fs.make_dir("/away", 0755));
  auto to = *Vault::open(b.fs, kAway, Access::write);
  const auto taken = to->take_over(*from, digest);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::corrupt);
  EXPECT_FALSE(to->find(digest)) << "the true bytes still have a place";
}

}  // namespace
}  // namespace mlxcache::vault
