// Plans over real files (on a volume without reflinks hard links are what `automatic` may choose); reflink arithmetic over
// real Btrfs and XFS volumes is in tests/filesystems.
#include "mlxcache/dedup/plan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "mlxbase/core/path.h"

namespace mlxcache::dedup {
namespace {

using catalog::Entry;
using catalog::Inventory;
using catalog::StoreKind;
using testing::HasSubstr;

/// A volume whose abilities the test decides; files are real.
class ChosenVolume final : public mlxbase::os::FileSystem {
 public:
  mlxbase::os::FileSystem& real = mlxbase::os::real_file_system();
  bool reflinks = false;
  bool hard_links = true;
  std::string why_not;

  mlxbase::Result<mlxbase::os::VolumeFacts> volume(const std::string& dir, bool) override {
    auto facts = real.volume(dir, false);
    if (!facts) return facts;
    facts->type = "testfs";
    facts->clone = facts->dedupe = reflinks;
    facts->hard_links = hard_links;
    facts->symlinks = true;
    facts->exchange = true;
    facts->why_not_probed = why_not;
    return facts;
  }
  using P = const std::string&;
  mlxbase::Result<mlxbase::os::FileStat> stat(P p, mlxbase::os::Follow f) override { return real.stat(p, f); }
  mlxbase::Result<std::vector<mlxbase::os::DirEntry>> list(P p) override { return real.list(p); }
  mlxbase::Result<std::string> read_link(P p) override { return real.read_link(p); }
  mlxbase::Result<std::string> real_path(P p) override { return real.real_path(p); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_read(P p, mlxbase::os::Follow f) override { return real.open_read(p, f); }
  mlxbase::Result<mlxbase::os::Metadata> metadata(P p) override { return real.metadata(p); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::WriteGuard>> guard_against_writers(mlxbase::os::File& f, P p) override {
    return real.guard_against_writers(f, p);
  }
  // A plan changes nothing: whatever changes the disk fails the test.
  template <class T>
  T changed() {
    ADD_FAILURE() << "a plan must not change the disk";
    return mlxbase::fail(mlxbase::Code::permission, "no");
  }
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_write(P) override { return changed<mlxbase::Result<std::unique_ptr<mlxbase::os::File>>>(); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> create(P, std::uint32_t) override { return changed<mlxbase::Result<std::unique_ptr<mlxbase::os::File>>>(); }
  mlxbase::Status make_dir(P, std::uint32_t) override { return changed<mlxbase::Status>(); }
  mlxbase::Status remove_dir(P) override { return changed<mlxbase::Status>(); }
  mlxbase::Status unlink(P) override { return changed<mlxbase::Status>(); }
  mlxbase::Status rename(P, P) override { return changed<mlxbase::Status>(); }
  mlxbase::Status exchange(P, P) override { return changed<mlxbase::Status>(); }
  mlxbase::Status hard_link(P, P) override { return changed<mlxbase::Status>(); }
  mlxbase::Status make_symlink(P, P) override { return changed<mlxbase::Status>(); }
  mlxbase::Status clone_file(P, P) override { return changed<mlxbase::Status>(); }
  mlxbase::Result<mlxbase::os::DedupeOutcome> dedupe_range(mlxbase::os::File&, std::uint64_t, mlxbase::os::File&, std::uint64_t, std::uint64_t) override {
    return changed<mlxbase::Result<mlxbase::os::DedupeOutcome>>();
  }
  mlxbase::Result<std::vector<std::string>> set_link_metadata(P, const mlxbase::os::Metadata&) override { return changed<mlxbase::Result<std::vector<std::string>>>(); }
  mlxbase::Status set_times(P, std::int64_t, std::int64_t) override { return changed<mlxbase::Status>(); }
  mlxbase::Status sync_dir(P) override { return changed<mlxbase::Status>(); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::Lock>> try_lock(P, std::uint32_t) override { return changed<mlxbase::Result<std::unique_ptr<mlxbase::os::Lock>>>(); }
};

class DedupPlan : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "plan-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = std::filesystem::canonical(pattern);
    environment_.home = home_;
    environment_.uid = static_cast<std::uint32_t>(::getuid());
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  /// A store with one folder of its own.
  std::uint32_t store(StoreKind kind) {
    const std::string root = home_ + "/store" + std::to_string(inventory_.listings.size());
    std::filesystem::create_directory(root);
    catalog::Listing listing;
    listing.root = {.kind = kind, .path = root, .origin = "test"};
    inventory_.listings.push_back(std::move(listing));
    inventory_.totals.emplace_back();
    return static_cast<std::uint32_t>(inventory_.listings.size() - 1);
  }

  std::string write(std::uint32_t store, const std::string& name, char fill = 'x') {
    const std::string path = inventory_.listings[store].root.path + "/" + name;
    std::ofstream(path, std::ios::binary) << std::string(kSize, fill);
    return path;
  }

  /// Tells the inventory of a file; names of one inode are collected.
  Entry& add(std::uint32_t store, const std::string& path, catalog::Links links = catalog::kAnyLink) {
    auto& listing = inventory_.listings[store];
    Entry entry;
    entry.path = path;
    entry.stat = *mlxbase::os::real_file_system().stat(path);
    entry.links = links;
    listing.entries.push_back(entry);
    const catalog::NameRef name{store, static_cast<std::uint32_t>(listing.entries.size() - 1)};
    for (auto& inode : inventory_.inodes) {
      if (inode.stat.id == entry.stat.id) {
        inode.names.push_back(name);
        return listing.entries.back();
      }
    }
    catalog::Inode inode;
    inode.stat = entry.stat;
    inode.names = {name};
    inventory_.inodes.push_back(inode);
    return listing.entries.back();
  }

  void group_all() {
    catalog::Group group;
    group.size = kSize;
    for (std::uint32_t i = 0; i < inventory_.inodes.size(); ++i) group.inodes.push_back(i);
    inventory_.groups = {group};
  }

  mlxbase::Result<Plan> plan(const PlanOptions& options = {}) {
    if (inventory_.groups.empty()) group_all();
    const stores::Context context{volume_, environment_};
    return make_plan(context, inventory_, options);
  }

  static constexpr std::size_t kSize = 65536;
  std::string home_;
  ChosenVolume volume_;
  mlxbase::os::Environment environment_;
  Inventory inventory_;
};

TEST_F(DedupPlan, HardLinksATwinWhereExtentsCannotBeShared) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  add(a, write(a, "one"));
  add(b, write(b, "two"));
  const auto p = plan();
  ASSERT_TRUE(p) << p.error().message;
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_EQ(p->actions[0].method, Method::hard_link);
  EXPECT_EQ(p->actions[0].size, kSize);
  EXPECT_EQ(p->bytes_freed, kSize);
  EXPECT_TRUE(p->skipped.empty());
}

TEST_F(DedupPlan, NeverHardLinksWhatItsToolWritesInPlace) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::hf_local_dir);
  add(a, write(a, "one"));
  add(b, write(b, "two"), catalog::kReflinkOnly).links_reason = "rewritten in place";
  const auto p = plan();
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
  ASSERT_EQ(p->skipped.size(), 1U);
  EXPECT_THAT(p->skipped[0].path, HasSubstr("two"));
  EXPECT_THAT(p->skipped[0].reason, HasSubstr("rewritten in place"));
}

TEST_F(DedupPlan, NamesOutsideTheStoresMeanThatNothingWouldBeFreed) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  const auto one = write(a, "one"), two = write(b, "two");
  for (const auto& [file, name] : {std::pair(two, "/x"), std::pair(one, "/y")}) std::filesystem::create_hard_link(file, home_ + name);
  add(a, one);
  add(b, two);
  const auto p = plan();
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
  EXPECT_EQ(p->bytes_freed, 0U);
  ASSERT_EQ(p->skipped.size(), 1U);
  EXPECT_THAT(p->skipped[0].reason, HasSubstr("frees nothing"));
}

TEST_F(DedupPlan, ReplacesEveryNameOfAnInodeAndOnlyTheLastFrees) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::docker_model_runner);
  const auto blob = write(b, "blob");
  std::filesystem::create_hard_link(blob, home_ + "/store1/bundle");
  const auto one = write(a, "one");
  for (const char* more : {"/m1", "/m2", "/m3"}) std::filesystem::create_hard_link(one, home_ + "/store0" + more);
  add(a, one);
  for (const char* more : {"/m1", "/m2", "/m3"}) add(a, home_ + "/store0" + more);
  add(b, blob);
  add(b, home_ + "/store1/bundle");
  const auto p = plan();
  ASSERT_TRUE(p);
  ASSERT_EQ(p->actions.size(), 2U);
  EXPECT_EQ(p->actions[0].bytes, 0U);
  EXPECT_EQ(p->actions[1].bytes, kSize);
  EXPECT_EQ(p->bytes_freed, kSize);
}

TEST_F(DedupPlan, SaysWhatAHardLinkMerges) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  const auto one = write(a, "one"), two = write(b, "two");
  ::chmod(one.c_str(), 0444);
  ::chmod(two.c_str(), 0640);
  add(a, one);
  add(b, two);
  const auto p = plan();
  ASSERT_TRUE(p);
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_TRUE(p->merges_metadata);
  EXPECT_THAT(p->actions[0].merges, testing::Contains(HasSubstr("becomes 0")));
}

TEST_F(DedupPlan, ChangesOnlyTheStoresThatWereChosen) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio), c = store(StoreKind::ollama);
  add(a, write(a, "one"));
  add(b, write(b, "two"));
  add(c, write(c, "three"));
  const auto p = plan({.stores = {StoreKind::lm_studio}});
  ASSERT_TRUE(p);
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_THAT(p->actions[0].target, HasSubstr("two"));
}

TEST_F(DedupPlan, RefusesAModelThatNoStoreHas) {
  store(StoreKind::hf_hub);
  const auto p = plan({.models = {"no/such"}});
  ASSERT_FALSE(p);
  EXPECT_EQ(p.error().code, mlxbase::Code::invalid);
  EXPECT_THAT(p.error().message, HasSubstr("no/such"));
}

TEST_F(DedupPlan, AnOrphanGivesItsBytesButIsNotReplaced) {
  const auto a = store(StoreKind::ollama), b = store(StoreKind::lm_studio);
  const auto orphan = write(a, "orphan"), other = write(a, "other");
  add(a, orphan).role = catalog::Role::orphan;
  add(a, other).role = catalog::Role::orphan;
  add(b, write(b, "two"));
  const auto p = plan();
  ASSERT_TRUE(p);
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_EQ(p->actions[0].source, orphan);
  EXPECT_THAT(p->actions[0].target, HasSubstr("two"));
  ASSERT_EQ(p->skipped.size(), 1U);
  EXPECT_EQ(p->skipped[0].path, other);
  EXPECT_THAT(p->skipped[0].reason, HasSubstr("orphan"));
}

TEST_F(DedupPlan, WhatMustNotBeReplacedBecomesTheSource) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  const auto one = write(a, "one");
  add(a, one).model = 0;
  inventory_.listings[a].models.push_back({.id = "m", .revision = {}, .format = {}, .incomplete = true, .entries = {0}});
  add(b, write(b, "two"));
  const auto p = plan();
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->skipped.empty());
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_EQ(p->actions[0].source, one) << "its model is being downloaded: it stays as it is";
}

TEST_F(DedupPlan, LeavesAFileAloneThatIsOpenForWriting) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  add(a, write(a, "one"));
  const auto two = write(b, "two");
  add(b, two);
  const int fd = ::open(two.c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  const auto p = plan();
  ::close(fd);
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
  ASSERT_EQ(p->skipped.size(), 1U);
  EXPECT_THAT(p->skipped[0].path, HasSubstr("two"));
  EXPECT_THAT(p->skipped[0].reason, HasSubstr("writing"));
}

TEST_F(DedupPlan, AnMtimeRuleForbidsALaterTime) {
  const auto a = store(StoreKind::lm_studio), b = store(StoreKind::automatic1111);
  const auto one = write(a, "one"), two = write(b, "two");
  std::filesystem::create_hard_link(one, home_ + "/elsewhere");  // so it cannot take the other's bytes instead
  const timespec later[2] = {{2'000'000'000, 0}, {2'000'000'000, 0}};
  ::utimensat(AT_FDCWD, one.c_str(), later, 0);
  add(a, one);
  add(b, two);
  const auto p = plan();
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
  ASSERT_EQ(p->skipped.size(), 1U);
}

TEST_F(DedupPlan, AnMtimeRuleMakesTheEarlierFileTheSource) {
  const auto a = store(StoreKind::lm_studio), b = store(StoreKind::automatic1111);
  const auto one = write(a, "one"), two = write(b, "two");
  const timespec later[2] = {{2'000'000'000, 0}, {2'000'000'000, 0}};
  ::utimensat(AT_FDCWD, one.c_str(), later, 0);
  add(a, one);
  add(b, two);
  const auto p = plan();
  ASSERT_TRUE(p);
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_EQ(p->actions[0].source, two);
}

TEST_F(DedupPlan, OllamaGetsNoFileOfAnotherOwner) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::ollama);
  add(a, write(a, "one"), catalog::kReflinkOrHardLink);
  add(b, write(b, "two"));
  inventory_.inodes[0].stat.uid += 1;
  inventory_.inodes[0].stat.links = 2;  // so it cannot take the other's bytes instead
  const auto p = plan();
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
  ASSERT_EQ(p->skipped.size(), 1U);
  EXPECT_THAT(p->skipped[0].reason, HasSubstr("owner"));
}

TEST_F(DedupPlan, SymlinksOnlyWhenAskedForAndWhereTheStoreTakesThem) {
  const auto a = store(StoreKind::ollama), b = store(StoreKind::lm_studio), c = store(StoreKind::docker_model_runner);
  volume_.hard_links = false;
  add(a, write(a, "one")).claim_checked_by_tool = true;
  inventory_.listings[a].entries.back().claim = mlxbase::Digest::parse(mlxbase::Algorithm::sha256, std::string(64, 'a'));
  add(b, write(b, "two"));
  add(c, write(c, "three"), catalog::kReflinkOrHardLink);
  const auto none = plan();
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->actions.empty());
  EXPECT_EQ(none->skipped.size(), 2U);
  const auto asked = plan({.method = MethodChoice::symlink});
  ASSERT_TRUE(asked);
  ASSERT_EQ(asked->actions.size(), 2U);
  for (const Action& action : asked->actions) {
    EXPECT_EQ(action.method, Method::symlink);
    EXPECT_THAT(action.source, HasSubstr("three")) << "Docker's files must stay files";
  }
  EXPECT_TRUE(asked->merges_metadata) << "a symlink is asked about first";
}

TEST_F(DedupPlan, SharesExtentsWhereTheVolumeCan) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::hf_local_dir);
  volume_.reflinks = true;
  add(a, write(a, "one"));
  add(b, write(b, "two"), catalog::kReflinkOnly);
  const auto p = plan();
  ASSERT_TRUE(p);
  ASSERT_EQ(p->actions.size(), 1U);
  EXPECT_EQ(p->actions[0].method, Method::dedupe);
  EXPECT_EQ(p->bytes_freed, kSize);
  EXPECT_FALSE(p->merges_metadata);
}

TEST_F(DedupPlan, AVolumeThatCouldNotBeTriedIsLeftAlone) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  volume_.why_not = "the volume is read-only";
  add(a, write(a, "one"));
  add(b, write(b, "two"));
  const auto p = plan();
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
  ASSERT_EQ(p->skipped.size(), 1U);
  EXPECT_THAT(p->skipped[0].reason, HasSubstr("read-only"));
}

TEST_F(DedupPlan, SmallFilesAreNotWorthALink) {
  const auto a = store(StoreKind::hf_hub), b = store(StoreKind::lm_studio);
  add(a, write(a, "one"));
  add(b, write(b, "two"));
  const auto p = plan({.min_size = kSize + 1});
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->actions.empty());
}

}  // namespace
}  // namespace mlxcache::dedup
