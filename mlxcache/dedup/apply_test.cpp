// On real files; what a crash, a failing call or a tool in between does to them is in tests/crash.
#include "mlxcache/dedup/apply.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/temporary_folder.h"

namespace mlxcache::dedup {
namespace {

using mlxbase::testing::noise;
using mlxbase::testing::read_all;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
namespace os = mlxbase::os;

class OnDisk : public testing::Test {
 protected:
  mlxbase::testing::TemporaryFolder folder;
  mlxbase::testing::FakeClock clock;
  os::Environment environment;
  stores::Context context{os::real_file_system(), environment, nullptr};
  std::string home = folder / "home";
  Machinery machinery{context, home, clock, mlxbase::no_progress(), nullptr, "dedup --apply"};

  os::FileStat stat(const std::string& path) const { return os::real_file_system().stat(path).value(); }

  Action action(Method method, const std::string& source, const std::string& target) const {
    Action a;
    a.method = method;
    a.source = source;
    a.target = target;
    a.source_root = {catalog::StoreKind::loose, folder / "a", "--root"};
    a.target_root = {catalog::StoreKind::loose, folder / "b", "--root"};
    a.source_state = catalog::fingerprint_of(stat(source));
    a.target_state = catalog::fingerprint_of(stat(target));
    a.size = a.bytes = a.target_state.size;
    return a;
  }

  Plan plan(std::vector<Action> actions) const {
    Plan p;
    p.actions = std::move(actions);
    return p;
  }

  std::vector<std::string> names_in(const std::string& dir) const {
    std::vector<std::string> names;
    const auto entries = os::real_file_system().list(dir).value();
    for (const auto& e : entries) names.push_back(e.name);
    return names;
  }
};

TEST_F(OnDisk, HardLinkFreesTheCopyAndUndoGivesBackOwnInodeMetadataAndBytes) {
  const std::string bytes = noise(3 << 20, 1);
  const std::string a = folder.write("a/model.gguf", bytes);
  const std::string b = folder.write("b/model.gguf", bytes);
  ::chmod(b.c_str(), 0604);
  {
    auto file = os::real_file_system().open_write(b).value();
    auto marked = file->metadata().value();
    marked.attributes.push_back({"user.xdg.origin.url", "https://example.org"});
    ASSERT_TRUE(file->set_metadata(marked));
  }
  const timespec times[2] = {{1'600'000'000, 5}, {1'500'000'000, 123'456'789}};
  ::utimensat(AT_FDCWD, b.c_str(), times, 0);
  const auto before = os::real_file_system().open_read(b).value()->metadata().value();

  const auto applied = apply(machinery, plan({action(Method::hard_link, a, b)}));
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_THAT(applied->skipped, IsEmpty());
  EXPECT_EQ(applied->bytes_freed, bytes.size());
  EXPECT_EQ(stat(a).id, stat(b).id);
  EXPECT_THAT(names_in(folder / "b"), ElementsAre("model.gguf"));
  EXPECT_THAT(names_in(folder.path()), UnorderedElementsAre("a", "b", "home"));

  std::vector<std::string> problems;
  const auto history = journal::list(context.fs, home, problems);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 1U);
  EXPECT_EQ(history->front().id, applied->transaction);
  EXPECT_EQ(history->front().state, journal::State::complete);
  EXPECT_EQ(history->front().bytes_freed, bytes.size());
  EXPECT_EQ(history->front().command, "dedup --apply");

  const auto undone = undo(machinery, "");
  ASSERT_TRUE(undone) << undone.error().message;
  EXPECT_THAT(undone->restored, ElementsAre(b));
  EXPECT_THAT(undone->refused, IsEmpty());
  EXPECT_NE(stat(a).id, stat(b).id);
  EXPECT_EQ(read_all(b), bytes);
  auto after = os::real_file_system().open_read(b).value()->metadata().value();
  after.atime_ns = before.atime_ns;  // we have just read it
  EXPECT_EQ(after, before);
  EXPECT_EQ(journal::list(context.fs, home, problems)->front().state, journal::State::undone);
  EXPECT_EQ(undo(machinery, "").error().code, mlxbase::Code::not_found);
}

TEST_F(OnDisk, SymlinkLeadsToTheSourceAndUndoBringsTheFileBack) {
  const std::string bytes = noise(70'000, 2);
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string b = folder.write("b/m.bin", bytes);
  const auto applied = apply(machinery, plan({action(Method::symlink, a, b)}));
  ASSERT_TRUE(applied) << applied.error().message;
  ASSERT_THAT(applied->skipped, IsEmpty());
  EXPECT_EQ(context.fs.read_link(b).value(), a);
  EXPECT_EQ(read_all(b), bytes);
  const auto undone = undo(machinery, applied->transaction);
  ASSERT_TRUE(undone) << undone.error().message;
  EXPECT_THAT(undone->refused, IsEmpty());
  EXPECT_EQ(stat(b).kind, os::FileKind::regular);
  EXPECT_EQ(read_all(b), bytes);
}

TEST_F(OnDisk, NamesOfOneInodeBecomeOneInodeAgain) {
  const std::string bytes = noise(100'000, 3);
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string b1 = folder.write("b/one.bin", bytes);
  const std::string b2 = folder / "b/two.bin";
  ASSERT_EQ(::link(b1.c_str(), b2.c_str()), 0);
  const auto applied = apply(machinery, plan({action(Method::hard_link, a, b1), action(Method::hard_link, a, b2)}));
  ASSERT_TRUE(applied) << applied.error().message;
  for (const auto& s : applied->skipped) ADD_FAILURE() << s.path << ": " << s.reason;
  EXPECT_EQ(stat(a).links, 3U);
  const auto undone = undo(machinery, "");
  ASSERT_TRUE(undone);
  EXPECT_THAT(undone->restored, UnorderedElementsAre(b1, b2));
  EXPECT_EQ(stat(b1).id, stat(b2).id);
  EXPECT_EQ(stat(b1).links, 2U);
  EXPECT_NE(stat(a).id, stat(b1).id);
  EXPECT_EQ(read_all(b1), bytes);
}

TEST_F(OnDisk, FilesThatOnlyBeginAlikeAreLeftAlone) {
  // Another tool's dedup destroys one of these: same size, equal first 64 KiB.
  std::string bytes = noise(200'000, 4);
  const std::string a = folder.write("a/m.bin", bytes);
  bytes[150'000] = static_cast<char>(bytes[150'000] ^ 1);
  const std::string b = folder.write("b/m.bin", bytes);
  const auto id = stat(b).id;
  const auto applied = apply(machinery, plan({action(Method::hard_link, a, b)}));
  ASSERT_TRUE(applied);
  EXPECT_THAT(applied->done, IsEmpty());
  ASSERT_EQ(applied->skipped.size(), 1U);
  EXPECT_EQ(applied->skipped.front().reason, "its bytes are not equal");
  EXPECT_EQ(stat(b).id, id);
  EXPECT_EQ(read_all(b), bytes);
  EXPECT_THAT(names_in(folder / "b"), ElementsAre("m.bin"));
}

TEST_F(OnDisk, FilesChangedSinceThePlanAreLeftAlone) {
  const std::string bytes = noise(50'000, 5);
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string b = folder.write("b/m.bin", bytes);
  const auto p = plan({action(Method::hard_link, a, b)});
  const std::string newer = noise(50'000, 6);
  folder.write("b/m.bin", newer);
  const auto applied = apply(machinery, p);
  ASSERT_TRUE(applied);
  ASSERT_EQ(applied->skipped.size(), 1U);
  EXPECT_THAT(applied->skipped.front().reason, HasSubstr("changed since the scan"));
  EXPECT_EQ(read_all(b), newer);
}

TEST_F(OnDisk, AFileOpenForWritingIsLeftAlone) {
  const std::string bytes = noise(50'000, 7);
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string b = folder.write("b/m.bin", bytes);
  const int writer = ::open(b.c_str(), O_WRONLY);
  const auto applied = apply(machinery, plan({action(Method::hard_link, a, b)}));
  ::close(writer);
  ASSERT_TRUE(applied);
  EXPECT_THAT(applied->done, IsEmpty());
  EXPECT_NE(stat(a).id, stat(b).id);
}

TEST_F(OnDisk, AFolderThatLeadsOutOfTheRootIsNotEntered) {
  const std::string bytes = noise(50'000, 8);
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string outside = folder.write("elsewhere/m.bin", bytes);
  folder.write("b/x", "");
  ASSERT_EQ(::symlink((folder / "elsewhere").c_str(), (folder / "b/sub").c_str()), 0);
  const auto applied = apply(machinery, plan({action(Method::hard_link, a, folder / "b/sub/m.bin")}));
  ASSERT_TRUE(applied);
  ASSERT_EQ(applied->skipped.size(), 1U);
  EXPECT_THAT(applied->skipped.front().reason, HasSubstr("leads out of"));
  EXPECT_NE(stat(a).id, stat(outside).id);
}

TEST_F(OnDisk, UndoRefusesWhatTheOwnerHasChangedSince) {
  const std::string bytes = noise(50'000, 9);
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string b = folder.write("b/m.bin", bytes);
  const std::string c = folder.write("b/n.bin", bytes);
  ASSERT_TRUE(apply(machinery, plan({action(Method::hard_link, a, b)})));
  ASSERT_TRUE(apply(machinery, plan({action(Method::hard_link, a, c)})));
  const std::string newer = noise(60'000, 10);
  folder.write("b/m.bin", newer);
  std::vector<std::string> problems;
  const auto history = journal::list(context.fs, home, problems).value();
  const auto undone = undo(machinery, history.back().id);
  ASSERT_TRUE(undone);
  ASSERT_EQ(undone->refused.size(), 1U);
  EXPECT_THAT(undone->refused.front().reason, HasSubstr("replaced since"));
  EXPECT_EQ(read_all(b), newer);
}

TEST_F(OnDisk, ASecondProcessIsToldThatTheFirstIsAtWork) {
  const std::string a = folder.write("a/m.bin", "x");
  const std::string b = folder.write("b/m.bin", "x");
  ASSERT_TRUE(os::make_dirs(context.fs, home, 0700));
  const auto held = context.fs.try_lock(home + "/lock", 0600);
  ASSERT_TRUE(held);
  const auto applied = apply(machinery, plan({action(Method::hard_link, a, b)}));
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code, mlxbase::Code::busy);
  EXPECT_THAT(applied.error().message, HasSubstr("another mlxcache"));
}

TEST_F(OnDisk, HolesOfASparseFileAreHolesAgainAfterUndo) {
  std::string bytes(4 << 20, '\0');
  bytes.replace(1 << 20, 4096, noise(4096, 11));
  const std::string a = folder.write("a/m.bin", bytes);
  const std::string b = folder / "b/m.bin";
  folder.write("b/other", "");
  const int fd = ::open(b.c_str(), O_CREAT | O_WRONLY, 0644);
  ASSERT_EQ(::pwrite(fd, bytes.data() + (1 << 20), 4096, 1 << 20), 4096);
  ASSERT_EQ(::ftruncate(fd, 4 << 20), 0);
  ::close(fd);
  const auto sparse = stat(b).allocated_bytes;
  if (sparse >= bytes.size()) GTEST_SKIP() << "this volume has no sparse files";
  ASSERT_THAT(apply(machinery, plan({action(Method::hard_link, a, b)}))->skipped, IsEmpty());
  ASSERT_THAT(undo(machinery, "")->refused, IsEmpty());
  EXPECT_EQ(read_all(b), bytes);
  EXPECT_LE(stat(b).allocated_bytes, sparse + 65536);
}

}  // namespace
}  // namespace mlxcache::dedup
