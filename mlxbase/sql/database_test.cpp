#include "mlxbase/sql/database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mlxbase/core/bytes.h"

namespace mlxbase::sql {
namespace {

namespace fs = std::filesystem;

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() {
    std::string pattern = (fs::temp_directory_path() / "mlx-sql-XXXXXX").string();
    dir = ::mkdtemp(pattern.data());
  }
  ~DatabaseTest() override { fs::remove_all(dir); }
  std::string at(const char* name) const { return (dir / name).string(); }
  std::size_t names() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir), {})); }

  /// A database with one row, whose connection is closed.
  void make(const char* name, const std::string& first = "") const {
    auto db = Database::open(at(name));
    ASSERT_TRUE(db) << db.error().message;
    ASSERT_TRUE(db->execute(first + "CREATE TABLE t(n INTEGER, s TEXT, b BLOB); INSERT INTO t VALUES(7, 'seven', x'00ff')"));
  }

  fs::path dir;
};

TEST_F(DatabaseTest, GivesBackWhatWasBound) {
  auto db = Database::in_memory().value();
  ASSERT_TRUE(db.execute("CREATE TABLE t(n, s, b, e)"));
  auto insert = db.prepare("INSERT INTO t VALUES(?, ?, ?, ?)").value();
  const std::string with_nul("a\0b", 3);
  ASSERT_TRUE(insert.bind(1, std::int64_t{-5}));
  ASSERT_TRUE(insert.bind(2, std::string_view(with_nul)));
  ASSERT_TRUE(insert.bind(3, as_bytes("\x01\x02")));
  ASSERT_TRUE(insert.bind(4, std::span<const std::byte>{}));
  ASSERT_TRUE(insert.run());
  auto select = db.prepare("SELECT n, s, b, e FROM t").value();
  ASSERT_TRUE(select.step().value());
  EXPECT_EQ(select.i64(0), -5);
  EXPECT_EQ(select.text(1), with_nul);
  EXPECT_EQ(as_text(select.blob(2)), "\x01\x02");
  EXPECT_FALSE(select.is_null(3)) << "an empty blob is a value";
  EXPECT_FALSE(select.step().value());
}

TEST_F(DatabaseTest, RollsBackATransactionThatWasNotCommitted) {
  auto db = Database::in_memory().value();
  ASSERT_TRUE(db.execute("CREATE TABLE t(n)"));
  {
    const auto transaction = Transaction::begin(db, true);
    ASSERT_TRUE(transaction);
    ASSERT_TRUE(db.execute("INSERT INTO t VALUES(1)"));
  }
  auto count = db.prepare("SELECT count(*) FROM t").value();
  ASSERT_TRUE(count.step().value());
  EXPECT_EQ(count.i64(0), 0);
}

TEST_F(DatabaseTest, SaysBusyWhenAnotherHoldsTheWriteLock) {
  make("a.sqlite");
  auto one = Database::open(at("a.sqlite")).value();
  auto two = Database::open(at("a.sqlite"), 10).value();
  auto held = Transaction::begin(one, true);
  ASSERT_TRUE(held);
  const auto refused = Transaction::begin(two, true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::busy);
}

TEST_F(DatabaseTest, SaysWhichKindOfFailureItWas) {
  std::ofstream(at("noise")) << std::string(4096, 'x');
  auto noise = Database::open(at("noise"));
  ASSERT_TRUE(noise);  // SQLite looks when it is asked
  EXPECT_EQ(noise->execute("CREATE TABLE t(n)").error().code, Code::corrupt);
  EXPECT_EQ(Database::open(at("missing/a.sqlite")).error().code, Code::not_found);
  auto db = Database::in_memory().value();
  EXPECT_EQ(db.prepare("SELECT n FROM nowhere").error().code, Code::unsupported);
}

TEST_F(DatabaseTest, ReadsAForeignDatabaseAndLeavesNothingBesideIt) {
  for (const char* mode : {"delete", "wal"}) {
    make("foreign.db", std::string("PRAGMA journal_mode=") + mode + ";");
    ASSERT_EQ(names(), 1U);
    {
      auto db = Database::open_read_only(at("foreign.db"));
      ASSERT_TRUE(db) << db.error().message;
      auto select = db->prepare("SELECT s FROM t").value();
      ASSERT_TRUE(select.step().value());
      EXPECT_EQ(select.text(0), "seven");
      EXPECT_FALSE(db->execute("INSERT INTO t VALUES(1, '', '')"));
      EXPECT_EQ(names(), 1U) << mode;
    }
    EXPECT_EQ(names(), 1U) << mode;
    fs::remove(at("foreign.db"));
  }
}

TEST_F(DatabaseTest, SeesWhatALiveWriterHasOnlyInItsLog) {
  auto writer = Database::open(at("live.db")).value();
  ASSERT_TRUE(writer.execute("PRAGMA journal_mode=wal; CREATE TABLE t(n); INSERT INTO t VALUES(42)"));
  auto db = Database::open_read_only(at("live.db"));
  ASSERT_TRUE(db) << db.error().message;
  auto select = db->prepare("SELECT n FROM t").value();
  ASSERT_TRUE(select.step().value());
  EXPECT_EQ(select.i64(0), 42);
}

TEST_F(DatabaseTest, ReadsADatabaseWhoseOwnerCrashedAndLeavesItsLogAlone) {
  {
    auto writer = Database::open(at("live.db")).value();
    ASSERT_TRUE(writer.execute("PRAGMA journal_mode=wal; CREATE TABLE t(n); INSERT INTO t VALUES(1); PRAGMA wal_checkpoint; INSERT INTO t VALUES(2)"));
    fs::copy_file(at("live.db"), at("crashed.db"));
    fs::copy_file(at("live.db-wal"), at("crashed.db-wal"));
  }
  const auto before = names();
  auto db = Database::open_read_only(at("crashed.db"));
  ASSERT_TRUE(db) << db.error().message;
  auto select = db->prepare("SELECT count(*) FROM t").value();
  ASSERT_TRUE(select.step().value());
  EXPECT_GE(select.i64(0), 1);
  EXPECT_EQ(names(), before);
}

TEST_F(DatabaseTest, EndsAHostileViewThatNeverEnds) {
  make("hostile.db", "CREATE VIEW models AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT n FROM r;");
  auto db = Database::open_read_only(at("hostile.db")).value();
  auto select = db.prepare("SELECT sum(n) FROM models").value();
  const auto stepped = select.step();
  ASSERT_FALSE(stepped);
  EXPECT_EQ(stepped.error().code, Code::corrupt);
}

TEST_F(DatabaseTest, DoesNotWaitOnAFifoOrTakeAFolder) {
  ASSERT_EQ(::mkfifo(at("fifo.db").c_str(), 0600), 0);
  EXPECT_EQ(Database::open_read_only(at("fifo.db")).error().code, Code::invalid);
  EXPECT_FALSE(Database::open_read_only(dir.string()));
  EXPECT_EQ(Database::open_read_only(at("missing.db")).error().code, Code::not_found);
}

TEST_F(DatabaseTest, OpensPathsThatMeanSomethingInAUri) {
  make("a?mode=rwc&x=%41#b.db");
  auto db = Database::open_read_only(at("a?mode=rwc&x=%41#b.db"));
  ASSERT_TRUE(db) << db.error().message;
}

TEST_F(DatabaseTest, SurvivesAForeignFileCutAnywhere) {
  make("whole.db");
  std::ifstream in(at("whole.db"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t size = 0; size < whole.size(); size += 61) {
    std::ofstream(at("cut.db"), std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    auto db = Database::open_read_only(at("cut.db"));
    if (!db) continue;
    auto select = db->prepare("SELECT s FROM t");
    if (!select) continue;
    while (true) {
      const auto row = select->step();
      if (!row || !*row) break;
    }
  }
}

}  // namespace
}  // namespace mlxbase::sql
