#include "mlxbase/os/file_system.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mlxbase/os/peer_fixture.h"

namespace mlxbase::os {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class RealFiles : public TempFolder {};

TEST_F(RealFiles, StatTellsKindsApartAndDoesNotFollowUnlessAsked) {
  write("file", "12345");
  ASSERT_TRUE(fs_.make_dir(at("dir"), 0755));
  ASSERT_TRUE(fs_.make_symlink("file", at("link")));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  EXPECT_EQ(fs_.stat(at("file"))->kind, FileKind::regular);
  EXPECT_EQ(fs_.stat(at("file"))->size, 5U);
  EXPECT_EQ(fs_.stat(at("dir"))->kind, FileKind::directory);
  EXPECT_EQ(fs_.stat(at("link"))->kind, FileKind::symlink);
  EXPECT_EQ(fs_.stat(at("link"), Follow::yes)->id, fs_.stat(at("file"))->id);
  EXPECT_EQ(fs_.stat(at("fifo"))->kind, FileKind::fifo);
  EXPECT_EQ(fs_.stat(at("nothing")).error().code, Code::not_found);
  EXPECT_EQ(fs_.stat(at("file/below")).error().code, Code::not_found);
}

TEST_F(RealFiles, OnlyRegularFilesAreOpenedAndAFifoIsNotWaitedFor) {
  ASSERT_TRUE(fs_.make_dir(at("dir"), 0755));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  EXPECT_EQ(fs_.open_read(at("fifo")).error().code, Code::invalid);
  EXPECT_EQ(fs_.open_read(at("dir")).error().code, Code::invalid);
  EXPECT_EQ(fs_.open_read("/dev/null").error().code, Code::invalid);
  EXPECT_FALSE(fs_.open_write(at("fifo")));
}

TEST_F(RealFiles, ALinkIsOpenedOnlyWhenAsked) {
  write("file", "content");
  ASSERT_TRUE(fs_.make_symlink("file", at("link")));
  EXPECT_EQ(fs_.open_read(at("link")).error().code, Code::invalid);
  EXPECT_TRUE(fs_.open_read(at("link"), Follow::yes));
  EXPECT_FALSE(fs_.open_write(at("link"))) << "writing never goes through a link";
}

TEST_F(RealFiles, APathWithANulByteIsRefusedRatherThanCut) {
  write("file", "x");
  const std::string cut = at("file") + std::string("\0.gguf", 6);
  EXPECT_EQ(fs_.stat(cut).error().code, Code::invalid);
  EXPECT_EQ(fs_.open_read(cut).error().code, Code::invalid);
  EXPECT_EQ(fs_.unlink(cut).error().code, Code::invalid);
  EXPECT_EQ(fs_.rename(at("file"), cut).error().code, Code::invalid);
  EXPECT_EQ(fs_.hard_link(at("file"), cut).error().code, Code::invalid);
  EXPECT_EQ(fs_.clone_file(cut, at("clone")).error().code, Code::invalid);
  EXPECT_EQ(fs_.stat("").error().code, Code::invalid);
  EXPECT_THAT(names(), ElementsAre("file"));
}

TEST_F(RealFiles, CreateNeverTakesANameThatIsTaken) {
  write("file", "mine");
  EXPECT_EQ(fs_.create(at("file"), 0644).error().os_errno, EEXIST);
  ASSERT_TRUE(fs_.make_symlink("elsewhere", at("dangling")));
  EXPECT_EQ(fs_.create(at("dangling"), 0644).error().os_errno, EEXIST);
  EXPECT_EQ(read("file"), "mine");
}

TEST_F(RealFiles, ReadsAndWritesAtAnyOffset) {
  auto file = fs_.create(at("file"), 0600).value();
  const std::uint64_t far = std::uint64_t{5} << 32U;  // past 4 GiB
  ASSERT_TRUE(file->pwrite(far, as_bytes("end")));
  EXPECT_EQ(file->stat()->size, far + 3);
  char buffer[8] = {};
  EXPECT_EQ(file->pread(far, std::as_writable_bytes(std::span(buffer))).value(), 3U) << "fewer only at the end";
  EXPECT_EQ(std::string_view(buffer, 3), "end");
  EXPECT_EQ(file->pread(far + 3, std::as_writable_bytes(std::span(buffer))).value(), 0U);
  ASSERT_TRUE(file->truncate(2));
  EXPECT_EQ(file->stat()->size, 2U);
}

TEST_F(RealFiles, HolesAreNotDataWhereTheVolumeKnows) {
  auto file = fs_.create(at("sparse"), 0600).value();
  ASSERT_TRUE(file->pwrite(8U << 20U, as_bytes("x")));
  const auto runs = file->data_runs().value();
  ASSERT_FALSE(runs.empty());
  EXPECT_EQ(runs.back().logical + runs.back().length, (8U << 20U) + 1) << "the data must be in a run";
  auto empty = fs_.create(at("empty"), 0600).value();
  EXPECT_THAT(empty->data_runs().value(), IsEmpty());
  auto hole = fs_.create(at("hole"), 0600).value();
  ASSERT_TRUE(hole->truncate(1U << 20U));
  const auto none = hole->data_runs().value();
  for (const Extent& run : none) EXPECT_LE(run.logical + run.length, 1U << 20U);
}

TEST_F(RealFiles, ListGivesEveryNameAsTheBytesItHas) {
  for (const char* name : {"plain", ".hidden", "with space", "new\nline", "\xd0\xb8"}) write(name, "");
  ASSERT_TRUE(fs_.make_dir(at("dir"), 0755));
  std::vector<std::string> found;
  const auto entries = fs_.list(root_).value();
  for (const DirEntry& entry : entries) {
    found.push_back(entry.name);
    const FileKind kind = entry.name == "dir" ? FileKind::directory : FileKind::regular;
    EXPECT_TRUE(entry.kind == kind || entry.kind == FileKind::unknown) << entry.name;
  }
  EXPECT_THAT(found, UnorderedElementsAre("plain", ".hidden", "with space", "new\nline", "\xd0\xb8", "dir"));
  EXPECT_EQ(fs_.list(at("nothing")).error().code, Code::not_found);
  EXPECT_EQ(fs_.list(at("plain")).error().code, Code::not_found) << "ENOTDIR";
}

TEST_F(RealFiles, ALoopOfLinksIsAnError) {
  ASSERT_TRUE(fs_.make_symlink("b", at("a")));
  ASSERT_TRUE(fs_.make_symlink("a", at("b")));
  EXPECT_EQ(fs_.real_path(at("a")).error().code, Code::invalid);
  EXPECT_EQ(fs_.stat(at("a"), Follow::yes).error().code, Code::invalid);
  EXPECT_EQ(fs_.read_link(at("a")).value(), "b");
}

TEST_F(RealFiles, AHardLinkOfASymlinkIsTheLinkItself) {
  write("file", "x");
  ASSERT_TRUE(fs_.make_symlink("file", at("link")));
  const auto linked = fs_.hard_link(at("link"), at("second"));
  if (!linked) {
    EXPECT_EQ(linked.error().code, Code::unsupported) << linked.error().message;
    return;
  }
  EXPECT_EQ(fs_.stat(at("second"))->kind, FileKind::symlink);
  EXPECT_EQ(fs_.stat(at("file"))->links, 1U);
}

TEST_F(RealFiles, RenameNewNeverReplaces) {
  write("a", "first");
  write("b", "second");
  const auto taken = fs_.rename_new(at("a"), at("b"));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().os_errno, EEXIST) << taken.error().message;
  EXPECT_EQ(read("a"), "first");
  EXPECT_EQ(read("b"), "second");
  ASSERT_TRUE(fs_.rename_new(at("a"), at("c")));
  EXPECT_EQ(read("c"), "first");
  EXPECT_THAT(names(), UnorderedElementsAre("b", "c"));
  // Where the volume has no such call, a second name and the removal of the first do the same.
  EXPECT_EQ(fs_.FileSystem::rename_new(at("c"), at("b")).error().os_errno, EEXIST);
  ASSERT_TRUE(fs_.FileSystem::rename_new(at("c"), at("a")));
  EXPECT_THAT(names(), UnorderedElementsAre("a", "b"));
}

TEST_F(RealFiles, ExchangeSwapsTwoNamesAndNeverMakesOneMissing) {
  write("a", "first");
  write("b", "second");
  const auto swapped = fs_.exchange(at("a"), at("b"));
  if (swapped) {
    EXPECT_EQ(read("a"), "second");
    EXPECT_EQ(read("b"), "first");
  } else {
    EXPECT_EQ(swapped.error().code, Code::unsupported) << swapped.error().message;
    EXPECT_EQ(read("a"), "first");
  }
  EXPECT_FALSE(fs_.exchange(at("a"), at("missing")));
  EXPECT_THAT(names(), UnorderedElementsAre("a", "b"));
}

TEST_F(RealFiles, ACloneHasTheBytesOrLeavesNothingBehind) {
  write("file", std::string(300'000, 'z'));
  const auto cloned = fs_.clone_file(at("file"), at("clone"));
  if (cloned) {
    EXPECT_EQ(read("clone"), read("file"));
    EXPECT_NE(fs_.stat(at("clone"))->id, fs_.stat(at("file"))->id);
  } else {
    EXPECT_EQ(cloned.error().code, Code::unsupported) << cloned.error().message;
    EXPECT_THAT(names(), ElementsAre("file"));
  }
}

TEST_F(RealFiles, ACloneTakesNoTakenNameAndFollowsNoLink) {
  write("file", "new");
  write("taken", "old");
  ASSERT_TRUE(fs_.make_symlink("file", at("link")));
  EXPECT_FALSE(fs_.clone_file(at("file"), at("taken")));
  EXPECT_FALSE(fs_.clone_file(at("link"), at("clone")));
  EXPECT_EQ(read("taken"), "old");
  EXPECT_THAT(names(), UnorderedElementsAre("file", "taken", "link"));
}

TEST_F(RealFiles, SharingAnEqualRangeKeepsBothFilesAndADifferentOneIsNoticed) {
  const std::size_t size = 1U << 17U;
  write("a", std::string(size, 'x'));
  write("b", std::string(size, 'x'));
  write("c", std::string(size, 'y'));
  auto a = fs_.open_read(at("a")).value();
  auto b = fs_.open_write(at("b")).value();
  auto c = fs_.open_write(at("c")).value();
  const auto equal = fs_.dedupe_range(*a, 0, *b, 0, size);
  if (!equal) {
    EXPECT_EQ(equal.error().code, Code::unsupported) << equal.error().message;
  } else {
    EXPECT_FALSE(equal->differs);
    EXPECT_GT(equal->bytes, 0U);
    EXPECT_TRUE(fs_.dedupe_range(*a, 0, *c, 0, size)->differs);
  }
  EXPECT_EQ(read("b"), std::string(size, 'x'));
  EXPECT_EQ(read("c"), std::string(size, 'y'));
}

TEST_F(RealFiles, ExtentsCoverTheFileWhereTheVolumeTells) {
  write("file", std::string(1U << 20U, 'q'));
  auto file = fs_.open_write(at("file")).value();
  ASSERT_TRUE(file->sync());
  const auto extents = file->extents();
  if (!extents) {
    EXPECT_EQ(extents.error().code, Code::unsupported) << extents.error().message;
  } else {
    std::uint64_t covered = 0;
    for (const Extent& e : *extents) covered += e.length;
    EXPECT_GE(covered, 1U << 20U);
  }
  const auto sharing = file->sharing().value();
  EXPECT_EQ(sharing.shared_bytes, 0U);
  EXPECT_GT(sharing.private_bytes, 0U);
}

TEST_F(RealFiles, MetadataSurvivesTheWayToAnotherFile) {
  write("from", "x");
  write("to", "y");
  auto from = fs_.open_write(at("from")).value();
  Metadata wanted = from->metadata().value();
  wanted.mode = 0640;
  wanted.mtime_ns = 1'600'000'000'123'456'000;
  wanted.atime_ns = 1'500'000'000'654'321'000;
  wanted.attributes.push_back({"user.mlxcache.test", std::string("v\0w", 3)});
  std::sort(wanted.attributes.begin(), wanted.attributes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  auto to = fs_.open_write(at("to")).value();
  const auto unset = to->set_metadata(wanted).value();
  const Metadata got = to->metadata().value();
  EXPECT_EQ(got.mode, wanted.mode);
  EXPECT_EQ(got.mtime_ns, wanted.mtime_ns);
  EXPECT_EQ(got.atime_ns, wanted.atime_ns);
  if (unset.empty()) {
    EXPECT_EQ(got, wanted);
  } else {
    EXPECT_THAT(unset, ElementsAre("user.mlxcache.test")) << "a volume without attributes says so and keeps the rest";
  }
}

TEST_F(RealFiles, AttributesThatAreNotWantedGo) {
  write("file", "x");
  auto file = fs_.open_write(at("file")).value();
  const Metadata before = file->metadata().value();
  Metadata with = before;
  with.attributes.push_back({"user.mlxcache.extra", "1"});
  ASSERT_TRUE(file->set_metadata(with));
  EXPECT_THAT(file->set_metadata(before).value(), IsEmpty());
  EXPECT_EQ(file->metadata().value(), before);
}

TEST_F(RealFiles, TimesBefore1970AreTimesToo) {
  write("file", "x");
  auto file = fs_.open_write(at("file")).value();
  Metadata wanted = file->metadata().value();
  wanted.mtime_ns = -1'500'000'000;  // 1.5 s before
  EXPECT_THAT(file->set_metadata(wanted).value(), IsEmpty());
  EXPECT_EQ(file->stat()->mtime_ns, -1'500'000'000);
}

TEST_F(RealFiles, SetuidOutlivesAChangeOfOwner) {
  if (::geteuid() != 0) return;  // only root can give files away
  write("file", "x");
  auto file = fs_.open_write(at("file")).value();
  Metadata wanted = file->metadata().value();
  wanted.uid = 12345;
  wanted.gid = 54321;
  wanted.mode = 06755;
  EXPECT_THAT(file->set_metadata(wanted).value(), IsEmpty());
  EXPECT_EQ(file->stat()->mode, 06755U);
  EXPECT_EQ(file->stat()->uid, 12345U);
}

TEST_F(RealFiles, ALinksOwnTimesCanBeSetAndItsTargetIsLeftAlone) {
  write("file", "x");
  ASSERT_TRUE(fs_.make_symlink("file", at("link")));
  const auto target = fs_.stat(at("file")).value();
  Metadata m = fs_.metadata(at("link")).value();
  m.mtime_ns = 1'000'000'000;
  ASSERT_TRUE(fs_.set_link_metadata(at("link"), m));
  EXPECT_EQ(fs_.stat(at("link"))->mtime_ns, 1'000'000'000);
  EXPECT_EQ(fs_.stat(at("file"))->mtime_ns, target.mtime_ns);
}

TEST_F(RealFiles, ALockIsHeldToTheEndOfItsLife) {
  {
    const auto first = fs_.try_lock(at(".lock"), 0600);
    ASSERT_TRUE(first);
    EXPECT_EQ(fs_.try_lock(at(".lock"), 0600).error().code, Code::busy);
  }
  EXPECT_TRUE(fs_.try_lock(at(".lock"), 0600));
}

TEST_F(RealFiles, ALockHeldByAnotherProcessIsBusy) {
  std::unique_ptr<Lock> held;
  const Peer peer([&] { held = std::move(*fs_.try_lock(at(".lock"), 0600)); });
  EXPECT_EQ(fs_.try_lock(at(".lock"), 0600).error().code, Code::busy);
}

TEST_F(RealFiles, ALockFileThatIsALinkIsRefused) {
  write("file", "x");
  ASSERT_TRUE(fs_.make_symlink("file", at(".lock")));
  EXPECT_EQ(fs_.try_lock(at(".lock"), 0600).error().code, Code::invalid);
}

TEST_F(RealFiles, ProbingAVolumeLeavesNothingBehind) {
  const auto facts = fs_.volume(root_, true).value();
  EXPECT_EQ(facts.why_not_probed, "");
  EXPECT_GT(facts.total_bytes, 0U);
  EXPECT_GE(facts.total_bytes, facts.free_bytes);
  EXPECT_TRUE(facts.clone.has_value());
  EXPECT_TRUE(facts.hard_links.has_value());
  EXPECT_TRUE(facts.case_sensitive.has_value());
  EXPECT_FALSE(facts.mount_point.empty());
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(RealFiles, ProbingTakesAwayWhatAKilledProbeLeft) {
  const pid_t dead = ::fork();
  ASSERT_GE(dead, 0);
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  const std::string left = ".mlxcache-probe-" + std::to_string(dead) + "-0";
  const std::string running = ".mlxcache-probe-" + std::to_string(::getppid()) + "-0";
  const std::string not_ours = ".mlxcache-probe-notes";
  for (const auto& name : {left, running, not_ours}) ASSERT_TRUE(fs_.make_dir(at(name), 0700));
  write(left + "/a", "x");
  write(left + "/twin", "x");
  ASSERT_TRUE(fs_.volume(root_, true));
  EXPECT_THAT(names(), UnorderedElementsAre(running, not_ours));
}

TEST_F(RealFiles, LookingAtAVolumeWithoutProbingWritesNothingAndClaimsNothing) {
  const auto facts = fs_.volume(root_, false).value();
  EXPECT_FALSE(facts.clone.has_value());
  EXPECT_FALSE(facts.hard_links.has_value());
  EXPECT_EQ(fs_.volume(at("nothing"), true).error().code, Code::not_found);
}

TEST_F(RealFiles, SmallFilesAreBounded) {
  write("file", std::string(100, 'x'));
  EXPECT_EQ(read_small_file(fs_, at("file"), 100)->size(), 100U);
  EXPECT_EQ(read_small_file(fs_, at("file"), 99).error().code, Code::invalid);
}

TEST_F(RealFiles, AnAtomicWriteReplacesTheWholeAndLeavesNoScraps) {
  ASSERT_TRUE(write_file_atomically(fs_, at("state"), "first version", 0600));
  ASSERT_TRUE(write_file_atomically(fs_, at("state"), "second", 0600));
  EXPECT_EQ(read("state"), "second");
  EXPECT_EQ(fs_.stat(at("state"))->mode, 0600U);
  EXPECT_THAT(names(), ElementsAre("state"));
}

TEST_F(RealFiles, AnAtomicWriteGetsOverWhatACrashLeft) {
  write("state.new", "half writ");
  ASSERT_TRUE(write_file_atomically(fs_, at("state"), "whole", 0600));
  EXPECT_EQ(read("state"), "whole");
  EXPECT_THAT(names(), ElementsAre("state"));
}

TEST_F(RealFiles, MissingFoldersAreMadeAndPresentOnesAreFine) {
  ASSERT_TRUE(make_dirs(fs_, at("a/b/c")));
  ASSERT_TRUE(make_dirs(fs_, at("a/b/c")));
  EXPECT_EQ(fs_.stat(at("a/b/c"))->kind, FileKind::directory);
  write("file", "");
  EXPECT_FALSE(make_dirs(fs_, at("file/below")));
}

}  // namespace
}  // namespace mlxbase::os
