#include "mlxcache/verify/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <mutex>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/verify/damage.h"
#include "mlxcache/verify/measure.h"

namespace mlxcache::verify {
namespace {

using catalog::Entry;
using catalog::Role;
using catalog::StoreKind;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::testing::noise;
using mlxbase::testing::TemporaryFolder;
using testing::IsEmpty;
using testing::SizeIs;

Digest digest_of(Algorithm algorithm, std::string_view bytes) {
  mlxbase::Hasher hasher(algorithm, bytes.size());
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish();
}

/// The real disk; counts opens, and runs a hook before each block that is hashed.
class HookedDisk final : public mlxbase::testing::HookedFileSystem {
 public:
  HookedDisk() : HookedFileSystem(mlxbase::os::real_file_system()) {
    set_hook([this](const mlxbase::testing::Call& call) -> mlxbase::Status {
      const std::lock_guard hold(mutex_);
      if (call.name == "open_read") ++opened[call.path];
      if (call.name == "pread" && before_read) before_read(kBlockBytes * preads_[call.path]++);
      return {};
    });
  }
  std::function<void(std::uint64_t at)> before_read;
  std::map<std::string, int> opened;

 private:
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> preads_;
};

/// One listing of a made-up store whose claims the test chooses, and everything that verify() needs.
class Verify : public testing::Test {
 protected:
  Verify() : catalog_(catalog::Catalog::in_memory().value()) {
    inventory_.listings.emplace_back();
    inventory_.listings[0].root = {StoreKind::ollama, folder_.path(), "test"};
  }

  /// Writes the file and lists it; its place in the inventory's inodes.
  std::uint32_t add(std::string_view name, std::string_view bytes, std::optional<Digest> claim, Role role = Role::payload) {
    return list(folder_.write(name, bytes), std::move(claim), role);
  }
  std::uint32_t list(const std::string& path, std::optional<Digest> claim, Role role = Role::payload) {
    Entry entry;
    entry.path = path;
    entry.stat = mlxbase::os::real_file_system().stat(path).value();
    entry.role = role;
    entry.claim = std::move(claim);
    auto& listing = inventory_.listings[0];
    listing.entries.push_back(entry);
    const catalog::NameRef name{0, static_cast<std::uint32_t>(listing.entries.size() - 1)};
    for (std::uint32_t i = 0; i < inventory_.inodes.size(); ++i) {
      if (inventory_.inodes[i].stat.id == entry.stat.id) {
        inventory_.inodes[i].names.push_back(name);
        return i;
      }
    }
    catalog::Inode inode;
    inode.stat = entry.stat;
    inode.names.push_back(name);
    inventory_.inodes.push_back(std::move(inode));
    return static_cast<std::uint32_t>(inventory_.inodes.size() - 1);
  }
  /// Changes bytes as a failing disk does: size and times stay.
  void rot(std::uint32_t inode, std::uint64_t at, std::string_view with) {
    const std::string& path = inventory_.entry(inventory_.inodes[inode].names[0]).path;
    auto& fs = mlxbase::os::real_file_system();
    const auto stat = fs.stat(path).value();
    ASSERT_TRUE(fs.open_write(path).value()->pwrite(at, mlxbase::as_bytes(with)));
    ASSERT_TRUE(fs.set_times(path, stat.atime_ns, stat.mtime_ns));
  }
  mlxbase::Result<Report> run(const Options& options = {}) {
    const stores::Context context{disk_, environment_, &cancel_};
    return verify(context, catalog_, inventory_, options, clock_, mlxbase::no_progress());
  }
  Checked one(const Options& options = {}) {
    auto report = run(options);
    EXPECT_TRUE(report);
    EXPECT_THAT(report->files, SizeIs(1));
    return report->files.empty() ? Checked{} : report->files[0];
  }

  TemporaryFolder folder_;
  HookedDisk disk_;
  mlxbase::os::Environment environment_;
  mlxbase::Cancel cancel_;
  mlxbase::testing::FakeClock clock_;
  catalog::Catalog catalog_;
  catalog::Inventory inventory_;
};

TEST_F(Verify, MeasuresEveryAlgorithmThatAStoreClaims) {
  const std::string bytes = noise(3'000'001, 1);
  const Digest sha256 = digest_of(Algorithm::sha256, bytes);
  add("sha256", bytes, sha256);
  add("git", bytes, digest_of(Algorithm::git_sha1, bytes));
  add("sha1", bytes, digest_of(Algorithm::sha1, bytes));
  add("blake3", bytes, digest_of(Algorithm::blake3, bytes));
  add("md5", bytes, digest_of(Algorithm::md5, bytes));
  add("prefix", bytes, Digest(Algorithm::sha256_prefix, sha256.bytes().first(4)));
  add("empty", "", digest_of(Algorithm::sha256, ""));
  const auto report = run();
  ASSERT_TRUE(report);
  ASSERT_THAT(report->files, SizeIs(7));
  for (const Checked& file : report->files) EXPECT_EQ(file.verdict, Verdict::intact) << file.path << " " << file.reason;
  EXPECT_EQ(report->bytes_read, 6 * bytes.size());
}

TEST_F(Verify, CallsABlobWhoseNameLiesDamaged) {
  add("blob", noise(10'000, 1), digest_of(Algorithm::sha256, noise(10'000, 2)));
  const Checked file = one();
  EXPECT_EQ(file.verdict, Verdict::damaged);
  EXPECT_EQ(file.claimed, digest_of(Algorithm::sha256, noise(10'000, 2)));
  EXPECT_EQ(file.measured, digest_of(Algorithm::sha256, noise(10'000, 1)));
  EXPECT_EQ(file.store, "ollama");
  EXPECT_EQ(file.twin, "");
}

TEST_F(Verify, SaysThatADigestInANameIsAConvention) {
  add("model-0676ba61.pth", noise(10'000, 1), Digest::parse(Algorithm::sha256_prefix, "0676ba61"));
  const Checked file = one();
  EXPECT_EQ(file.verdict, Verdict::damaged);
  EXPECT_THAT(file.reason, testing::HasSubstr("convention"));
}

TEST_F(Verify, FindsAFlippedByteAnywhere) {
  const std::string bytes = noise(5000, 1);
  for (const std::size_t at : {std::size_t{0}, std::size_t{4095}, std::size_t{4096}, bytes.size() - 1}) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    add("blob" + std::to_string(at), flipped, digest_of(Algorithm::sha256, bytes));
  }
  const auto report = run();
  ASSERT_TRUE(report);
  for (const Checked& file : report->files) EXPECT_EQ(file.verdict, Verdict::damaged) << file.path;
}

TEST_F(Verify, LocatesRotAgainstAnIntactTwin) {
  const std::string bytes = noise((2 << 20) + 100, 1);
  const Digest digest = digest_of(Algorithm::sha256, bytes);
  add("intact", bytes, digest);
  std::string bad = bytes;
  for (const std::size_t at : {std::size_t{5}, std::size_t{4096}, std::size_t{1 << 20}, std::size_t{(1 << 20) - 1}, bytes.size() - 1}) {
    bad[at] = static_cast<char>(bad[at] ^ 0x40);
  }
  add("bad", bad, digest);
  const auto report = run();
  ASSERT_TRUE(report);
  ASSERT_THAT(report->files, SizeIs(2));
  const Checked& file = report->files[0];  // worst first
  EXPECT_EQ(file.path, folder_ / "bad");
  EXPECT_EQ(file.twin, folder_ / "intact");
  ASSERT_THAT(file.damage, SizeIs(3));
  EXPECT_EQ(file.damage[0].offset, 0U);  // two neighbouring blocks are one range
  EXPECT_EQ(file.damage[0].length, 8192U);
  EXPECT_EQ(file.damage[1].offset, (1U << 20U) - 4096);  // across the border of what is read at once
  EXPECT_EQ(file.damage[1].length, 8192U);
  EXPECT_EQ(file.damage[2].offset, 2U << 20U);  // the last block ends with the file
  EXPECT_EQ(file.damage[2].length, 100U);
}

TEST_F(Verify, SaysWhereATruncatedFileEnds) {
  const std::string bytes = noise(10'000, 1);
  const Digest digest = digest_of(Algorithm::sha256, bytes);
  add("intact", bytes, digest);
  add("short", bytes.substr(0, 5000), digest);
  const auto report = run();
  ASSERT_TRUE(report);
  ASSERT_THAT(report->files[0].damage, SizeIs(1));
  EXPECT_EQ(report->files[0].damage[0].offset, 4096U);
  EXPECT_EQ(report->files[0].damage[0].length, 10'000U - 4096U);
}

TEST_F(Verify, TakesATwinFromAGroupOrAnotherModelButOnlyAnIntactOne) {
  const std::string bytes = noise(10'000, 1);
  const Digest digest = digest_of(Algorithm::sha256, bytes);
  std::string bad = bytes;
  bad[0] = static_cast<char>(bad[0] ^ 1);
  const auto damaged = add("bad", bad, digest);
  add("also bad", bad, digest);
  const auto unclaimed = add("no claim", bytes, std::nullopt);
  inventory_.groups.push_back({.size = bytes.size(), .digest = digest, .evidence = {}, .inodes = {damaged, unclaimed}, .reclaimable_bytes = 0});
  inventory_.listings[0].models.push_back({.id = "chosen", .revision = "", .format = "", .incomplete = false, .entries = {0}});
  inventory_.listings[0].entries[0].model = 0;
  const Checked file = one({.models = {"chosen"}, .deep = false});
  EXPECT_EQ(file.verdict, Verdict::damaged);
  EXPECT_EQ(file.model, "chosen");
  EXPECT_EQ(file.twin, folder_ / "no claim");
  ASSERT_THAT(file.damage, SizeIs(1));
}

TEST_F(Verify, ReadsAHardLinkedInodeOnce) {
  const std::string bytes = noise(10'000, 1);
  add("a", bytes, digest_of(Algorithm::sha256, bytes));
  ASSERT_EQ(::link((folder_ / "a").c_str(), (folder_ / "b").c_str()), 0);
  inventory_.inodes.clear();
  inventory_.listings[0].entries.clear();
  list(folder_ / "a", digest_of(Algorithm::sha256, bytes));
  list(folder_ / "b", digest_of(Algorithm::git_sha1, bytes));
  const auto report = run();
  ASSERT_TRUE(report);
  EXPECT_THAT(report->files, SizeIs(1));
  EXPECT_EQ(report->files[0].verdict, Verdict::intact);
  EXPECT_EQ(report->bytes_read, bytes.size());
}

TEST_F(Verify, HoldsEveryNamesClaimAgainstTheInode) {
  const std::string bytes = noise(10'000, 1);
  add("a", bytes, digest_of(Algorithm::sha256, bytes));
  ASSERT_EQ(::link((folder_ / "a").c_str(), (folder_ / "b").c_str()), 0);
  inventory_.inodes.clear();
  inventory_.listings[0].entries.clear();
  list(folder_ / "a", digest_of(Algorithm::sha256, bytes));
  list(folder_ / "b", digest_of(Algorithm::sha256, "something else"));
  const Checked file = one();
  EXPECT_EQ(file.verdict, Verdict::damaged);
  EXPECT_EQ(file.path, folder_ / "b");
}

TEST_F(Verify, GoesOnWhereAnEarlierRunWasStopped) {
  const std::string large = noise(70 << 20, 1);  // past what is kept pending
  const std::string small = noise(1 << 20, 2);
  add("large", large, digest_of(Algorithm::sha256, large));
  add("small", small, digest_of(Algorithm::sha256, small));
  disk_.before_read = [&](std::uint64_t at) {
    if (at == 139U << 19U) cancel_.request();  // in the last block of the large one: it is finished, the run is not
  };
  const auto stopped = run();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Code::cancelled);
  disk_.before_read = {};
  mlxbase::Cancel again;
  const stores::Context context{disk_, environment_, &again};
  const auto report = verify(context, catalog_, inventory_, {}, clock_, mlxbase::no_progress());
  ASSERT_TRUE(report);
  EXPECT_LE(report->bytes_read, small.size());
  for (const Checked& file : report->files) EXPECT_EQ(file.verdict, Verdict::intact);
  EXPECT_EQ(std::count_if(report->files.begin(), report->files.end(), [](const Checked& c) { return c.from_catalog; }), report->bytes_read == 0 ? 2 : 1);
}

TEST_F(Verify, StopsBetweenBlocks) {
  add("large", noise(8 << 20, 1), digest_of(Algorithm::sha256, ""));
  std::uint64_t last = 0;
  disk_.before_read = [&](std::uint64_t at) {
    last = at;
    if (at == 2U << 20U) cancel_.request();
  };
  ASSERT_FALSE(run());
  EXPECT_EQ(last, 2U << 20U);
}

TEST_F(Verify, BelievesTheCatalogUnlessAskedToLookAgain) {
  const std::string bytes = noise(100'000, 1);
  const auto inode = add("blob", bytes, digest_of(Algorithm::sha256, bytes));
  EXPECT_FALSE(one().from_catalog);
  EXPECT_TRUE(one().from_catalog);
  EXPECT_EQ(run()->bytes_read, 0U);
  // Rot leaves no trace in size or mtime; ctime is what our own write to the disk cannot keep, so the test forgets it.
  rot(inode, 50'000, "rot");
  auto& stat = inventory_.inodes[inode].stat;
  stat = mlxbase::os::real_file_system().stat(folder_ / "blob").value();
  inventory_.listings[0].entries[0].stat = stat;
  const std::vector<catalog::Measured> known = {
      {.of = catalog::fingerprint_of(stat), .sample = {}, .digests = {digest_of(Algorithm::sha256, bytes)}, .verified_at_ns = 1}};
  ASSERT_TRUE(catalog_.remember(known));
  EXPECT_EQ(one().verdict, Verdict::intact);
  EXPECT_EQ(one({.models = {}, .deep = true}).verdict, Verdict::damaged);
  EXPECT_EQ(one().verdict, Verdict::damaged) << "what was found out stays known";
}

TEST_F(Verify, NoticesRotOfAFileThatNobodyClaimsADigestOf) {
  const std::string bytes = noise(100'000, 1);
  const auto inode = add("blob", bytes, std::nullopt);
  EXPECT_EQ(one({.models = {}, .deep = true}).verdict, Verdict::unclaimed);
  rot(inode, 50'000, "rot");
  auto& stat = inventory_.inodes[inode].stat;
  stat = mlxbase::os::real_file_system().stat(folder_ / "blob").value();
  const std::vector<catalog::Measured> known = {
      {.of = catalog::fingerprint_of(stat), .sample = {}, .digests = {digest_of(Algorithm::sha256, bytes)}, .verified_at_ns = 1}};
  ASSERT_TRUE(catalog_.remember(known));
  const Checked file = one({.models = {}, .deep = true});
  EXPECT_EQ(file.verdict, Verdict::damaged);
  EXPECT_EQ(file.claimed, digest_of(Algorithm::sha256, bytes));
  EXPECT_EQ(one({.models = {}, .deep = true}).verdict, Verdict::damaged) << "the damaged bytes are no baseline";
}

TEST_F(Verify, NeverCallsAFileDamagedThatChangesMeanwhile) {
  const std::string bytes = noise(3 << 20, 1);
  add("blob", bytes, digest_of(Algorithm::sha256, bytes));
  bool once = true;
  disk_.before_read = [&](std::uint64_t at) {
    if (at != 1U << 20U || !once) return;
    once = false;
    ASSERT_TRUE(mlxbase::os::real_file_system().open_write(folder_ / "blob").value()->pwrite(2 << 20, mlxbase::as_bytes("training")));
  };
  const Checked file = one();
  EXPECT_EQ(file.verdict, Verdict::unreadable);
  EXPECT_THAT(file.reason, testing::HasSubstr("changed"));
}

TEST_F(Verify, NeverCallsAFileDamagedThatChangedSinceTheScan) {
  const std::string bytes = noise(10'000, 1);
  add("rewritten", bytes, digest_of(Algorithm::sha256, bytes));
  add("replaced", bytes, digest_of(Algorithm::sha256, bytes));
  add("removed", bytes, digest_of(Algorithm::sha256, bytes));
  folder_.write("rewritten", noise(9000, 2));
  folder_.write("new", noise(10'000, 3));
  ASSERT_EQ(::rename((folder_ / "new").c_str(), (folder_ / "replaced").c_str()), 0);
  ASSERT_EQ(::unlink((folder_ / "removed").c_str()), 0);
  const auto report = run();
  ASSERT_TRUE(report);
  for (const Checked& file : report->files) EXPECT_EQ(file.verdict, Verdict::unreadable) << file.path;
}

TEST_F(Verify, NeverOpensPartialDownloads) {
  const std::string bytes = noise(10'000, 1);
  add("half", bytes, digest_of(Algorithm::sha256, "whole"), Role::partial);
  // A partial download that another store holds a hard link of may still be written to.
  add("other", bytes, digest_of(Algorithm::sha256, bytes));
  ASSERT_EQ(::link((folder_ / "other").c_str(), (folder_ / "other.part").c_str()), 0);
  list(folder_ / "other.part", std::nullopt, Role::partial);
  const auto report = run({.models = {}, .deep = true});
  ASSERT_TRUE(report);
  EXPECT_THAT(report->files, IsEmpty());
  EXPECT_THAT(disk_.opened, IsEmpty());
}

TEST_F(Verify, SaysThatAXetHashCannotBeMeasured) {
  const std::string bytes = noise(10'000, 1);
  add("blob", bytes, Digest(Algorithm::xet, digest_of(Algorithm::sha256, "x").bytes()));
  const Checked file = one();
  EXPECT_EQ(file.verdict, Verdict::unclaimed);
  EXPECT_THAT(file.reason, testing::HasSubstr("xet"));
  EXPECT_THAT(disk_.opened, IsEmpty());
}

TEST_F(Verify, ChecksContainersOnlyWhenDeep) {
  const std::string whole = sample::safetensors_bytes(1, 40'000);
  const std::string gguf = sample::gguf_bytes(2, 40'000);
  add("whole.safetensors", whole, std::nullopt);
  add("short.safetensors", whole.substr(0, whole.size() - 7), std::nullopt);
  add("sha256-without-ending", gguf.substr(0, gguf.size() - 64), digest_of(Algorithm::sha256, gguf.substr(0, gguf.size() - 64)));
  add("whole.gguf", gguf, std::nullopt);
  add("not.gguf", "a web page that says 404", std::nullopt);
  add("notes.txt", "text", std::nullopt);
  const auto shallow = run();
  ASSERT_TRUE(shallow);
  EXPECT_EQ(shallow->files[0].verdict, Verdict::unclaimed);
  const auto deep = run({.models = {}, .deep = true});
  ASSERT_TRUE(deep);
  std::map<std::string, Checked> by_name;
  for (const Checked& file : deep->files) by_name.emplace(mlxbase::path::file_name(file.path), file);
  EXPECT_EQ(by_name["whole.safetensors"].verdict, Verdict::unclaimed);
  EXPECT_EQ(by_name["short.safetensors"].verdict, Verdict::malformed);
  EXPECT_EQ(by_name["whole.gguf"].verdict, Verdict::unclaimed);
  EXPECT_EQ(by_name["not.gguf"].verdict, Verdict::malformed);
  EXPECT_EQ(by_name["notes.txt"].verdict, Verdict::unclaimed);
  EXPECT_EQ(by_name["sha256-without-ending"].verdict, Verdict::malformed);
  EXPECT_THAT(by_name["sha256-without-ending"].reason, testing::HasSubstr("cut short"));
  EXPECT_EQ(deep->files[0].verdict, Verdict::malformed) << "worst first";
}

TEST_F(Verify, KnowsABlobsContainerByTheLinkToIt) {
  add("blobs/0f", "no header at all", std::nullopt);
  ASSERT_EQ(::symlink("blobs/0f", (folder_ / "model.safetensors").c_str()), 0);
  Entry link;
  link.path = folder_ / "model.safetensors";
  link.stat = mlxbase::os::real_file_system().stat(link.path).value();
  link.role = Role::link;
  link.link_target = "blobs/0f";
  inventory_.listings[0].entries.push_back(link);
  inventory_.listings[0].models.push_back({.id = "org/name", .revision = "", .format = "", .incomplete = false, .entries = {1}});
  const Checked file = one({.models = {"org/name"}, .deep = true});
  EXPECT_EQ(file.verdict, Verdict::malformed);
  EXPECT_EQ(file.path, folder_ / "blobs/0f");
}

TEST_F(Verify, RefusesAModelThatNoStoreHas) {
  const auto report = run({.models = {"no/such"}, .deep = false});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Code::invalid);
}

TEST(Damage, IsBoundedHoweverMuchDiffers) {
  TemporaryFolder folder;
  std::string a((2 * kMaxRanges + 10) * kDamageBlock, '\0');
  std::string b = a;
  for (std::size_t block = 0; block < b.size() / kDamageBlock; block += 2) b[block * kDamageBlock] = 'x';
  auto& fs = mlxbase::os::real_file_system();
  auto one = fs.open_read(folder.write("a", a)).value();
  auto two = fs.open_read(folder.write("b", b)).value();
  std::atomic<std::uint64_t> read{0};
  const auto ranges = compare(*one, *two, nullptr, read);
  ASSERT_TRUE(ranges);
  ASSERT_THAT(*ranges, SizeIs(kMaxRanges));
  EXPECT_EQ(ranges->back().offset + ranges->back().length, b.size() - kDamageBlock);
  EXPECT_EQ(read.load(), a.size() + b.size());
}

}  // namespace
}  // namespace mlxcache::verify
