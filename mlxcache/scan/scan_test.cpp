#include "mlxcache/scan/scan.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mlxcache/sample/sample.h"

namespace mlxcache::scan {
namespace {

namespace fs = std::filesystem;
using catalog::Role;
using catalog::StoreKind;
using mlxbase::Code;

class LaterClock final : public mlxbase::Clock {
 public:
  std::int64_t wall_ns() override { return mlxbase::system_clock().wall_ns() + std::int64_t{60} * 1'000'000'000; }
  std::int64_t steady_ns() override { return mlxbase::system_clock().steady_ns(); }
};

class Scanning : public testing::Test {
 protected:
  Scanning() {
    std::string pattern = (fs::temp_directory_path() / "mlx-scan-XXXXXX").string();
    base = ::mkdtemp(pattern.data());
    home = base + "/home";
    fs::create_directories(home);
    environment.home = home;
    environment.working_directory = home;
    environment.temp_directory = base;
    environment.etc = base + "/etc";
    environment.root = base;
    environment.uid = ::getuid();
    options.clock = &clock;
  }
  ~Scanning() override {
    fs::permissions(base, fs::perms::owner_all);
    fs::remove_all(base);
  }

  void build(StoreKind kind, const std::string& id, const std::string& file, const std::string& bytes, sample::Extras extras = {}) {
    const auto root = sample::build(kind, home, {{.id = id, .files = {{.name = file, .bytes = bytes}}}}, extras);
    ASSERT_TRUE(root) << root.error().message;
  }
  mlxbase::Result<catalog::Inventory> run() { return scan(context, catalog, options, mlxbase::no_progress()); }

  std::string base, home;
  mlxbase::os::Environment environment;
  mlxbase::Cancel cancel;
  stores::Context context{mlxbase::os::real_file_system(), environment, &cancel};
  LaterClock clock;
  Options options;
  catalog::Catalog catalog = catalog::Catalog::in_memory().value();
};

TEST_F(Scanning, FindsNoStoresInAnEmptyHome) {
  const auto inventory = run();
  ASSERT_TRUE(inventory) << inventory.error().message;
  EXPECT_TRUE(inventory->listings.empty());
  EXPECT_TRUE(inventory->groups.empty());
  EXPECT_EQ(inventory->apparent_bytes, 0U);
}

TEST_F(Scanning, FindsAModelTwiceWithoutReadingWhereBothStoresClaimItsDigest) {
  const auto bytes = sample::gguf_bytes(1, 300'000);
  build(StoreKind::hf_hub, "org/model", "model.gguf", bytes);
  build(StoreKind::ollama, "model:latest", "model.gguf", bytes);
  const auto inventory = run();
  ASSERT_TRUE(inventory) << inventory.error().message;
  ASSERT_EQ(inventory->listings.size(), 2U);
  ASSERT_GE(inventory->groups.size(), 1U);
  const auto& group = inventory->groups[0];
  EXPECT_EQ(group.size, bytes.size());
  EXPECT_EQ(group.evidence, catalog::Evidence::claimed);
  EXPECT_EQ(inventory->bytes_read, 0U);
  EXPECT_GE(inventory->reclaimable_bytes, bytes.size());
}

TEST_F(Scanning, ReadsWhatAStoreWithoutDigestsHoldsAndNotASecondTime) {
  const auto bytes = sample::gguf_bytes(1, 300'000);
  build(StoreKind::ollama, "model:latest", "model.gguf", bytes);
  build(StoreKind::lm_studio, "org/model", "model.gguf", bytes);
  const auto first = run();
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_EQ(first->groups.size(), 1U);
  EXPECT_GE(first->bytes_read, bytes.size());
  const auto second = run();
  ASSERT_TRUE(second);
  ASSERT_EQ(second->groups.size(), 1U);
  EXPECT_EQ(second->bytes_read, 0U);
  EXPECT_EQ(second->reclaimable_bytes, first->reclaimable_bytes);
}

TEST_F(Scanning, ListsOnlyTheStoresThatWereAskedFor) {
  build(StoreKind::ollama, "model:latest", "model.gguf", sample::gguf_bytes(1, 10'000));
  build(StoreKind::lm_studio, "org/model", "model.gguf", sample::gguf_bytes(1, 10'000));
  options.only = {StoreKind::lm_studio};
  const auto inventory = run();
  ASSERT_TRUE(inventory);
  ASSERT_EQ(inventory->listings.size(), 1U);
  EXPECT_EQ(inventory->listings[0].root.kind, StoreKind::lm_studio);
}

TEST_F(Scanning, AddsLooseFoldersAndSaysWhichIsMissing) {
  fs::create_directories(base + "/loose");
  std::ofstream(base + "/loose/a.gguf") << sample::gguf_bytes(1, 10'000);
  options.extra_roots = {base + "/loose", base + "/nowhere"};
  const auto inventory = run();
  ASSERT_TRUE(inventory);
  ASSERT_EQ(inventory->listings.size(), 2U);
  EXPECT_EQ(inventory->listings[0].entries.size(), 1U);
  ASSERT_EQ(inventory->listings[1].problems.size(), 1U);
  EXPECT_EQ(inventory->listings[1].problems[0].error.code, Code::not_found);
}

TEST_F(Scanning, ListsWithoutReadingWhenDuplicatesAreNotAskedFor) {
  const auto bytes = sample::gguf_bytes(1, 100'000);
  build(StoreKind::lm_studio, "org/a", "a.gguf", bytes);
  build(StoreKind::lm_studio, "org/b", "b.gguf", bytes);
  options.find_duplicates = false;
  const auto inventory = run();
  ASSERT_TRUE(inventory);
  EXPECT_TRUE(inventory->groups.empty());
  EXPECT_EQ(inventory->bytes_read, 0U);
  ASSERT_EQ(inventory->totals.size(), inventory->listings.size());
  EXPECT_EQ(inventory->totals[0].files, inventory->listings[0].entries.size());
}

TEST_F(Scanning, GoesOnPastHostileThings) {
  const auto bytes = sample::gguf_bytes(1, 100'000);
  const std::string loose = base + "/loose";
  fs::create_directories(loose + "/deep");
  std::ofstream(loose + "/a.gguf") << bytes;
  std::ofstream(loose + "/deep/b.gguf") << bytes;
  ASSERT_EQ(::mkfifo((loose + "/pipe.gguf").c_str(), 0600), 0);
  fs::create_symlink("loop", loose + "/loop");
  fs::create_symlink("/etc/passwd", loose + "/out.gguf");
  fs::create_symlink("..", loose + "/deep/up");
  std::ofstream(loose + "/bad\n\xff\x1b[31m.gguf") << bytes;
  options.extra_roots = {loose};
  const auto inventory = run();
  ASSERT_TRUE(inventory);
  ASSERT_EQ(inventory->groups.size(), 1U);
  EXPECT_EQ(inventory->groups[0].inodes.size(), 3U);
  for (const auto& inode : inventory->inodes) EXPECT_EQ(inode.stat.kind, mlxbase::os::FileKind::regular);
}

TEST_F(Scanning, FindsTheSameWithoutTheLinksThatNobodyAsksFor) {
  const auto bytes = sample::gguf_bytes(1, 100'000);
  build(StoreKind::hf_hub, "org/model", "model.gguf", bytes);
  build(StoreKind::lm_studio, "org/model", "model.gguf", bytes);
  const auto whole = run();
  options.keep_links = false;
  const auto lean = run();
  ASSERT_TRUE(whole && lean);
  const auto links = [](const catalog::Inventory& inventory) {
    std::size_t n = 0;
    for (const auto& listing : inventory.listings) {
      for (const auto& entry : listing.entries) n += entry.role == Role::link ? 1 : 0;
    }
    return n;
  };
  EXPECT_GT(links(*whole), 0U);
  EXPECT_EQ(links(*lean), 0U);
  EXPECT_EQ(lean->inodes.size(), whole->inodes.size());
  ASSERT_EQ(lean->groups.size(), 1U);
  EXPECT_EQ(lean->groups[0].inodes, whole->groups.at(0).inodes);
  EXPECT_EQ(lean->reclaimable_bytes, whole->reclaimable_bytes);
}

TEST_F(Scanning, LeavesRunningDownloadsOutOfEveryGroup) {
  const auto bytes = sample::gguf_bytes(1, 100'000);
  build(StoreKind::ollama, "model:latest", "model.gguf", bytes, {.partial = true});
  build(StoreKind::lm_studio, "org/model", "model.gguf", bytes, {.partial = true});
  const auto inventory = run();
  ASSERT_TRUE(inventory);
  std::uint64_t partials = 0;
  for (const auto& t : inventory->totals) partials += t.partials;
  EXPECT_GT(partials, 0U);
  for (const auto& group : inventory->groups) {
    for (const auto i : group.inodes) {
      for (const auto name : inventory->inodes[i].names) EXPECT_NE(inventory->entry(name).role, Role::partial);
    }
  }
}

TEST_F(Scanning, GivesTheSameInventoryTwice) {
  for (const auto kind : {StoreKind::hf_hub, StoreKind::ollama, StoreKind::lm_studio, StoreKind::llama_cpp}) {
    build(kind, kind == StoreKind::ollama ? "model:latest" : kind == StoreKind::llama_cpp ? "org/model:Q8_0" : "org/model", "model.gguf", sample::gguf_bytes(1, 50'000));
  }
  const auto first = run();
  const auto second = run();
  ASSERT_TRUE(first && second);
  ASSERT_EQ(first->inodes.size(), second->inodes.size());
  for (std::size_t i = 0; i < first->inodes.size(); ++i) EXPECT_EQ(first->inodes[i].names, second->inodes[i].names);
  ASSERT_EQ(first->groups.size(), second->groups.size());
  for (std::size_t g = 0; g < first->groups.size(); ++g) EXPECT_EQ(first->groups[g].inodes, second->groups[g].inodes);
}

TEST_F(Scanning, StopsWhenAsked) {
  build(StoreKind::ollama, "model:latest", "model.gguf", sample::gguf_bytes(1, 10'000));
  cancel.request();
  const auto inventory = run();
  ASSERT_FALSE(inventory);
  EXPECT_EQ(inventory.error().code, Code::cancelled);
}

}  // namespace
}  // namespace mlxcache::scan
