// Freeze and thaw with a failure at every call, ended at every call, and with the power cut there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

using mlxbase::Code;
using mlxbase::Status;
namespace os = mlxbase::os;

/// A small model with one of everything.
void fill(Bench& b) {
  const auto a = b.floats(8, 256, 1);
  b.write("/model/one.safetensors", b.safetensors({{"a", a}}));
  b.write("/model/sub/two.safetensors", b.safetensors({{"c", a}}));
  b.write("/model/config.json", mlxbase::as_bytes("{}"));
  ASSERT_TRUE(b.fs.make_symlink("../one.safetensors", "/model/sub/link"));
  ASSERT_TRUE(b.fs.hard_link("/model/config.json", "/model/again.json"));
}

Status freeze_on(Bench& b, os::FileSystem& fs) {
  auto vault = TRY(Vault::open(fs, b.dir, Access::write));
  const Means means{fs, b.clock, mlxbase::no_progress(), nullptr, 1};
  const Frozen frozen = TRY(freeze(*vault, b.subject("/model"), means));
  TRY(read_back(*vault, frozen.model, means));
  TRY(vault->add_model(frozen.model));
  return {};
}

Status thaw_on(Bench& b, os::FileSystem& fs) {
  auto vault = TRY(Vault::open(fs, b.dir, Access::read));
  std::vector<ModelFile> models;
  std::vector<Damaged> damaged;
  TRY(vault->each_model([&](ModelFile& m) -> Status {
    models.push_back(std::move(m));
    return {};
  }, damaged));
  if (models.empty()) return mlxbase::fail(Code::not_found, "nothing is frozen");
  const stores::Context context{fs, b.environment, nullptr};
  const change::Machinery machinery{context, b.home, b.clock, mlxbase::no_progress(), nullptr, "test"};
  TRY(thaw(*vault, models.front().model, target_of(models.front().model, "/back"), machinery, 1));
  return {};
}

/// Whatever is published can be read whole; then a new run goes through.
void expect_sound(Bench& b, std::uint64_t n) {
  if (const auto there = is_vault(b.fs, b.dir); there && *there) {
    auto vault = Vault::open(b.fs, b.dir, Access::read);
    ASSERT_TRUE(vault) << "call " << n << ": " << vault.error().message;
    std::vector<Damaged> damaged;
    ASSERT_TRUE((*vault)->each_model([&](ModelFile& m) -> Status { return read_back(**vault, m.model, b.means()); }, damaged)) << "call " << n;
    EXPECT_THAT(damaged, testing::IsEmpty()) << "call " << n;
    EXPECT_THAT((*vault)->damaged(), testing::IsEmpty()) << "call " << n;
  }
  const auto again = freeze_on(b, b.fs);
  ASSERT_TRUE(again) << "call " << n << ": " << again.error().message;
  const auto packs = *b.fs.list(b.dir + "/packs");
  for (const auto& e : packs) EXPECT_TRUE(e.name.ends_with(".pack")) << e.name;
}

using After = std::function<void(Bench&, std::uint64_t n)>;

void freeze_with(int os_errno, bool for_good, const After& after) {
  for (std::uint64_t n = 0;; ++n) {
    Bench b;
    fill(b);
    b.memory.settle();
    mlxbase::testing::RefusingFileSystem refusing(b.memory, n, os_errno, for_good);
    const auto done = freeze_on(b, refusing);
    if (!refusing.refused()) {
      ASSERT_TRUE(done) << done.error().message;
      ASSERT_GT(n, 30U);
      return;
    }
    after(b, n);
    ASSERT_FALSE(testing::Test::HasFailure()) << "call " << n;
  }
}

TEST(FreezeFaults, ACallMayFail) { freeze_with(ENOSPC, false, expect_sound); }
TEST(FreezeFaults, TheProgramMayEndAtEveryCall) { freeze_with(EIO, true, expect_sound); }
TEST(FreezeFaults, ThePowerMayFailAtEveryCall) {
  freeze_with(EIO, true, [](Bench& b, std::uint64_t n) {
    b.memory.crash(n);
    expect_sound(b, n);
  });
}

void thaw_with(int os_errno, bool for_good, const After& after) {
  for (std::uint64_t n = 0;; ++n) {
    Bench b;
    fill(b);
    ASSERT_TRUE(freeze_on(b, b.fs));
    ASSERT_TRUE(b.fs.make_dir("/back", 0755));
    b.memory.settle();
    mlxbase::testing::RefusingFileSystem refusing(b.memory, n, os_errno, for_good);
    const auto done = thaw_on(b, refusing);
    if (!refusing.refused()) {
      ASSERT_TRUE(done) << done.error().message;
      ASSERT_GT(n, 30U);
      b.expect_equal("/model", "/back");
      EXPECT_FALSE(b.fs.stat(b.home + "/thaw"));
      return;
    }
    after(b, n);
    const auto again = thaw_on(b, b.fs);
    ASSERT_TRUE(again) << "call " << n << ": " << again.error().message;
    for (const char* file : {"one.safetensors", "sub/two.safetensors", "config.json", "again.json"}) {
      EXPECT_EQ(b.content(std::string("/back/") + file), b.content(std::string("/model/") + file)) << "call " << n;
    }
    EXPECT_FALSE(b.fs.stat(b.home + "/thaw")) << "call " << n;
    ASSERT_FALSE(testing::Test::HasFailure()) << "call " << n;
  }
}

TEST(ThawFaults, ACallMayFail) {
  thaw_with(ENOSPC, false, [](Bench&, std::uint64_t) {});
}
TEST(ThawFaults, TheProgramMayEndAtEveryCall) {
  thaw_with(EIO, true, [](Bench&, std::uint64_t) {});
}
TEST(ThawFaults, ThePowerMayFailAtEveryCall) {
  thaw_with(EIO, true, [](Bench& b, std::uint64_t n) { b.memory.crash(n); });
}

TEST(Collect, LeavesTheBaseOfWhatStays) {
  Bench b;
  const auto base = b.floats(256, 256, 1);
  b.write("/model/base.safetensors", b.safetensors({{"a", base}}));
  b.write("/tuned/tuned.safetensors", b.safetensors({{"a", b.nudged(base, 2)}}));
  b.write("/other/other.bin", b.noise(50'000, 3));
  auto vault = b.writer();
  std::vector<std::string> ids;
  for (const char* folder : {"/model", "/tuned", "/other"}) {
    const auto frozen = freeze(*vault, b.subject(folder), b.means());
    ASSERT_TRUE(frozen);
    ids.push_back(*vault->add_model(frozen->model));
  }
  ASSERT_TRUE(vault->remove_model(ids[0]));
  ASSERT_TRUE(vault->remove_model(ids[2]));
  const auto planned = vault->collect(false, mlxbase::no_progress(), nullptr);
  ASSERT_TRUE(planned);
  EXPECT_GE(planned->payload_bytes, 50'000U);
  // A reader that came before goes on.
  auto reader = b.reader();
  const auto done = vault->collect(true, mlxbase::no_progress(), nullptr);
  ASSERT_TRUE(done) << done.error().message;
  std::vector<Damaged> damaged;
  for (Vault* v : {vault.get(), reader.get()}) {
    ASSERT_TRUE(v->each_model([&](ModelFile& m) -> Status {
      const auto back = read_back(*v, m.model, b.means());
      EXPECT_TRUE(back) << back.error().message;
      return {};
    }, damaged));
  }
  EXPECT_EQ(vault->collect(false, mlxbase::no_progress(), nullptr)->objects, 0U);
}

TEST(Collect, LeavesADamagedPackForWhoeverCanMendIt) {
  Bench b;
  b.write("/model/a.bin", b.noise(50'000, 3));
  b.write("/other/b.bin", b.noise(50'000, 4));
  std::string kept;
  {
    auto vault = b.writer();
    for (const char* folder : {"/model", "/other"}) {
      const auto frozen = freeze(*vault, b.subject(folder), b.means());
      ASSERT_TRUE(frozen);
      const auto id = vault->add_model(frozen->model);
      ASSERT_TRUE(id);
      if (folder == std::string("/other")) {
        ASSERT_TRUE(vault->remove_model(*id));
      } else {
        kept = *id;
      }
    }
  }
  // Neither index nor records can be read any more, but all that is between them.
  const auto listed = b.fs.list(b.dir + "/packs").value();
  for (const auto& e : listed) {
    const std::string pack = b.dir + "/packs/" + e.name;
    const auto size = b.fs.stat(pack)->size;
    auto file = *b.fs.open_write(pack);
    const std::vector<std::byte> zeros(16);
    ASSERT_TRUE(file->pwrite(kPackHeaderBytes, zeros));
    ASSERT_TRUE(file->truncate(size - kPackTrailerBytes));
  }
  auto vault = b.writer();
  ASSERT_FALSE(vault->damaged().empty());
  // What the model that stays is coded against, only its pack knows.
  const auto refused = vault->collect(true, mlxbase::no_progress(), nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::corrupt);
  // Without the model nothing speaks against it; the packs stay all the same.
  ASSERT_TRUE(vault->remove_model(kept));
  const auto done = vault->collect(true, mlxbase::no_progress(), nullptr);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->packs_rewritten, 0U);
  EXPECT_EQ(b.fs.list(b.dir + "/packs")->size(), listed.size());
}

TEST(Collect, RemovesNothingWhileAModelCannotBeRead) {
  Bench b;
  b.write("/model/a.bin", b.noise(50'000, 3));
  auto vault = b.writer();
  const auto frozen = freeze(*vault, b.subject("/model"), b.means());
  const auto id = *vault->add_model(frozen->model);
  {
    auto file = *b.fs.open_write(b.dir + "/models/" + id + ".frozen");
    ASSERT_TRUE(file->truncate(100));
  }
  const auto done = vault->collect(true, mlxbase::no_progress(), nullptr);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::corrupt);
}

}  // namespace
}  // namespace mlxcache::vault
