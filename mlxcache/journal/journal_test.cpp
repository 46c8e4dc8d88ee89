#include "mlxcache/journal/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/core/bytes.h"
#include "mlxbase/testing/memory_file_system.h"
#include "mlxcache/journal/crc32c.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::journal {
namespace {

using mlxbase::testing::MemoryFileSystem;
using testing::IsEmpty;
using testing::SizeIs;
namespace os = mlxbase::os;

Intent sample_intent(std::uint32_t index) {
  Intent i;
  i.index = index;
  i.method = 1;
  i.source = "/a/model.gguf";
  i.target = "/b/m\xC3\xB6\xFF.gguf";  // names are bytes, not text
  i.staging = "/b/.mlxcache-0123456789abcdef.tmp";
  i.size = 123456789;
  i.before.metadata.mode = 0644;
  i.before.metadata.attributes = {{"user.a", std::string("\0\1\2", 3)}};
  i.before.other_names = {"/b/other"};
  i.before.holes = {{.logical = 4096, .length = 8192}};
  return i;
}

/// A journal as a transaction of `count` actions leaves it.
std::string sample_file(MemoryFileSystem& fs, std::uint32_t count, bool closed = true) {
  auto writer = Writer::create(fs, "/home", {.id = "20261123T042027-3fa9", .time_ns = 5, .command = "dedup --apply", .version = "mlxcache 0.1.0"}).value();
  for (std::uint32_t i = 0; i < count; ++i) {
    EXPECT_TRUE(writer.append(sample_intent(i)));
    EXPECT_TRUE(writer.append(Staged{.index = i, .undo = false, .new_id = {1, 77 + i}, .digest = "sha256:00"}));
    EXPECT_TRUE(writer.append(Settled{.index = i, .outcome = Outcome::done, .after_id = {1, 77 + i}, .after_mtime_ns = 1, .after_size = 123456789, .digest = "sha256:00", .reason = {}}));
  }
  if (closed) {
    EXPECT_TRUE(writer.append(Closed{.state = State::complete, .time_ns = 9, .actions = count, .bytes_freed = 42}));
  }
  EXPECT_TRUE(writer.sync());
  return fs.content(file_of("/home", "20261123T042027-3fa9"));
}

class Journal : public testing::Test {
 protected:
  Journal() { fs.put("/keep", ""); }
  MemoryFileSystem fs;
};

TEST_F(Journal, ChecksumIsTheOneOfTheStandard) {
  EXPECT_EQ(crc32c(mlxbase::as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(mlxbase::as_bytes("6789"), crc32c(mlxbase::as_bytes("12345"))), 0xE3069283U);
  std::vector<std::byte> bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 131 + (i >> 3U));
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t n = 0; n < 40; ++n) {
      const auto part = std::span<const std::byte>(bytes).subspan(from, n);
      EXPECT_EQ(crc32c(part, 7), crc32c_by_table(part, 7)) << from << " " << n;
    }
  }
  EXPECT_EQ(crc32c(bytes), crc32c_by_table(bytes));
}

TEST_F(Journal, KeepsEveryFieldOfEveryRecord) {
  const auto intent = sample_intent(3);
  const auto again = decode(encode(intent));
  ASSERT_TRUE(again);
  const auto& i = std::get<Intent>(*again);
  EXPECT_EQ(i.target, intent.target);
  EXPECT_EQ(i.before.metadata, intent.before.metadata);
  EXPECT_EQ(i.before.other_names, intent.before.other_names);
  ASSERT_THAT(i.before.holes, SizeIs(1));
  EXPECT_EQ(i.before.holes[0].length, 8192U);
  for (const Record& r : {Record(Begin{"id", 1, "c", "v"}), Record(intent), Record(Staged{1, true, {2, 3}, "d"}), Record(Settled{1, Outcome::undone, {2, 3}, 4, 5, "d", "r"}),
                          Record(UndoBegin{7}), Record(UndoIntent{1, 1, "s", "k", os::FileKind::symlink, {2, 3}, 4, 5}), Record(Closed{State::undone, 1, 2, 3})}) {
    const auto bytes = encode(r);
    ASSERT_TRUE(decode(bytes));
    EXPECT_EQ(encode(*decode(bytes)), bytes);
  }
}

TEST_F(Journal, ReadsWhatWasWritten) {
  const auto contents = parse(mlxbase::as_bytes(sample_file(fs, 4)));
  ASSERT_TRUE(contents);
  EXPECT_THAT(contents->damage, IsEmpty());
  const auto t = fold(*contents);
  EXPECT_THAT(t.steps, SizeIs(4));
  EXPECT_FALSE(t.cut());
  EXPECT_TRUE(t.steps.at(2).done());
}

TEST_F(Journal, KeepsEveryRecordBeforeATornOne) {
  const std::string whole = sample_file(fs, 3);
  const auto all = parse(mlxbase::as_bytes(whole)).value();
  std::size_t before = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto cut = parse(mlxbase::as_bytes(std::string_view(whole).substr(0, n)));
    if (n < kHeaderBytes) {
      EXPECT_FALSE(cut);
      continue;
    }
    ASSERT_TRUE(cut) << n;
    EXPECT_LE(cut->good_bytes, n);
    EXPECT_GE(cut->records.size(), before);  // more bytes never mean fewer records
    before = cut->records.size();
    EXPECT_EQ(cut->damage.empty(), cut->good_bytes == n) << n;
    for (std::size_t i = 0; i < cut->records.size(); ++i) ASSERT_EQ(encode(cut->records[i]), encode(all.records[i])) << n;
  }
}

TEST_F(Journal, ADamagedByteCostsAtMostItsOwnRecord) {
  std::string file = sample_file(fs, 3);
  const auto all = parse(mlxbase::as_bytes(file)).value();
  for (std::size_t n = 0; n < file.size(); ++n) {
    const char good = file[n];
    for (const int flip : {0x01, 0x80, 0xFF}) {
      file[n] = static_cast<char>(good ^ flip);
      const auto damaged = parse(mlxbase::as_bytes(file));
      if (n < kHeaderBytes) {
        EXPECT_FALSE(damaged) << n;
        continue;
      }
      ASSERT_TRUE(damaged) << n;
      EXPECT_EQ(damaged->records.size(), all.records.size() - 1) << n;
      EXPECT_THAT(damaged->damage, SizeIs(1)) << n;
    }
    file[n] = good;
  }
}

TEST_F(Journal, BytesOfANameNeverPassForARecord) {
  // A hostile file name that holds a whole framed record, made for another journal: the salt tells them apart.
  const std::string other = sample_file(fs, 1);
  MemoryFileSystem fresh;
  auto writer = Writer::create(fresh, "/home", {.id = "a", .time_ns = 1, .command = other.substr(kHeaderBytes), .version = ""}).value();
  std::string file = fresh.content(file_of("/home", "a"));
  file[kHeaderBytes] = static_cast<char>(file[kHeaderBytes] ^ 1);  // now the reader looks for the next whole record
  const auto contents = parse(mlxbase::as_bytes(file));
  ASSERT_TRUE(contents);
  EXPECT_THAT(contents->records, IsEmpty());
}

TEST_F(Journal, GoesOnBehindATornTail) {
  (void)sample_file(fs, 2, false);
  const std::string path = file_of("/home", "20261123T042027-3fa9");
  const std::string whole = fs.content(path);
  fs.put(path, whole.substr(0, whole.size() - 3));
  const auto contents = read(fs, path).value();
  auto writer = Writer::reopen(fs, path, contents).value();
  ASSERT_TRUE(writer.append(Closed{.state = State::recovered, .time_ns = 1, .actions = 1, .bytes_freed = 2}));
  ASSERT_TRUE(writer.sync());
  const auto again = read(fs, path).value();
  EXPECT_THAT(again.damage, IsEmpty());
  EXPECT_EQ(again.records.size(), contents.records.size() + 1);
}

TEST_F(Journal, ListTellsClosedFromCutAndNamesDamagedFiles) {
  (void)sample_file(fs, 2);
  auto cut = Writer::create(fs, "/home", {.id = "20261124T000000-0001", .time_ns = 6, .command = "dedup", .version = ""}).value();
  ASSERT_TRUE(cut.append(sample_intent(0)));
  ASSERT_TRUE(cut.sync());
  fs.put("/home/journal/broken.journal", "this is no journal, whatever its name says");
  std::vector<std::string> problems;
  const auto all = list(fs, "/home", problems).value();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].id, "20261124T000000-0001");
  EXPECT_EQ(all[0].state, State::cut);
  EXPECT_EQ(all[1].state, State::complete);
  EXPECT_EQ(all[1].actions, 2U);
  EXPECT_EQ(all[1].bytes_freed, 42U);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0], testing::HasSubstr("broken.journal"));
}

TEST_F(Journal, AnIdIsNeverWrittenOver) {
  (void)sample_file(fs, 1);
  const auto again = Writer::create(fs, "/home", {.id = "20261123T042027-3fa9", .time_ns = 1, .command = "", .version = ""});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().os_errno, EEXIST);
}

TEST_F(Journal, RefusesARecordThatNoReaderWouldTake) {
  auto writer = Writer::create(fs, "/home", {.id = "a", .time_ns = 1, .command = "", .version = ""}).value();
  Intent huge = sample_intent(0);
  huge.before.metadata.attributes = {{"com.apple.ResourceFork", std::string(kMaxRecord, 'x')}};
  EXPECT_EQ(writer.append(huge).error().code, mlxbase::Code::invalid);
  EXPECT_TRUE(writer.append(sample_intent(1)));
  EXPECT_TRUE(writer.sync());
  EXPECT_THAT(read(fs, file_of("/home", "a"))->records, SizeIs(2));
}

}  // namespace
}  // namespace mlxcache::journal
