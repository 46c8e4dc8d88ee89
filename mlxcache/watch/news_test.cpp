#include "mlxcache/watch/news.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mlxcache::watch {
namespace {

using catalog::Role;
using catalog::StoreKind;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;
constexpr std::int64_t kNow = std::int64_t{1'800'000'000} * kSecond;

class WatchNews : public testing::Test {
 protected:
  WatchNews() {
    inventory.listings.resize(2);
    inventory.listings[0].root = {StoreKind::hf_hub, "/hub", ""};
    inventory.listings[1].root = {StoreKind::ollama, "/ollama", ""};
    rules = {.since_ns = kNow - kDay, .now_ns = kNow, .quiet_ns = 30 * kSecond, .min_size = 4096, .stores = {}};
  }

  /// One inode with one name; its index.
  std::uint32_t file(std::uint32_t store, Role role, std::int64_t ctime, std::uint64_t size = 1 << 20) {
    catalog::Entry entry;
    entry.path = "/file" + std::to_string(inventory.inodes.size());
    entry.role = role;
    entry.stat.size = size;
    entry.stat.ctime_ns = ctime;
    auto& entries = inventory.listings[store].entries;
    entries.push_back(entry);
    catalog::Inode inode;
    inode.stat = entry.stat;
    inode.names.push_back({store, static_cast<std::uint32_t>(entries.size() - 1)});
    inventory.inodes.push_back(inode);
    return static_cast<std::uint32_t>(inventory.inodes.size() - 1);
  }
  std::vector<Why> reasons(const News& news) {
    std::vector<Why> out;
    for (const Waiting& w : news.waiting) out.push_back(w.why);
    return out;
  }

  catalog::Inventory inventory;
  Rules rules;
};

TEST_F(WatchNews, AFileThatChangedSinceAndIsQuietIsReadyOldestFirst) {
  const auto b = file(0, Role::payload, kNow - 40 * kSecond);
  const auto a = file(1, Role::payload, kNow - 50 * kSecond);
  file(1, Role::payload, kNow - kDay - kSecond);
  const News news = look(inventory, rules);
  EXPECT_THAT(news.ready, ElementsAre(a, b));
  EXPECT_THAT(news.waiting, IsEmpty());
}

TEST_F(WatchNews, AFileThatJustChangedWaitsUntilItIsQuiet) {
  file(0, Role::payload, kNow - 10 * kSecond);
  const News news = look(inventory, rules);
  EXPECT_THAT(news.ready, IsEmpty());
  ASSERT_THAT(reasons(news), ElementsAre(Why::quiet));
  EXPECT_EQ(news.waiting[0].until_ns, kNow + 20 * kSecond);
}

TEST_F(WatchNews, AFileFromTheFutureWaitsTheQuietTimeAndNoLonger) {
  file(0, Role::payload, kNow + 5 * kDay);
  const News news = look(inventory, rules);
  ASSERT_THAT(reasons(news), ElementsAre(Why::quiet));
  EXPECT_EQ(news.waiting[0].until_ns, kNow + 30 * kSecond);
}

TEST_F(WatchNews, APartialDownloadIsLeftAlone) {
  file(0, Role::partial, kNow - 60 * kSecond);
  const News news = look(inventory, rules);
  EXPECT_THAT(news.ready, IsEmpty());
  EXPECT_THAT(reasons(news), ElementsAre(Why::download));
}

TEST_F(WatchNews, AnotherNameThatIsAPartialDownloadHoldsTheInodeBack) {
  file(0, Role::payload, kNow - 60 * kSecond);
  catalog::Entry entry = inventory.listings[0].entries[0];
  entry.path = "/file.incomplete";
  entry.role = Role::partial;
  inventory.listings[0].entries.push_back(entry);
  inventory.inodes[0].names.push_back({0, 1});
  EXPECT_THAT(reasons(look(inventory, rules)), ElementsAre(Why::download));
}

TEST_F(WatchNews, ABlobThatNoModelNamesYetWaitsForItsManifest) {
  file(1, Role::orphan, kNow - 60 * kSecond);
  EXPECT_THAT(reasons(look(inventory, rules)), ElementsAre(Why::unnamed));
}

TEST_F(WatchNews, AShardWaitsForTheOthersOfItsModel) {
  file(0, Role::payload, kNow - 60 * kSecond);
  inventory.listings[0].models.push_back({.id = "org/model", .revision = {}, .format = {}, .incomplete = true, .entries = {0}});
  inventory.listings[0].entries[0].model = 0;
  EXPECT_THAT(reasons(look(inventory, rules)), ElementsAre(Why::parts));
}

TEST_F(WatchNews, WhatIsNotFinishedAfterAWeekIsNotWaitedFor) {
  rules.since_ns = kNow - 30 * kDay;
  file(0, Role::partial, kNow - 8 * kDay);
  file(1, Role::orphan, kNow - 8 * kDay);
  const auto old = file(0, Role::payload, kNow - 8 * kDay);
  const News news = look(inventory, rules);
  EXPECT_THAT(news.waiting, IsEmpty());
  EXPECT_THAT(news.ready, ElementsAre(old));
}

TEST_F(WatchNews, SmallFilesMetadataPlaceholdersAndOtherStoresAreNoNews) {
  file(0, Role::payload, kNow - 60 * kSecond, 4095);
  file(0, Role::metadata, kNow - 60 * kSecond);
  file(0, Role::lock, kNow - 60 * kSecond);
  const auto cloud = file(0, Role::payload, kNow - 60 * kSecond);
  inventory.inodes[cloud].stat.dataless = true;
  file(1, Role::payload, kNow - 60 * kSecond);
  rules.stores = {StoreKind::hf_hub};
  const News news = look(inventory, rules);
  EXPECT_THAT(news.ready, IsEmpty());
  EXPECT_THAT(news.waiting, IsEmpty());
}

TEST(WatchSince, GoesNoFurtherThanTheOldestThatWaits) {
  constexpr std::int64_t kMargin = 3600 * kSecond;
  EXPECT_EQ(next_since(kNow, {}), kNow - kMargin);
  EXPECT_EQ(next_since(kNow, {{"/a", Why::budget, 0, kNow - kDay}, {"/b", Why::quiet, 0, kNow - 5}}), kNow - kDay - kMargin);
}

TEST(WatchRetry, ComesAtGrowingDistances) {
  EXPECT_EQ(next_try(kNow - 10 * kSecond, kNow), kNow + 60 * kSecond);
  EXPECT_EQ(next_try(kNow - kDay, kNow), kNow + kDay / 2);
}

}  // namespace
}  // namespace mlxcache::watch
