#include "mlxcache/keep/freed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/testing/memory_file_system.h"
#include "mlxcache/group/inodes.h"

namespace mlxcache::keep {
namespace {

constexpr std::uint64_t kBlock = mlxbase::testing::MemoryFileSystem::kBlock;

class FreedBytes : public testing::Test {
 protected:
  /// A store with these files of a volume in memory.
  void list(catalog::StoreKind kind, const std::string& root, const std::vector<std::string>& names) {
    auto& listing = inventory.listings.emplace_back();
    listing.root = {kind, root, "test"};
    for (const std::string& name : names) {
      catalog::Entry entry;
      entry.path = name;
      entry.stat = fs.stat(name, mlxbase::os::Follow::no).value();
      entry.model = static_cast<std::int32_t>(listing.models.size());
      listing.models.push_back({.id = name, .entries = {static_cast<std::uint32_t>(listing.entries.size())}});
      listing.entries.push_back(std::move(entry));
    }
  }
  Freed freed() {
    group::build_inodes(inventory);
    return Freed(fs, inventory);
  }
  mlxbase::testing::MemoryFileSystem fs;
  catalog::Inventory inventory;
  const std::string bytes = std::string(8 * kBlock, 'w');
};

TEST_F(FreedBytes, AFileOfItsOwnIsFreedWithItsName) {
  fs.put("/a/x", bytes);
  list(catalog::StoreKind::ollama, "/a", {"/a/x"});
  auto f = freed();
  EXPECT_EQ(f.leave("/a/x"), 8 * kBlock);
  EXPECT_EQ(f.leave("/a/x"), 0U);  // it has left already
  EXPECT_EQ(f.leave("/nowhere"), 0U);
  EXPECT_TRUE(f.exact());
}

TEST_F(FreedBytes, AHardLinkIsFreedWithItsLastName) {
  fs.put("/a/x", bytes);
  fs.put("/b/other", "small");
  ASSERT_TRUE(fs.hard_link("/a/x", "/b/y"));
  list(catalog::StoreKind::ollama, "/a", {"/a/x"});
  list(catalog::StoreKind::lm_studio, "/b", {"/b/y"});
  auto f = freed();
  EXPECT_EQ(f.leave("/a/x"), 0U);
  const auto holders = f.holders("/a/x");
  ASSERT_EQ(holders.size(), 1U);
  EXPECT_EQ(inventory.entry(holders[0]).path, "/b/y");
  EXPECT_EQ(f.leave("/b/y"), 8 * kBlock);
  f.start_over();
  EXPECT_EQ(f.leave("/b/y"), 0U);
}

TEST_F(FreedBytes, ANameOutsideTheStoresKeepsTheBytes) {
  fs.put("/a/x", bytes);
  fs.put("/home/dir", "");
  ASSERT_TRUE(fs.hard_link("/a/x", "/home/backup"));
  list(catalog::StoreKind::ollama, "/a", {"/a/x"});
  EXPECT_EQ(freed().leave("/a/x"), 0U);
}

TEST_F(FreedBytes, ACloneKeepsTheBlocksUntilItGoesToo) {
  fs.put("/a/x", bytes);
  fs.put("/b/other", "small");
  ASSERT_TRUE(fs.clone_file("/a/x", "/b/y"));
  list(catalog::StoreKind::ollama, "/a", {"/a/x"});
  list(catalog::StoreKind::lm_studio, "/b", {"/b/y"});
  auto f = freed();
  EXPECT_EQ(f.leave("/a/x"), 0U);
  EXPECT_EQ(f.holders("/a/x").size(), 1U);
  EXPECT_EQ(f.leave("/b/y"), 8 * kBlock);
}

TEST_F(FreedBytes, OfACloneThatWasPartlyRewrittenOnlyItsOwnBlocksAreFreed) {
  fs.put("/a/x", bytes);
  fs.put("/b/other", "small");
  ASSERT_TRUE(fs.clone_file("/a/x", "/b/y"));
  std::string changed = bytes;
  changed.replace(0, kBlock, std::string(kBlock, 'z'));
  fs.owner_writes_in_place("/b/y", changed.substr(0, kBlock) + bytes.substr(kBlock));
  list(catalog::StoreKind::ollama, "/a", {"/a/x"});
  list(catalog::StoreKind::lm_studio, "/b", {"/b/y"});
  auto f = freed();
  const auto first = f.leave("/b/y");
  const auto second = f.leave("/a/x");
  EXPECT_LE(first, 8 * kBlock);
  EXPECT_GE(first, kBlock);
  EXPECT_EQ(first + second, 9 * kBlock + (first == 8 * kBlock ? 7 * kBlock : 0));
}

TEST_F(FreedBytes, ACloneOutsideTheStoresKeepsTheBlocks) {
  fs.put("/a/x", bytes);
  fs.put("/home/other", "small");
  ASSERT_TRUE(fs.clone_file("/a/x", "/home/copy"));
  list(catalog::StoreKind::ollama, "/a", {"/a/x"});
  EXPECT_EQ(freed().leave("/a/x"), 0U);
}

}  // namespace
}  // namespace mlxcache::keep
