#include "mlxcache/change/change.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/memory_file_system.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/change/session.h"
#include "mlxcache/change/undo.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {
namespace {

using catalog::StoreKind;
using mlxbase::Code;
using mlxbase::Result;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace os = mlxbase::os;

class Names : public testing::Test {
 protected:
  void SetUp() override {
    fs_.put("/home/me/keep", "");
    fs_.put("/m/a/model.bin", std::string(9000, 'x'));
    ASSERT_TRUE(os::make_dirs(fs_, "/m/b"));
  }
  Change make(Kind kind, const std::string& path) {
    Change c;
    c.kind = kind;
    c.path = path;
    c.root = path.starts_with("/m/a") ? a_ : b_;
    return c;
  }
  Change text(const std::string& path, const std::string& content) {
    auto c = make(Kind::place, path);
    c.ways = {How::text};
    c.content = content;
    return c;
  }
  Change payload(const std::string& path, How how, const std::string& source = "/m/a/model.bin") {
    auto c = make(Kind::place, path);
    c.ways = {how};
    c.source = source;
    c.source_state = state(source);
    return c;
  }
  Change remove(const std::string& path) {
    auto c = make(Kind::remove, path);
    if (fs_.stat(path, os::Follow::no)->kind != os::FileKind::directory) c.expected = state(path);
    return c;
  }
  catalog::Fingerprint state(const std::string& path) { return catalog::fingerprint_of(fs_.stat(path, os::Follow::no).value()); }

  Machinery machinery() { return {context_, home_, clock_, mlxbase::no_progress(), nullptr, "test"}; }
  Result<Done> carry(std::vector<Change> changes, bool whole = true) { return carry_out(machinery(), {std::move(changes), whole}); }
  Done carried(std::vector<Change> changes, bool whole = true) {
    auto done = carry(std::move(changes), whole);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : Done{};
  }
  Undone undone(const std::string& id) {
    const auto lock = lock_home(fs_, home_).value();
    const auto file = journal::file_of(home_, id);
    auto contents = journal::read(fs_, file).value();
    auto t = journal::fold(contents);
    EXPECT_TRUE(t.closed.has_value());
    auto u = undo_names(machinery(), t, file, contents);
    EXPECT_TRUE(u) << u.error().message;
    return u ? *u : Undone{};
  }

  mlxbase::testing::MemoryFileSystem fs_;
  os::Environment environment_;
  mlxbase::testing::FakeClock clock_;
  stores::Context context_{fs_, environment_, nullptr};
  std::string home_ = "/home/me/.mlxcache";
  catalog::Root a_{StoreKind::loose, "/m/a", "--root"};
  catalog::Root b_{StoreKind::loose, "/m/b", "--root"};
};

TEST_F(Names, PlacesTextsLinksAndPayloadsWithTheFoldersTheyNeed) {
  const auto done = carried({make(Kind::make_folder, "/m/b/x"), text("/m/b/x/config.json", "{}"), payload("/m/b/x/deep/er/clone.bin", How::clone),
                             payload("/m/b/x/hard.bin", How::hard_link), payload("/m/b/x/soft.bin", How::symlink)});
  EXPECT_EQ(done.skipped.size(), 0U);
  EXPECT_EQ(fs_.content("/m/b/x/config.json"), "{}");
  EXPECT_EQ(fs_.content("/m/b/x/deep/er/clone.bin"), fs_.content("/m/a/model.bin"));
  EXPECT_EQ(fs_.stat("/m/b/x/hard.bin", os::Follow::no)->id, fs_.stat("/m/a/model.bin", os::Follow::no)->id);
  EXPECT_EQ(fs_.read_link("/m/b/x/soft.bin").value(), "/m/a/model.bin");
  EXPECT_EQ(fs_.stat("/m/b/x/config.json", os::Follow::no)->mode, 0644U);
  EXPECT_EQ(fs_.names_below("/m/b").size(), 4U);
  const auto back = undone(done.transaction);
  EXPECT_TRUE(back.refused.empty());
  EXPECT_FALSE(fs_.exists("/m/b/x"));
  EXPECT_THAT(fs_.names_below("/m"), ElementsAre("/m/a/model.bin"));
}

TEST_F(Names, ANameThatIsThereWithTheSameBytesIsNoChangeAndWithOthersAnError) {
  fs_.put("/m/b/one", "same");
  EXPECT_EQ(carried({text("/m/b/one", "same")}).transaction, "");
  const auto other = carry({text("/m/b/new", "new"), text("/m/b/one", "other")});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::changed);
  EXPECT_FALSE(fs_.exists("/m/b/new"));
}

TEST_F(Names, WhatIsRemovedLiesInTheTrashAndTheSameInodeComesBack) {
  fs_.put("/m/b/x/one", "one");
  ASSERT_TRUE(fs_.make_symlink("one", "/m/b/x/link"));
  const auto one = fs_.stat("/m/b/x/one", os::Follow::no)->id;
  const auto folder = fs_.stat("/m/b/x", os::Follow::no).value();
  const auto done = carried({remove("/m/b/x/link"), remove("/m/b/x/one"), remove("/m/b/x")});
  EXPECT_FALSE(fs_.exists("/m/b/x"));
  EXPECT_THAT(fs_.names_below("/m/.mlxcache-trash-b").size(), 2U);
  const auto lying = trash(machinery()).value();
  ASSERT_EQ(lying.size(), 2U);
  EXPECT_EQ(lying[1].path, "/m/b/x/one");
  EXPECT_EQ(lying[1].bytes, 4096U);
  EXPECT_TRUE(undone(done.transaction).refused.empty());
  EXPECT_EQ(fs_.stat("/m/b/x/one", os::Follow::no)->id, one);
  EXPECT_EQ(fs_.stat("/m/b/x/one", os::Follow::no)->links, 1U);
  EXPECT_EQ(fs_.read_link("/m/b/x/link").value(), "one");
  EXPECT_EQ(fs_.stat("/m/b/x", os::Follow::no)->mtime_ns, folder.mtime_ns);
  EXPECT_FALSE(fs_.exists("/m/.mlxcache-trash-b"));
}

TEST_F(Names, AReplacedFileKeepsItsMetadataAndItsOldInodeComesBack) {
  fs_.put("/m/b/models.json", "old");
  const auto old = fs_.stat("/m/b/models.json", os::Follow::no).value();
  auto c = make(Kind::replace, "/m/b/models.json");
  c.content = "new";
  c.expected = catalog::fingerprint_of(old);
  const auto done = carried({c});
  EXPECT_EQ(fs_.content("/m/b/models.json"), "new");
  EXPECT_EQ(fs_.stat("/m/b/models.json", os::Follow::no)->mode, old.mode);
  EXPECT_THAT(fs_.names_below("/m/b"), ElementsAre("/m/b/models.json"));
  EXPECT_TRUE(undone(done.transaction).refused.empty());
  EXPECT_EQ(fs_.stat("/m/b/models.json", os::Follow::no)->id, old.id);
  EXPECT_EQ(fs_.content("/m/b/models.json"), "old");
  EXPECT_FALSE(fs_.exists("/m/.mlxcache-trash-b"));
}

TEST_F(Names, AMendedFileTakesThePlaceOfTheDamagedOneAndUndoBringsThatBack) {
  fs_.put("/m/b/weights", "damaged bytes");
  fs_.put("/m/b/.mended", "mended  bytes");
  const auto old = fs_.stat("/m/b/weights", os::Follow::no).value();
  auto c = make(Kind::replace, "/m/b/weights");
  c.ways = {How::adopt};
  c.source = "/m/b/.mended";
  c.expected = catalog::fingerprint_of(old);
  EXPECT_EQ(carry({c}).error().code, Code::invalid);  // nobody has said what its bytes are
  EXPECT_EQ(fs_.content("/m/b/weights"), "damaged bytes");
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes("mended  bytes"));
  c.source_digest = hasher.finish();
  const auto done = carried({c});
  EXPECT_EQ(fs_.content("/m/b/weights"), "mended  bytes");
  EXPECT_EQ(fs_.stat("/m/b/weights", os::Follow::no)->mtime_ns, old.mtime_ns);
  EXPECT_THAT(fs_.names_below("/m/b"), ElementsAre("/m/b/weights"));
  EXPECT_TRUE(undone(done.transaction).refused.empty());
  EXPECT_EQ(fs_.stat("/m/b/weights", os::Follow::no)->id, old.id);
  EXPECT_EQ(fs_.content("/m/b/weights"), "damaged bytes");
}

TEST_F(Names, AnAdoptedDownloadMovesAndUndoMovesItBack) {
  fs_.put("/m/b/.downloads/abc", "bytes");
  const auto id = fs_.stat("/m/b/.downloads/abc", os::Follow::no)->id;
  const auto done = carried({payload("/m/b/x/model.gguf", How::adopt, "/m/b/.downloads/abc")});
  EXPECT_FALSE(fs_.exists("/m/b/.downloads/abc"));
  EXPECT_EQ(fs_.stat("/m/b/x/model.gguf", os::Follow::no)->id, id);
  EXPECT_TRUE(undone(done.transaction).refused.empty());
  EXPECT_EQ(fs_.content("/m/b/.downloads/abc"), "bytes");
  EXPECT_FALSE(fs_.exists("/m/b/x"));
}

TEST_F(Names, UndoRefusesWhatTheToolHasChangedSinceAndTakesBackTheRest) {
  const auto done = carried({text("/m/b/x/config.json", "{}"), text("/m/b/x/other.json", "{}")});
  fs_.put("/m/b/x/config.json", "{\"edited\": true}");
  const auto back = undone(done.transaction);
  ASSERT_EQ(back.refused.size(), 2U);
  EXPECT_EQ(back.refused[0].path, "/m/b/x/config.json");
  EXPECT_EQ(back.refused[1].path, "/m/b/x") << "it may be empty when undo is run again";
  EXPECT_FALSE(fs_.exists("/m/b/x/other.json"));
  EXPECT_EQ(fs_.content("/m/b/x/config.json"), "{\"edited\": true}");
}

TEST_F(Names, UndoKeepsTheLastCopyOfSomething) {
  const auto done = carried({payload("/m/b/clone.bin", How::clone)});
  ASSERT_TRUE(fs_.unlink("/m/a/model.bin"));
  const auto back = undone(done.transaction);
  ASSERT_EQ(back.refused.size(), 1U);
  EXPECT_THAT(back.refused[0].reason, HasSubstr("only bytes"));
  EXPECT_TRUE(fs_.exists("/m/b/clone.bin"));
}

TEST_F(Names, TheNextWayIsTakenOnlyWhereTheVolumeRefusesOne) {
  fs_.volume_of().clone = false;
  auto c = payload("/m/b/one.bin", How::clone);
  c.ways = {How::clone, How::hard_link};
  const auto done = carried({c});
  ASSERT_EQ(done.done.size(), 1U);
  EXPECT_THAT(done.done[0].ways, ElementsAre(How::hard_link));
  EXPECT_TRUE(undone(done.transaction).refused.empty());
  EXPECT_FALSE(fs_.exists("/m/b/one.bin"));
}

TEST_F(Names, WithoutWholeAFailureIsLeftOutAndTheOthersGoOn) {
  fs_.put("/m/b/one", "one");
  fs_.put("/m/b/two", "two");
  auto stale = remove("/m/b/one");
  fs_.put("/m/b/one", "changed since");
  const auto done = carried({stale, remove("/m/b/two")}, false);
  ASSERT_EQ(done.skipped.size(), 1U);
  EXPECT_EQ(done.skipped[0].path, "/m/b/one");
  EXPECT_TRUE(fs_.exists("/m/b/one"));
  EXPECT_FALSE(fs_.exists("/m/b/two"));
}

TEST_F(Names, ASymlinkedFolderIsRefused) {
  ASSERT_TRUE(os::make_dirs(fs_, "/elsewhere"));
  ASSERT_TRUE(fs_.make_symlink("/elsewhere", "/m/b/x"));
  for (const char* path : {"/m/b/x/config.json", "/m/b/x/deep/config.json", "/m/b/../c", "/m/c"}) {
    const auto done = carry({text(path, "{}")});
    EXPECT_FALSE(done) << path;
  }
  EXPECT_THAT(fs_.names_below("/elsewhere"), IsEmpty());
}

TEST_F(Names, ARootThatIsNotThereYetIsMadeAndGoesAgain) {
  auto c = text("/m/new/tool/models/x/config.json", "{}");
  c.root = {StoreKind::loose, "/m/new/tool/models", "default"};
  const auto done = carried({c});
  EXPECT_EQ(fs_.content("/m/new/tool/models/x/config.json"), "{}");
  EXPECT_TRUE(undone(done.transaction).refused.empty());
  EXPECT_FALSE(fs_.exists("/m/new"));
}

TEST_F(Names, EmptyingTheTrashIsForGoodAndSaidByUndo) {
  fs_.put("/m/b/one", "one");
  const auto done = carried({remove("/m/b/one")});
  EXPECT_EQ(empty_trash(machinery(), {}, 0)->size(), 0U);
  EXPECT_EQ(empty_trash(machinery(), done.transaction, INT64_MAX)->size(), 1U);
  EXPECT_FALSE(fs_.exists("/m/.mlxcache-trash-b"));
  EXPECT_THAT(trash(machinery()).value(), IsEmpty());
  EXPECT_TRUE(undone(done.transaction).restored.empty());
  std::vector<std::string> problems;
  EXPECT_EQ(journal::list(fs_, home_, problems)->at(0).actions, 0U);
}

TEST_F(Names, ExpiryTakesWhatIsOlderAndNothingThatATransactionCutShortStillNeeds) {
  constexpr std::int64_t kDay = std::int64_t{86'400} * 1'000'000'000;
  for (const char* name : {"one", "two", "three"}) fs_.put(std::string("/m/b/") + name, name);
  const auto cut = carried({remove("/m/b/one")});
  const auto old = carried({remove("/m/b/two")});
  clock_.advance_ns(15 * kDay);
  const auto young = carried({remove("/m/b/three")});
  std::string kept;
  const auto lying = trash(machinery()).value();
  for (const auto& t : lying) {
    if (t.transaction == cut.transaction) kept = t.trash_path;
  }
  EXPECT_EQ(fs_.content(kept), "one");
  {
    // An undo that was cut short, of a disk that is not there now: nobody can tell yet how far it came.
    const auto file = journal::file_of(home_, cut.transaction);
    auto writer = journal::Writer::reopen(fs_, file, journal::read(fs_, file).value()).value();
    ASSERT_TRUE(writer.append(journal::UndoBegin{.time_ns = 1}));
    journal::UndoIntent intent;
    intent.index = 0;
    ASSERT_TRUE(writer.append(intent));
    ASSERT_TRUE(writer.sync());
  }
  ASSERT_TRUE(fs_.rename("/m/b", "/m/elsewhere"));
  EXPECT_EQ(empty_trash(machinery(), {}, clock_.wall_ns() - 14 * kDay)->size(), 1U);
  EXPECT_TRUE(fs_.exists(kept));
  EXPECT_THAT(trash(machinery()).value(), testing::SizeIs(1));
  ASSERT_TRUE(fs_.rename("/m/elsewhere", "/m/b"));
  EXPECT_THAT(recover(machinery())->left, IsEmpty());
  EXPECT_EQ(fs_.content("/m/b/one"), "one");
  EXPECT_FALSE(fs_.exists(kept));
  EXPECT_TRUE(undone(young.transaction).refused.empty());
  EXPECT_EQ(fs_.content("/m/b/three"), "three");
  EXPECT_FALSE(fs_.exists("/m/b/two"));
}

}  // namespace
}  // namespace mlxcache::change
