#include "mlxcache/group/sharing.h"

#include <unistd.h>

#include <map>

#include "mlxcache/group/fixture.h"

namespace mlxcache::group {
namespace {

using mlxbase::os::Extent;

constexpr std::uint64_t kSize = 100'000;

/// The real disk, told as a volume of a given type whose files lie where the test says.
class VolumeOf final : public mlxbase::testing::HookedFileSystem {
 public:
  explicit VolumeOf(std::string type) : HookedFileSystem(mlxbase::os::real_file_system()), type_(std::move(type)) {}
  std::map<std::string, std::vector<Extent>> extents;  // by file name; a file that is not here cannot tell
  std::map<std::string, mlxbase::os::Sharing> sums;
  std::atomic<int> asked{0};

  mlxbase::Result<mlxbase::os::VolumeFacts> volume(const std::string& dir, bool probe) override {
    auto facts = TRY(HookedFileSystem::volume(dir, probe));
    facts.type = type_;
    return facts;
  }
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_read(const std::string& path, mlxbase::os::Follow follow) override {
    return std::make_unique<Placed>(TRY(mlxbase::os::real_file_system().open_read(path, follow)), *this,
                                    std::filesystem::path(path).filename().string());
  }

 private:
  class Placed final : public RetoldFile {
   public:
    Placed(std::unique_ptr<mlxbase::os::File> inner, VolumeOf& volume, std::string name)
        : RetoldFile(std::move(inner)), volume_(volume), name_(std::move(name)) {}
    mlxbase::Result<std::vector<Extent>> extents() override {
      ++volume_.asked;
      const auto at = volume_.extents.find(name_);
      if (at == volume_.extents.end()) return mlxbase::fail(mlxbase::Code::unsupported, "no extents here");
      return at->second;
    }
    mlxbase::Result<mlxbase::os::Sharing> sharing() override {
      const auto at = volume_.sums.find(name_);
      if (at == volume_.sums.end()) return mlxbase::fail(mlxbase::Code::unsupported, "no sums here");
      return at->second;
    }

   private:
    VolumeOf& volume_;
    std::string name_;
  };
  std::string type_;
};

class Sharing : public GroupFixture {
 protected:
  catalog::Inventory twins(const std::vector<std::string>& names) {
    std::vector<Name> all;
    for (const auto& n : names) {
      write(n, noise(kSize, 1));
      all.push_back({n});
    }
    return list(all);
  }
  static std::vector<Extent> at(std::uint64_t physical, bool shared) {
    return {{.logical = 0, .physical = physical, .length = kSize, .shared = shared}};
  }
};

TEST_F(Sharing, CountsCopiesThatShareAllBlocksAsNothing) {
  VolumeOf fs("btrfs");
  fs.extents = {{"a", at(1'000'000, true)}, {"b", at(1'000'000, true)}};
  auto inventory = twins({"a", "b"});
  ASSERT_TRUE(find(inventory, fs));
  ASSERT_EQ(inventory.groups.size(), 1U);
  EXPECT_EQ(inventory.groups[0].reclaimable_bytes, 0U);
  EXPECT_TRUE(inventory.inodes[0].sharing_known);
  EXPECT_EQ(inventory.inodes[0].shared_bytes, kSize);
  EXPECT_EQ(inventory.inodes[0].private_bytes, 0U);
  EXPECT_EQ(inventory.totals[0].shared_bytes, 2 * kSize);
}

TEST_F(Sharing, CountsOneCopyLessThanThereAreDistinctBlocks) {
  VolumeOf fs("xfs");
  fs.extents = {{"a", at(1'000'000, true)}, {"b", at(1'000'000, true)}, {"c", at(5'000'000, false)}, {"d", at(9'000'000, false)}};
  auto inventory = twins({"a", "b", "c", "d"});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(inventory.groups.at(0).reclaimable_bytes, 2 * kSize);
}

TEST_F(Sharing, PromisesNothingOfBlocksThatASnapshotHolds) {
  VolumeOf fs("btrfs");
  fs.extents = {{"a", at(1'000'000, true)}, {"b", at(5'000'000, true)}};
  auto inventory = twins({"a", "b"});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(inventory.groups.at(0).reclaimable_bytes, 0U);
}

TEST_F(Sharing, TakesTheCopyAsSourceWhoseBlocksStayAnyway) {
  VolumeOf fs("btrfs");
  fs.extents = {{"a", at(1'000'000, true)}, {"b", at(5'000'000, false)}};
  auto inventory = twins({"a", "b"});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(inventory.groups.at(0).reclaimable_bytes, kSize) << "b can go, a's blocks are held by a snapshot in any case";
}

TEST_F(Sharing, AddsSumsWhereBlocksAreNotTold) {
  VolumeOf fs("apfs");
  fs.sums = {{"a", {.private_bytes = 0, .shared_bytes = kSize, .clone_id = 7}},
             {"b", {.private_bytes = 0, .shared_bytes = kSize, .clone_id = 7}},
             {"c", {.private_bytes = kSize, .shared_bytes = 0, .clone_id = 8}}};
  auto inventory = twins({"a", "b", "c"});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(inventory.groups.at(0).reclaimable_bytes, kSize);
}

TEST_F(Sharing, DoesNotAskVolumesThatNeverShare) {
  VolumeOf fs("ext4");
  auto inventory = twins({"a", "b"});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(fs.asked, 0);
  EXPECT_FALSE(inventory.inodes[0].sharing_known);
  EXPECT_EQ(inventory.groups.at(0).reclaimable_bytes, inventory.inodes[0].stat.allocated_bytes);
}

TEST_F(Sharing, CountsNothingOnALinkOnlyVolumeForInodesThatANameOutsideKeepsAlive) {
  VolumeOf fs("ext4");
  static_cast<void>(twins({"a", "b"}));
  ASSERT_EQ(::link(path("a").c_str(), path("hidden-a").c_str()), 0);
  ASSERT_EQ(::link(path("b").c_str(), path("hidden-b").c_str()), 0);
  auto inventory = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(inventory.groups.at(0).reclaimable_bytes, 0U);
}

TEST_F(Sharing, DoesNotAskWhenToldNotTo) {
  VolumeOf fs("btrfs");
  fs.extents = {{"a", at(1'000'000, true)}, {"b", at(1'000'000, true)}};
  options.ask_sharing = false;
  auto inventory = twins({"a", "b"});
  ASSERT_TRUE(find(inventory, fs));
  EXPECT_EQ(fs.asked, 0);
}

}  // namespace
}  // namespace mlxcache::group
