#include "mlxcache/group/group.h"

#include <sys/stat.h>
#include <unistd.h>

#include "mlxbase/format/sha256_chain.h"
#include "mlxcache/group/fixture.h"

namespace mlxcache::group {
namespace {

using catalog::Evidence;
using catalog::Role;
using mlxbase::Algorithm;
using mlxbase::Digest;

constexpr std::size_t kMiB = std::size_t{1} << 20U;

class Grouping : public GroupFixture {};

TEST_F(Grouping, FindsEqualFilesAndMeasuresTheirDigest) {
  const auto bytes = noise(3 * kMiB + 5, 1);
  write("a", bytes);
  write("b", bytes);
  write("c", noise(3 * kMiB + 5, 2));
  write("d", noise(3 * kMiB + 6, 1));
  auto inventory = list({{"a"}, {"b"}, {"c"}, {"d"}});
  ASSERT_TRUE(find(inventory));
  ASSERT_EQ(groups(inventory), (Groups{{"a", "b"}}));
  EXPECT_EQ(inventory.groups[0].digest, sha256_of(bytes));
  EXPECT_EQ(inventory.groups[0].evidence, Evidence::measured);
  EXPECT_EQ(inventory.inodes[0].sha256, sha256_of(bytes));
  EXPECT_EQ(inventory.inodes[1].sha256, sha256_of(bytes));
  EXPECT_EQ(inventory.groups[0].reclaimable_bytes, inventory.inodes[0].stat.allocated_bytes);
}

TEST_F(Grouping, KeepsByWhichPiecesOfWhatItHashedAreToldGoodFromBad) {
  if (!mlxbase::can_chain()) GTEST_SKIP() << "this platform's SHA-256 does not show its state";
  const auto bytes = noise(17 * kMiB, 1);
  auto other = bytes;
  other[9 * kMiB] ^= 1;  // apart in the second piece, where no sample sees it
  write("a", bytes);
  write("b", bytes);
  write("c", other);
  auto inventory = list({{"a"}, {"b"}, {"c"}});
  ASSERT_TRUE(find(inventory));
  for (const auto& content : {bytes, other}) {
    const auto chain = catalog.chain_of(sha256_of(content)).value();
    ASSERT_TRUE(chain);
    for (std::uint64_t piece = 0; piece < chain->pieces(); ++piece) {
      mlxbase::PieceCheck check(*chain, piece);
      check.update(mlxbase::as_bytes(content).subspan(piece * mlxbase::kChainPieceBytes, chain->piece_size(piece)));
      EXPECT_TRUE(check.finish()) << piece;
    }
  }
}

TEST_F(Grouping, KeepsFilesApartThatShareSizeAndFirst64KiB) {
  // What another tool's deduplication destroyed: fine-tunes of one base have equal headers.
  const auto head = noise(64U << 10U, 7);
  write("a", head + noise(kMiB, 1));
  write("b", head + noise(kMiB, 2));
  auto inventory = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, KeepsFilesApartThatDifferInOneByteNoSampleSees) {
  auto bytes = noise(4 * kMiB, 1);
  write("a", bytes);
  write("b", bytes);
  for (const std::size_t at : {std::size_t{4096}, std::size_t{1} * kMiB - 1, 2 * kMiB - 1, 2 * kMiB + 4096, 4 * kMiB - 4097}) {
    auto other = bytes;
    other[at] = static_cast<char>(other[at] ^ 1);
    write("c", other);
    auto inventory = list({{"a"}, {"b"}, {"c"}});
    ASSERT_TRUE(find(inventory));
    EXPECT_EQ(groups(inventory), (Groups{{"a", "b"}})) << at;
    EXPECT_EQ(inventory.inodes[2].sha256, sha256_of(other)) << at;
  }
}

TEST_F(Grouping, FollowsSeveralPartingsInOneReading) {
  // Six files alike in every sample: {a,b}, {c,d} part in the second MiB, e alone in the third, f alone later still.
  const auto base = noise(8 * kMiB, 1);
  const auto with = [&](std::size_t at) {
    auto out = base;
    out[at] = static_cast<char>(out[at] ^ 1);
    return out;
  };
  write("a", base);
  write("c", with(kMiB + 77));
  write("b", base);
  write("e", with(2 * kMiB + 1));
  write("d", with(kMiB + 77));
  write("f", with(7 * kMiB));
  auto inventory = list({{"a"}, {"c"}, {"b"}, {"e"}, {"d"}, {"f"}});
  ASSERT_TRUE(find(inventory));
  EXPECT_EQ(groups(inventory), (Groups{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(inventory.inodes[1].sha256, sha256_of(with(kMiB + 77)));
  EXPECT_EQ(inventory.inodes[3].sha256, sha256_of(with(2 * kMiB + 1)));
  EXPECT_EQ(inventory.inodes[5].sha256, sha256_of(with(7 * kMiB)));
  EXPECT_EQ(inventory.bytes_read, 6 * (8 * kMiB + 12288)) << "each byte once, and the samples";
}

TEST_F(Grouping, GroupsMoreTwinsThanAreReadSideBySide) {
  const auto bytes = noise(100'000, 1);
  std::vector<Name> names;
  for (int i = 0; i < 40; ++i) {
    names.push_back({std::to_string(100 + i)});
    write(names.back().name, bytes);
  }
  auto inventory = list(names);
  ASSERT_TRUE(find(inventory));
  ASSERT_EQ(inventory.groups.size(), 1U);
  EXPECT_EQ(inventory.groups[0].inodes.size(), 40U);
}

TEST_F(Grouping, ReadsNothingWhereClaimsAnswer) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  write("c", noise(kMiB, 2));
  auto inventory = list({{"a", {sha256_of(one)}}, {"b", {sha256_of(one)}}, {"c", {sha256_of(noise(kMiB, 2))}}});
  ASSERT_TRUE(find(inventory));
  ASSERT_EQ(groups(inventory), (Groups{{"a", "b"}}));
  EXPECT_EQ(inventory.groups[0].evidence, Evidence::claimed);
  EXPECT_EQ(inventory.bytes_read, 0U);
  EXPECT_FALSE(inventory.inodes[0].sha256) << "a claim is not a measurement";
}

TEST_F(Grouping, HashesOnlyTheUnclaimedTwinOfAClaimedFileOnAColdDisk) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  auto inventory = list({{"a", {sha256_of(one)}}, {"b"}});
  ColdFileSystem cold;
  ASSERT_TRUE(find(inventory, cold));
  ASSERT_EQ(groups(inventory), (Groups{{"a", "b"}}));
  EXPECT_EQ(inventory.groups[0].evidence, Evidence::measured);
  EXPECT_EQ(inventory.bytes_read, kMiB + 2 * 12288);
  EXPECT_EQ(inventory.inodes[0].bytes_read, 12288U);
}

TEST_F(Grouping, ComparesWithAClaimedFileThatLiesInTheCache) {
  const auto one = noise(kMiB, 1);
  for (const char* name : {"a", "b", "c", "near"}) write(name, one);
  auto near = one;
  near[300'000] = static_cast<char>(near[300'000] ^ 1);
  write("near", near);
  const std::vector<Name> names = {{"a", {digest_of(Algorithm::git_sha1, one)}}, {"b"}, {"c"}, {"near"}};
  auto inventory = list(names);
  WarmFileSystem warm;
  ASSERT_TRUE(find(inventory, warm));
  ASSERT_EQ(groups(inventory), (Groups{{"a", "b", "c"}}));
  EXPECT_EQ(inventory.groups[0].evidence, Evidence::compared);
  EXPECT_EQ(inventory.groups[0].digest, digest_of(Algorithm::git_sha1, one));
  EXPECT_FALSE(inventory.inodes[1].sha256);
  // The comparison is remembered, and so is the digest of the one that parted.
  auto again = list(names);
  ASSERT_TRUE(find(again, warm));
  EXPECT_EQ(again.bytes_read, 0U);
  EXPECT_EQ(groups(again), groups(inventory));
  EXPECT_EQ(again.groups[0].evidence, Evidence::compared);
  // Twins stay twins when the claim is gone; then they get a digest of their own.
  auto unclaimed = list({{"a"}, {"b"}, {"c"}, {"near"}});
  ASSERT_TRUE(find(unclaimed, warm));
  EXPECT_EQ(groups(unclaimed), (Groups{{"a", "b", "c"}}));
  EXPECT_EQ(unclaimed.groups[0].digest, digest_of(Algorithm::git_sha1, one)) << "which was measured of `near` already";
}

TEST_F(Grouping, MeasuresTheTwinOfAMeasuredFileByComparing) {
  const auto one = noise(kMiB, 1);
  for (const char* name : {"a", "b"}) write(name, one);
  auto first = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(first));
  write("c", one);
  auto second = list({{"a"}, {"b"}, {"c"}});
  WarmFileSystem warm;
  ASSERT_TRUE(find(second, warm));
  ASSERT_EQ(groups(second), (Groups{{"a", "b", "c"}}));
  EXPECT_EQ(second.groups[0].evidence, Evidence::measured);
  EXPECT_EQ(second.inodes[2].sha256, sha256_of(one));
}

TEST_F(Grouping, ReadsOnlySamplesOfFilesThatSamplesTellApart) {
  write("a", noise(kMiB, 1));
  write("b", noise(kMiB, 2));
  write("c", noise(kMiB, 3));
  auto inventory = list({{"a", {sha256_of("x")}}, {"b"}, {"c"}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
  EXPECT_EQ(inventory.bytes_read, 3U * 12288U);
}

TEST_F(Grouping, ComputesTheAlgorithmThatCostsFewerBytes) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  auto inventory = list({{"a", {digest_of(Algorithm::git_sha1, one)}}, {"b"}});
  ColdFileSystem cold;
  ASSERT_TRUE(find(inventory, cold));
  ASSERT_EQ(groups(inventory), (Groups{{"a", "b"}}));
  EXPECT_EQ(inventory.groups[0].digest, digest_of(Algorithm::git_sha1, one));
  EXPECT_EQ(inventory.bytes_read, kMiB + 2 * 12288) << "one file, not both";
}

TEST_F(Grouping, JoinsThroughAFileWithTwoClaims) {
  const auto one = noise(kMiB, 1);
  const auto git = digest_of(Algorithm::git_sha1, one);
  write("a", one);
  write("b", one);
  write("c", one);
  auto inventory = list({{"a", {git}}, {"b", {git, sha256_of(one)}}, {"c", {sha256_of(one)}}});
  ASSERT_TRUE(find(inventory));
  EXPECT_EQ(groups(inventory), (Groups{{"a", "b", "c"}}));
  EXPECT_EQ(inventory.bytes_read, 0U);
  EXPECT_EQ(inventory.groups[0].digest, sha256_of(one));
}

TEST_F(Grouping, DoesNotJoinMeasuredFilesThroughALyingClaim) {
  const auto one = noise(kMiB, 1);
  const auto two = noise(kMiB, 2);
  write("a", one);
  write("b", two);
  const auto git = digest_of(Algorithm::git_sha1, one);
  auto inventory = list({{"a", {git}}, {"b", {git}}});
  for (const auto& [i, bytes] : {std::pair{0U, &one}, std::pair{1U, &two}}) {
    const catalog::Measured m{.of = catalog::fingerprint_of(inventory.inodes[i].stat), .sample = {}, .digests = {sha256_of(*bytes)}, .verified_at_ns = 1};
    ASSERT_TRUE(catalog.remember(std::span(&m, 1)));
  }
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, TrustsNeitherOfTwoClaimsThatDisagree) {
  const auto one = noise(kMiB, 1);
  const auto two = noise(kMiB, 2);
  write("a", one);
  write("b", two);
  // `a` claims to be both; `b` claims what is true of it.
  auto inventory = list({{"a", {sha256_of(one), sha256_of(two)}}, {"b", {sha256_of(two)}}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, DoesNotTrustADisputedClaimThatIsRepeated) {
  const auto one = noise(kMiB, 1);
  const auto two = noise(kMiB, 2);
  write("a", one);
  write("b", two);
  auto inventory = list({{"a", {sha256_of(two), sha256_of(one), sha256_of(two)}}, {"b", {sha256_of(two)}}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, LeavesAnInodeAloneThatIsAlsoARunningDownload) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  ASSERT_EQ(::link(path("b").c_str(), path("b.partial").c_str()), 0);
  auto inventory = list({{"a"}, {"b"}, {"b.partial", {}, Role::partial}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, NeverMixesAXetHashWithASha256) {
  const auto one = noise(kMiB, 1);
  const auto sha = sha256_of(one);
  write("a", one);
  write("b", noise(kMiB, 2));
  auto inventory = list({{"a", {sha}}, {"b", {Digest(Algorithm::xet, sha.bytes())}}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, DoesNotJoinByAFewDigitsOfADigest) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", noise(kMiB, 2));
  const auto prefix = Digest(Algorithm::sha256_prefix, sha256_of(one).bytes().first(4));
  auto inventory = list({{"a", {prefix}}, {"b", {prefix}}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
}

TEST_F(Grouping, ReadsNoPayloadByteAgain) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  write("c", noise(kMiB, 2));
  write("small1", "same");
  write("small2", "same");
  write("small3", "diff");
  const std::vector<Name> names = {{"a"}, {"b"}, {"c"}, {"small1"}, {"small2"}, {"small3"}};
  auto first = list(names);
  ASSERT_TRUE(find(first));
  EXPECT_GT(first.bytes_read, 0U);
  auto second = list(names);
  ASSERT_TRUE(find(second));
  EXPECT_EQ(second.bytes_read, 0U);
  EXPECT_EQ(groups(second), groups(first));
  EXPECT_EQ(groups(second), (Groups{{"a", "b"}, {"small1", "small2"}}));
  EXPECT_EQ(second.inodes[0].sha256, sha256_of(one));
}

TEST_F(Grouping, ReadsAgainWhatChanged) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  auto first = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(first));
  write("b", noise(kMiB, 2));
  auto second = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(second));
  EXPECT_TRUE(second.groups.empty());
}

TEST_F(Grouping, DoesNotRememberWhatWasWrittenThisMoment) {
  clock.ahead_ns = 0;
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  auto first = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(first));
  ASSERT_EQ(first.groups.size(), 1U);
  auto second = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(second));
  EXPECT_GT(second.bytes_read, 0U);
}

TEST_F(Grouping, DropsAFileThatChangedSinceItWasListedAndSaysSo) {
  const auto one = noise(kMiB, 1);
  for (const char* name : {"a", "b", "c", "d"}) write(name, one);
  auto inventory = list({{"a"}, {"b"}, {"c"}, {"d"}});
  write("a", noise(kMiB, 2));
  std::filesystem::remove(path("d"));
  ASSERT_TRUE(find(inventory));
  EXPECT_EQ(groups(inventory), (Groups{{"b", "c"}}));
  const auto& problems = inventory.listings[0].problems;
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(problems[0].path, path("a"));
  EXPECT_EQ(problems[0].error.code, mlxbase::Code::changed);
  EXPECT_EQ(problems[1].path, path("d"));
  EXPECT_EQ(problems[1].error.code, mlxbase::Code::not_found);
}

TEST_F(Grouping, NeverGroupsMetadataPartialsLocksOrForeignFilesOrEmptyOnes) {
  const auto one = noise(kMiB, 1);
  for (const char* name : {"a", "b", "c", "d", "e"}) write(name, one);
  write("empty1", "");
  write("empty2", "");
  auto inventory = list({{"a"}, {"b", {}, Role::metadata}, {"c", {}, Role::partial}, {"d", {}, Role::lock}, {"e", {}, Role::foreign}, {"empty1"}, {"empty2"}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
  EXPECT_EQ(inventory.bytes_read, 0U);
  EXPECT_EQ(inventory.totals[0].files, 7U);
  EXPECT_EQ(inventory.totals[0].partials, 1U);
  EXPECT_EQ(inventory.totals[0].partial_bytes, kMiB);
}

TEST_F(Grouping, GroupsAnOrphanWithItsTwin) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  auto inventory = list({{"a"}, {"b", {}, Role::orphan}});
  ASSERT_TRUE(find(inventory));
  EXPECT_EQ(inventory.groups.size(), 1U);
}

TEST_F(Grouping, CountsOneInodeWithManyNamesOnce) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  ASSERT_EQ(::link(path("a").c_str(), path("b").c_str()), 0);
  auto alone = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(alone));
  EXPECT_TRUE(alone.groups.empty()) << "hard links of one file are no duplicates";
  EXPECT_EQ(alone.apparent_bytes, 2 * kMiB);
  EXPECT_EQ(alone.allocated_bytes, alone.inodes[0].stat.allocated_bytes);
  write("c", one);
  auto inventory = list({{"a"}, {"b"}, {"c"}});
  ASSERT_TRUE(find(inventory));
  ASSERT_EQ(inventory.groups.size(), 1U);
  EXPECT_EQ(inventory.groups[0].reclaimable_bytes, inventory.inodes[0].stat.allocated_bytes);
}

TEST_F(Grouping, KnowsWhatStoresShareByLinks) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  ASSERT_EQ(::link(path("a").c_str(), path("b").c_str()), 0);
  write("own", noise(kMiB, 2));
  auto inventory = list_stores({{{"a"}, {"own"}}, {{"b"}}});
  ASSERT_TRUE(find(inventory));
  const auto blocks = inventory.inodes[0].stat.allocated_bytes;
  EXPECT_EQ(inventory.totals[0].allocated_bytes, 2 * blocks);
  EXPECT_EQ(inventory.totals[0].shared_bytes, blocks);
  EXPECT_EQ(inventory.totals[1].shared_bytes, blocks);
  EXPECT_EQ(inventory.allocated_bytes, 2 * blocks);
}

TEST_F(Grouping, LeavesSmallFilesAloneOnRequest) {
  write("a", noise(1000, 1));
  write("b", noise(1000, 1));
  options.min_size = 1001;
  auto inventory = list({{"a"}, {"b"}});
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
  EXPECT_EQ(inventory.bytes_read, 0U);
}

TEST_F(Grouping, StopsWhenAsked) {
  mlxbase::Cancel cancel;
  cancel.request();
  options.cancel = &cancel;
  write("a", noise(kMiB, 1));
  write("b", noise(kMiB, 1));
  auto inventory = list({{"a"}, {"b"}});
  const auto status = find(inventory);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, mlxbase::Code::cancelled);
}

TEST_F(Grouping, GivesTheSameAnswerWithAnyNumberOfThreads) {
  std::vector<Name> names;
  for (int i = 0; i < 60; ++i) {
    names.push_back({std::to_string(100 + i)});
    write(names.back().name, noise(50'000 + static_cast<std::size_t>(i % 3), static_cast<std::uint64_t>(i % 7)));
  }
  std::vector<std::vector<std::uint32_t>> first;
  for (const unsigned workers : {1U, 2U, 7U}) {
    options.workers = workers;
    catalog = catalog::Catalog::in_memory().value();
    auto inventory = list(names);
    ASSERT_TRUE(find(inventory));
    std::vector<std::vector<std::uint32_t>> inodes;
    for (const auto& group : inventory.groups) inodes.push_back(group.inodes);
    if (first.empty()) first = inodes;
    EXPECT_EQ(inodes, first);
    EXPECT_EQ(inventory.groups.size(), 21U);
  }
}

TEST_F(Grouping, NeverReadsACloudPlaceholder) {
  const auto one = noise(kMiB, 1);
  write("a", one);
  write("b", one);
  auto inventory = list({{"a"}, {"b"}});
  inventory.inodes[1].stat.dataless = true;
  ASSERT_TRUE(find(inventory));
  EXPECT_TRUE(inventory.groups.empty());
  EXPECT_EQ(inventory.bytes_read, 0U);
}

}  // namespace
}  // namespace mlxcache::group
