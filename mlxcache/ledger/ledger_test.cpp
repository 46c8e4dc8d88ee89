// Hard links and models on real files; clones on real Btrfs and XFS volumes are in tests/filesystems.
#include "mlxcache/ledger/ledger.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mlxcache::ledger {
namespace {

using catalog::StoreKind;

class LedgerOf : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "ledger-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = std::filesystem::canonical(pattern);
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  std::uint32_t store(StoreKind kind) {
    catalog::Listing listing;
    listing.root = {.kind = kind, .path = home_ + "/" + std::to_string(inventory_.listings.size()), .origin = "test"};
    std::filesystem::create_directory(listing.root.path);
    inventory_.listings.push_back(std::move(listing));
    inventory_.totals.emplace_back();
    return static_cast<std::uint32_t>(inventory_.listings.size() - 1);
  }
  std::string write(std::uint32_t s, const std::string& name) {
    const std::string path = inventory_.listings[s].root.path + "/" + name;
    std::ofstream(path, std::ios::binary) << std::string(kSize, 'x');
    return path;
  }
  std::uint32_t add(std::uint32_t s, const std::string& path) {
    auto& entries = inventory_.listings[s].entries;
    catalog::Entry entry;
    entry.path = path;
    entry.stat = *mlxbase::os::real_file_system().stat(path);
    entries.push_back(entry);
    const catalog::NameRef name{s, static_cast<std::uint32_t>(entries.size() - 1)};
    for (auto& inode : inventory_.inodes) {
      if (inode.stat.id == entry.stat.id) {
        inode.names.push_back(name);
        return name.entry;
      }
    }
    catalog::Inode inode;
    inode.stat = entry.stat;
    inode.names = {name};
    inventory_.inodes.push_back(inode);
    return name.entry;
  }
  void model(std::uint32_t s, const std::string& id, std::vector<std::uint32_t> entries) {
    inventory_.listings[s].models.push_back({.id = id, .revision = {}, .format = {}, .entries = std::move(entries)});
  }
  Ledger make() { return make_ledger(mlxbase::os::real_file_system(), inventory_); }
  static const Line& named(const std::vector<Line>& lines, const std::string& name) {
    for (const Line& line : lines) {
      if (line.name == name) return line;
    }
    ADD_FAILURE() << "no line " << name;
    return lines.front();
  }

  static constexpr std::uint64_t kSize = 262144;
  std::string home_;
  catalog::Inventory inventory_;
};

TEST_F(LedgerOf, AFileOfItsOwnIsFreedWhole) {
  const auto a = store(StoreKind::ollama);
  model(a, "m", {add(a, write(a, "one"))});
  const Ledger ledger = make();
  EXPECT_EQ(ledger.tools[0].freed_if_deleted, kSize);
  EXPECT_EQ(named(ledger.models, "m").freed_if_deleted, kSize);
  ASSERT_EQ(ledger.volumes.size(), 1U);
  EXPECT_EQ(ledger.volumes[0].freed_if_deleted, kSize);
  EXPECT_EQ(ledger.allocated_bytes, kSize);
}

TEST_F(LedgerOf, HardLinksBetweenToolsAreFreedByNeitherAloneButByBoth) {
  const auto a = store(StoreKind::ollama), b = store(StoreKind::lm_studio);
  const auto one = write(a, "one");
  std::filesystem::create_hard_link(one, home_ + "/1/two");
  model(a, "m", {add(a, one)});
  model(b, "n", {add(b, home_ + "/1/two")});
  const Ledger ledger = make();
  for (const Line& tool : ledger.tools) {
    EXPECT_EQ(tool.freed_if_deleted, 0U);
    EXPECT_EQ(tool.allocated_bytes, kSize);
    EXPECT_EQ(tool.shared_with_others, kSize);
  }
  EXPECT_EQ(named(ledger.models, "m").freed_if_deleted, 0U);
  EXPECT_EQ(ledger.volumes[0].freed_if_deleted, kSize);
  EXPECT_EQ(ledger.allocated_bytes, kSize) << "each block once";
  EXPECT_EQ(ledger.volumes[0].apparent_bytes, 2 * kSize);
}

TEST_F(LedgerOf, ANameOutsideTheStoresKeepsTheBlocks) {
  const auto a = store(StoreKind::ollama);
  const auto one = write(a, "one");
  std::filesystem::create_hard_link(one, home_ + "/elsewhere");
  model(a, "m", {add(a, one)});
  const Ledger ledger = make();
  EXPECT_EQ(ledger.tools[0].freed_if_deleted, 0U);
  EXPECT_EQ(ledger.volumes[0].freed_if_deleted, 0U);
}

TEST_F(LedgerOf, ABlobOfTwoModelsIsFreedByNeither) {
  const auto a = store(StoreKind::hf_hub);
  const auto shared = add(a, write(a, "shared")), own = add(a, write(a, "own"));
  model(a, "first", {shared, own});
  model(a, "second", {shared});
  const Ledger ledger = make();
  EXPECT_EQ(named(ledger.models, "first").freed_if_deleted, kSize);
  EXPECT_EQ(named(ledger.models, "second").freed_if_deleted, 0U);
  EXPECT_EQ(ledger.tools[0].freed_if_deleted, 2 * kSize);
}

TEST_F(LedgerOf, AHoleIsApparentButNotAllocated) {
  const auto a = store(StoreKind::ollama);
  const auto one = write(a, "one");
  std::filesystem::resize_file(one, 10 * kSize);
  model(a, "m", {add(a, one)});
  const Ledger ledger = make();
  EXPECT_EQ(ledger.tools[0].apparent_bytes, 10 * kSize);
  EXPECT_EQ(ledger.tools[0].freed_if_deleted, kSize);
}

}  // namespace
}  // namespace mlxcache::ledger
