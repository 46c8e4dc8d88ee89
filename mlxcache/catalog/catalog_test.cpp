#include "mlxcache/catalog/catalog.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "mlxbase/core/clock.h"
#include "mlxbase/sql/database.h"

namespace mlxcache::catalog {
namespace {

namespace fs = std::filesystem;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;

Digest digest(Algorithm algorithm, unsigned seed) {
  std::vector<std::byte> bytes(mlxbase::digest_size(algorithm), static_cast<std::byte>(seed));
  return {algorithm, bytes};
}

Fingerprint file(std::uint64_t inode) {
  return {.id = {.device = 0xFFFF'FFFF'0000'0001ULL, .inode = inode}, .size = inode * 1000, .mtime_ns = -5, .ctime_ns = 1'700'000'000'123'456'789};
}

Measured measured(std::uint64_t inode, unsigned seed) {
  return {.of = file(inode), .sample = digest(Algorithm::sha256, seed + 1), .digests = {digest(Algorithm::sha256, seed)}, .verified_at_ns = 9};
}

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    std::string pattern = (fs::temp_directory_path() / "mlx-catalog-XXXXXX").string();
    home = ::mkdtemp(pattern.data());
  }
  ~CatalogTest() override { fs::remove_all(home); }
  std::string database() const { return home + "/catalog.sqlite"; }

  std::optional<Measured> one(Catalog& catalog, const Fingerprint& f) {
    auto found = catalog.look_up(std::span(&f, 1));
    EXPECT_TRUE(found) << found.error().message;
    return found ? found->front() : std::nullopt;
  }
  std::string bytes() const {
    std::ifstream in(database(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string home;
};

TEST_F(CatalogTest, RemembersAcrossRuns) {
  {
    auto catalog = Catalog::open(home).value();
    ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10), measured(~0ULL, 20)}));
  }
  auto catalog = Catalog::open(home).value();
  const std::vector asked = {file(~0ULL), file(3), file(1)};
  const auto found = catalog.look_up(asked).value();
  ASSERT_EQ(found.size(), 3U);
  ASSERT_TRUE(found[0] && found[2]);
  EXPECT_FALSE(found[1]);
  EXPECT_EQ(found[0]->of, file(~0ULL));
  EXPECT_EQ(found[0]->digests, std::vector{digest(Algorithm::sha256, 20)});
  EXPECT_EQ(found[2]->sample, digest(Algorithm::sha256, 11));
  EXPECT_EQ(found[2]->verified_at_ns, 9);
}

TEST_F(CatalogTest, AnswersInTheOrderAskedHoweverManyRowsLieBetween) {
  auto catalog = Catalog::open(home).value();
  const auto at = [](std::uint64_t device, std::uint64_t inode) {
    Measured m = measured(inode, static_cast<unsigned>(inode % 97));
    m.of.id.device = device;
    return m;
  };
  std::vector<Measured> rows;
  for (const std::uint64_t device : {std::uint64_t{1}, std::uint64_t{2}, ~std::uint64_t{5}}) {
    for (std::uint64_t i = 0; i < 400; ++i) rows.push_back(at(device, i * 3));
    rows.push_back(at(device, ~std::uint64_t{7}));  // negative in the table
  }
  ASSERT_TRUE(catalog.remember(rows));
  std::uint64_t random = 1;
  for (const std::uint64_t stride : {1U, 2U, 3U, 13U, 14U, 15U, 16U, 100U, 1500U}) {
    std::vector<Measured> asked;
    for (const std::uint64_t device : {~std::uint64_t{5}, std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{1}}) {
      for (std::uint64_t inode = 0; inode < 1300; inode += stride) asked.push_back(at(device, inode));
      for (const std::uint64_t inode : {~std::uint64_t{7}, ~std::uint64_t{6}, ~std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{3}}) asked.push_back(at(device, inode));
    }
    for (std::size_t i = asked.size(); i > 1; --i) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      std::swap(asked[i - 1], asked[(random >> 33U) % i]);
    }
    std::vector<Fingerprint> of;
    for (const Measured& m : asked) of.push_back(m.of);
    const auto found = catalog.look_up(of).value();
    ASSERT_EQ(found.size(), asked.size());
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const auto [device, inode] = of[i].id;
      const bool there = device != 3 && (inode == ~std::uint64_t{7} || (inode % 3 == 0 && inode < 1200));
      ASSERT_EQ(found[i].has_value(), there) << device << ' ' << inode;
      if (there) {
        EXPECT_EQ(found[i]->of, of[i]);
        EXPECT_EQ(found[i]->digests, asked[i].digests);
      }
    }
  }
}

TEST_F(CatalogTest, KnowsNothingOfAFileThatChangedInAnyWay) {
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10)}));
  auto f = file(1);
  f.size += 1;
  EXPECT_FALSE(one(catalog, f));
  f = file(1);
  f.mtime_ns += 1;
  EXPECT_FALSE(one(catalog, f));
  f = file(1);
  f.ctime_ns += 1;
  EXPECT_FALSE(one(catalog, f));
  f = file(1);
  f.id.device += 1;
  EXPECT_FALSE(one(catalog, f));
  EXPECT_TRUE(one(catalog, file(1)));
}

TEST_F(CatalogTest, KeepsEarlierDigestsOfTheSameStateAndDropsThoseOfAnOlderOne) {
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10)}));
  const Measured more{.of = file(1), .sample = {}, .digests = {digest(Algorithm::git_sha1, 7), digest(Algorithm::blake3, 8)}, .verified_at_ns = 0};
  ASSERT_TRUE(catalog.remember(std::span(&more, 1)));
  auto known = one(catalog, file(1));
  ASSERT_TRUE(known);
  EXPECT_EQ(known->digests.size(), 3U);
  EXPECT_TRUE(known->sample);
  EXPECT_EQ(known->verified_at_ns, 9);

  Measured newer = more;
  newer.of.mtime_ns += 1;
  ASSERT_TRUE(catalog.remember(std::span(&newer, 1)));
  known = one(catalog, newer.of);
  ASSERT_TRUE(known);
  EXPECT_EQ(known->digests.size(), 2U);
  EXPECT_FALSE(known->sample);
}

TEST_F(CatalogTest, FollowsOurOwnChangeOfAFile) {
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10)}));
  auto after = file(1);
  after.ctime_ns += 5;
  ASSERT_TRUE(catalog.moved(file(1), after));
  EXPECT_FALSE(one(catalog, file(1)));
  ASSERT_TRUE(one(catalog, after));
  auto elsewhere = after;
  elsewhere.id.inode = 77;
  ASSERT_TRUE(catalog.moved(after, elsewhere));
  EXPECT_TRUE(one(catalog, elsewhere));
  ASSERT_TRUE(catalog.moved(file(5), file(6))) << "nothing known is no failure";
  EXPECT_FALSE(one(catalog, file(6)));
}

TEST_F(CatalogTest, ForgetsWhatWasNotSeenSinceADay) {
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10)}));
  const auto now = mlxbase::system_clock().wall_ns();
  constexpr std::int64_t kDay = std::int64_t{24} * 3600 * 1'000'000'000;
  ASSERT_TRUE(catalog.forget_unseen(now - kDay));
  EXPECT_TRUE(one(catalog, file(1)));
  ASSERT_TRUE(catalog.forget_unseen(now + 2 * kDay));
  EXPECT_FALSE(one(catalog, file(1)));
}

mlxbase::Chain chain(unsigned seed) {
  mlxbase::Chain out{.sha256 = digest(Algorithm::sha256, seed), .size = 2 * mlxbase::kChainPieceBytes + 5, .links = {}};
  for (unsigned i = 0; i < 2; ++i) out.links.emplace_back().fill(static_cast<std::byte>(seed + i));
  return out;
}

TEST_F(CatalogTest, KeepsByWhichPiecesAreToldGoodFromBad) {
  {
    auto catalog = Catalog::open(home).value();
    auto short_of_one = chain(3);
    short_of_one.links.pop_back();
    ASSERT_TRUE(catalog.remember_chains(std::vector{chain(1), chain(2), short_of_one}));
  }
  auto catalog = Catalog::open(home).value();
  const auto found = catalog.chain_of(digest(Algorithm::sha256, 2)).value();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->size, chain(2).size);
  EXPECT_EQ(found->links, chain(2).links);
  EXPECT_FALSE(catalog.chain_of(digest(Algorithm::sha256, 3)).value());
  EXPECT_FALSE(catalog.chain_of(digest(Algorithm::sha256, 4)).value());
}

TEST_F(CatalogTest, PiecesGoWithTheLastFileThatHasTheirBytes) {
  constexpr std::int64_t kDay = std::int64_t{24} * 3600 * 1'000'000'000;
  const auto days_later = [&](int days) { ASSERT_TRUE(mlxbase::sql::Database::open(database())->execute("UPDATE chains SET seen_day = seen_day - " + std::to_string(days))); };
  const auto now = mlxbase::system_clock().wall_ns();
  auto of_a_file = measured(1, 10);
  of_a_file.digests = {chain(1).sha256};
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember(std::vector{of_a_file}));
  ASSERT_TRUE(catalog.remember_chains(std::vector{chain(1), chain(2), chain(3)}));
  days_later(10);
  EXPECT_TRUE(catalog.chain_of(chain(3).sha256).value()) << "of a damaged file: nothing measured has these bytes";
  ASSERT_TRUE(catalog.forget_unseen(now - 5 * kDay));
  EXPECT_TRUE(catalog.chain_of(chain(1).sha256).value()) << "its file is here";
  EXPECT_FALSE(catalog.chain_of(chain(2).sha256).value()) << "its file is gone";
  EXPECT_TRUE(catalog.chain_of(chain(3).sha256).value()) << "asked for lately";
  ASSERT_TRUE(catalog.forget_unseen(now + 2 * kDay));
  EXPECT_FALSE(catalog.chain_of(chain(1).sha256).value()) << "with its file";
}

TEST_F(CatalogTest, ACatalogFromBeforeThePiecesGetsTheirTable) {
  { ASSERT_TRUE(Catalog::open(home)); }
  ASSERT_TRUE(mlxbase::sql::Database::open(database())->execute("DROP TABLE chains"));
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember_chains(std::vector{chain(1)}));
  EXPECT_TRUE(catalog.chain_of(digest(Algorithm::sha256, 1)).value());
}

TEST_F(CatalogTest, AChainThatRottedIsAsGoodAsMissing) {
  ASSERT_TRUE(Catalog::open(home)->remember_chains(std::vector{chain(1)}));
  ASSERT_TRUE(mlxbase::sql::Database::open(database())->execute("UPDATE chains SET links = zeroblob(64)"));
  EXPECT_FALSE(Catalog::open(home)->chain_of(digest(Algorithm::sha256, 1)).value());
}

TEST_F(CatalogTest, IsPrivateToThePerson) {
  const std::string inner = home + "/state";
  { auto catalog = Catalog::open(inner).value(); }
  struct stat s {};
  ASSERT_EQ(::stat(inner.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777U, 0700U);
}

TEST_F(CatalogTest, SetsAForeignOrDamagedFileAside) {
  { std::ofstream(database()) << std::string(5000, 'x'); }
  {
    auto catalog = Catalog::open(home);
    ASSERT_TRUE(catalog) << catalog.error().message;
    ASSERT_TRUE(catalog->remember(std::vector{measured(1, 10)}));
    EXPECT_TRUE(one(*catalog, file(1)));
  }
  EXPECT_TRUE(fs::exists(database() + ".damaged"));
  fs::remove(database());
  {
    auto foreign = mlxbase::sql::Database::open(database()).value();
    ASSERT_TRUE(foreign.execute("CREATE TABLE notes(t TEXT)"));
  }
  ASSERT_TRUE(Catalog::open(home));
  auto kept = mlxbase::sql::Database::open_read_only(database() + ".damaged").value();
  EXPECT_TRUE(kept.prepare("SELECT t FROM notes"));
}

TEST_F(CatalogTest, LeavesTheFileOfANewerVersionAlone) {
  { auto catalog = Catalog::open(home).value(); }
  {
    auto db = mlxbase::sql::Database::open(database()).value();
    ASSERT_TRUE(db.execute("PRAGMA user_version=2; CREATE TABLE future(n)"));
  }
  const auto before = bytes();
  auto catalog = Catalog::open(home);
  ASSERT_TRUE(catalog) << catalog.error().message;
  ASSERT_TRUE(catalog->remember(std::vector{measured(1, 10)}));
  EXPECT_TRUE(one(*catalog, file(1))) << "remembered for this run";
  EXPECT_EQ(bytes(), before);
  EXPECT_FALSE(fs::exists(database() + ".damaged"));
}

TEST_F(CatalogTest, DoesNotWaitOnAFifoInItsPlace) {
  ASSERT_EQ(::mkfifo(database().c_str(), 0600), 0);
  auto catalog = Catalog::open(home);
  ASSERT_TRUE(catalog) << catalog.error().message;
  EXPECT_TRUE(catalog->remember(std::vector{measured(1, 10)}));
}

TEST_F(CatalogTest, TwoProcessesAtOnceLoseNothing) {
  auto one_catalog = Catalog::open(home).value();
  auto two_catalog = Catalog::open(home).value();
  const auto fill = [](Catalog& catalog, std::uint64_t from) {
    for (std::uint64_t i = 0; i < 20; ++i) EXPECT_TRUE(catalog.remember(std::vector{measured(from + i, 1)}));
  };
  std::thread other([&] { fill(two_catalog, 1000); });
  fill(one_catalog, 0);
  other.join();
  for (std::uint64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(one(one_catalog, file(1000 + i)));
    EXPECT_TRUE(one(two_catalog, file(i)));
  }
}

TEST_F(CatalogTest, WritesNothingWhenNothingIsNew) {
  auto catalog = Catalog::open(home).value();
  ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10)}));
  const auto before = fs::last_write_time(database());
  EXPECT_TRUE(one(catalog, file(1)));
  EXPECT_TRUE(catalog.remember({}));
  EXPECT_EQ(fs::last_write_time(database()), before);
}

TEST_F(CatalogTest, NeverGivesADigestThatRottedOnTheDisk) {
  {
    auto catalog = Catalog::open(home).value();
    std::vector<Measured> rows;
    for (std::uint64_t i = 1; i < 40; ++i) rows.push_back(measured(i, 10));
    ASSERT_TRUE(catalog.remember(rows));
  }
  const auto whole = bytes();
  std::size_t changed = 0;
  for (std::size_t at = 0; at < whole.size(); at += 211) {
    auto flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x20);
    { std::ofstream(database(), std::ios::binary | std::ios::trunc) << flipped; }
    auto catalog = Catalog::open(home);
    ASSERT_TRUE(catalog) << at << ": " << catalog.error().message;
    for (std::uint64_t i = 1; i < 40; ++i) {
      const auto known = one(*catalog, file(i));
      if (!known) {
        ++changed;
        continue;
      }
      ASSERT_EQ(known->digests, measured(i, 10).digests) << "byte " << at;
      ASSERT_EQ(known->sample, measured(i, 10).sample) << "byte " << at;
    }
    ASSERT_TRUE(catalog->remember(std::vector{measured(99, 3)})) << at;
    ASSERT_TRUE(one(*catalog, file(99)));
  }
  EXPECT_GT(changed, 0U);
}

TEST_F(CatalogTest, WorksOnAFileCutAnywhere) {
  {
    auto catalog = Catalog::open(home).value();
    ASSERT_TRUE(catalog.remember(std::vector{measured(1, 10)}));
  }
  const auto whole = bytes();
  for (std::size_t size = 0; size < whole.size(); size += 523) {
    { std::ofstream(database(), std::ios::binary | std::ios::trunc) << whole.substr(0, size); }
    auto catalog = Catalog::open(home);
    ASSERT_TRUE(catalog) << size << ": " << catalog.error().message;
    static_cast<void>(one(*catalog, file(1)));
    ASSERT_TRUE(catalog->remember(std::vector{measured(2, 3)})) << size;
    ASSERT_TRUE(one(*catalog, file(2)));
  }
}

}  // namespace
}  // namespace mlxcache::catalog
