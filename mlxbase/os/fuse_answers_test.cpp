// The kernel's questions, asked without a kernel. Where FUSE is not spoken there is nothing to ask.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#if __has_include(<linux/fuse.h>)
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/os/fuse_answers.h"

namespace mlxbase::os {
namespace {

/// 1 the top, 2 a file of 3 MiB, 3 a link, and 500 more files.
class Tree final : public FileTree {
 public:
  Result<std::uint64_t> find(std::uint64_t folder, std::string_view name) override {
    if (folder == kTop && name == "file") return std::uint64_t{2};
    if (folder == kTop && name == "link") return std::uint64_t{3};
    return fail(Code::not_found, "no");
  }
  Result<Node> node(std::uint64_t n) override {
    if (n == kTop) return Node{FileKind::directory, 0755, 1, 2, 0, 0, 0};
    if (n == 3) return Node{FileKind::symlink, 0777, 3, 1, 4, 0, 0};
    if (n == 2 || (n >= 10 && n < 510)) return Node{FileKind::regular, 04640, n, 1, bytes, bytes, -1};
    return fail(Code::not_found, "no");
  }
  Result<std::uint64_t> parent(std::uint64_t folder) override {
    if (folder != kTop) return fail(Code::invalid, "no folder");
    return std::uint64_t{kTop};
  }
  Status list(std::uint64_t /*folder*/, std::uint64_t after, const std::function<bool(const Name&)>& see) override {
    const auto tell = [&](std::uint64_t n, const std::string& name) { return n <= after || see({name, n, FileKind::regular}); };
    if (!tell(2, "file") || !tell(3, "link")) return {};
    for (std::uint64_t n = 10; n < 510; ++n) {
      if (!tell(n, "a file of many, number " + std::to_string(n))) return {};
    }
    return {};
  }
  Result<std::size_t> read(std::uint64_t file, std::uint64_t offset, std::span<std::byte> out) override {
    if (file != 2) return fail(Code::corrupt, "damaged");
    const std::size_t n = offset >= bytes ? 0 : std::min<std::size_t>(out.size(), bytes - static_cast<std::size_t>(offset));
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>((offset + i) % 251);
    return n;
  }
  Result<std::string> read_link(std::uint64_t) override { return std::string("file"); }
  Result<std::uint64_t> seek(std::uint64_t, std::uint64_t offset, bool data) override {
    if (offset >= bytes) return fail(Code::not_found, "beyond the end");
    return data ? offset : std::uint64_t{bytes};
  }
  Result<std::vector<ExtendedAttribute>> attributes(std::uint64_t) override {
    return std::vector<ExtendedAttribute>{{"security.selinux", "x"}, {"user.origin", "https://example.org"}};
  }
  std::uint64_t total_bytes() override { return bytes; }

  static constexpr std::size_t bytes = 3U << 20U;
};

class Kernel {
 public:
  Tree tree;
  FuseAnswers answers{tree, 1000, 1000};
  FuseAnswers::Room room;
  int error = 0;

  template <class T>
  static std::string of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  /// The answer without its header.
  std::string ask(std::uint32_t opcode, std::uint64_t node, const std::string& body) {
    fuse_in_header h{};
    h.len = static_cast<std::uint32_t>(sizeof h + body.size());
    h.opcode = opcode;
    h.unique = 77;
    h.nodeid = node;
    const std::string question = of(h) + body;
    const auto answer = answers.answer(as_bytes(question), room);
    if (answer.empty()) return "none";
    fuse_out_header o{};
    std::memcpy(&o, answer.data(), sizeof o);
    EXPECT_EQ(o.len, answer.size());
    EXPECT_EQ(o.unique, 77U);
    error = -o.error;
    return std::string(as_text(answer.subspan(sizeof o)));
  }
  template <class T>
  static T as(const std::string& text) {
    T out{};
    EXPECT_GE(text.size(), sizeof out);
    if (text.size() >= sizeof out) std::memcpy(&out, text.data(), sizeof out);
    return out;
  }
  std::string read(std::uint64_t offset, std::uint32_t size) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = size;
    return ask(FUSE_READ, 2, of(in));
  }
};

TEST(FuseAnswers, AgreeOnAVersionWithOlderAndNewerKernels) {
  Kernel k;
  fuse_init_in in{};
  in.major = 7;
  in.minor = 99;
  in.flags = ~0U;
  auto out = Kernel::as<fuse_init_out>(k.ask(FUSE_INIT, 0, Kernel::of(in) + "what later kernels add"));
  EXPECT_EQ(k.error, 0);
  EXPECT_EQ(out.minor, static_cast<std::uint32_t>(FUSE_KERNEL_MINOR_VERSION));
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_EQ(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS), 0U);
  in.minor = 26;
  EXPECT_EQ(Kernel::as<fuse_init_out>(k.ask(FUSE_INIT, 0, Kernel::of(in))).minor, 26U);
  in.minor = 8;
  (void)k.ask(FUSE_INIT, 0, Kernel::of(in));
  EXPECT_EQ(k.error, EPROTO);
  in.major = 8;
  EXPECT_EQ(Kernel::as<fuse_init_out>(k.ask(FUSE_INIT, 0, Kernel::of(in))).major, 7U);
}

TEST(FuseAnswers, SayWhatANodeIs) {
  Kernel k;
  const auto entry = Kernel::as<fuse_entry_out>(k.ask(FUSE_LOOKUP, 1, std::string("file", 5)));
  EXPECT_EQ(entry.nodeid, 2U);
  EXPECT_EQ(entry.attr.mode, static_cast<std::uint32_t>(S_IFREG | 0640)) << "without setuid";
  EXPECT_EQ(entry.attr.uid, 1000U);
  EXPECT_EQ(entry.attr.mtimensec, 999'999'999U);
  EXPECT_EQ(static_cast<std::int64_t>(entry.attr.mtime), -1);
  (void)k.ask(FUSE_LOOKUP, 1, std::string("none", 5));
  EXPECT_EQ(k.error, ENOENT);
  EXPECT_EQ(k.ask(FUSE_READLINK, 3, ""), "file");
}

TEST(FuseAnswers, ReadToTheEndAndSeeWhoReadsInOrder) {
  Kernel k;
  const std::string first = k.read(0, 100'000);
  EXPECT_EQ(first.size(), 100'000U);
  EXPECT_EQ(static_cast<unsigned char>(first[99'999]), 99'999 % 251);
  const std::string second = k.read(100'000, 50'000);
  EXPECT_EQ(k.room.ahead.file, 2U);
  EXPECT_EQ(k.room.ahead.offset, 150'000U);
  (void)k.read(1'000'000, 4096);
  EXPECT_EQ(k.room.ahead.file, 0U) << "it jumped";
  EXPECT_EQ(k.read(Tree::bytes - 10, 4096).size(), 10U);
  EXPECT_EQ(k.read(Tree::bytes, 4096).size(), 0U);
  EXPECT_EQ(k.read(0, ~0U).size(), FuseAnswers::kMostRead);
  fuse_read_in in{};
  in.size = 10;
  (void)k.ask(FUSE_READ, 10, Kernel::of(in));
  EXPECT_EQ(k.error, EIO);
}

TEST(FuseAnswers, ListAFolderInPiecesAndLeaveNothingOut) {
  Kernel k;
  std::map<std::string, std::uint64_t> names;
  fuse_read_in in{};
  in.size = 4096;
  for (;;) {
    const std::string piece = k.ask(FUSE_READDIR, 1, Kernel::of(in));
    EXPECT_LE(piece.size(), in.size);
    if (piece.empty()) break;
    for (std::size_t at = 0; at < piece.size();) {
      fuse_dirent d{};
      std::memcpy(&d, piece.data() + at, FUSE_NAME_OFFSET);
      EXPECT_TRUE(names.emplace(piece.substr(at + FUSE_NAME_OFFSET, d.namelen), d.ino).second);
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
      in.offset = d.off;
    }
  }
  EXPECT_EQ(names.size(), 504U);
  EXPECT_EQ(names["file"], 2U);
}

TEST(FuseAnswers, ShowAttributesOfUsersOnly) {
  Kernel k;
  fuse_getxattr_in in{};
  EXPECT_EQ(Kernel::as<fuse_getxattr_out>(k.ask(FUSE_LISTXATTR, 2, Kernel::of(in))).size, 12U);
  in.size = 100;
  EXPECT_EQ(k.ask(FUSE_LISTXATTR, 2, Kernel::of(in)), std::string("user.origin\0", 12));
  EXPECT_EQ(k.ask(FUSE_GETXATTR, 2, Kernel::of(in) + std::string("user.origin\0", 12)), "https://example.org");
  (void)k.ask(FUSE_GETXATTR, 2, Kernel::of(in) + std::string("security.selinux\0", 17));
  EXPECT_EQ(k.error, ENODATA);
  in.size = 3;
  (void)k.ask(FUSE_GETXATTR, 2, Kernel::of(in) + std::string("user.origin\0", 12));
  EXPECT_EQ(k.error, ERANGE);
}

TEST(FuseAnswers, RefuseWhateverChangesSomething) {
  Kernel k;
  for (const std::uint32_t opcode : {FUSE_WRITE, FUSE_UNLINK, FUSE_CREATE, FUSE_SETATTR, FUSE_RENAME2, FUSE_SETXATTR}) {
    (void)k.ask(opcode, 2, std::string(64, '\0'));
    EXPECT_EQ(k.error, EROFS) << opcode;
  }
  fuse_open_in in{};
  in.flags = O_RDWR;
  (void)k.ask(FUSE_OPEN, 2, Kernel::of(in));
  EXPECT_EQ(k.error, EROFS);
}

TEST(FuseAnswers, OutliveQuestionsThatMakeNoSense) {
  Kernel k;
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string question(random() % 120, '\0');
    for (char& c : question) c = static_cast<char>(random() % 4 == 0 ? random() : 0);
    if (question.size() >= 8) {
      const std::uint32_t opcode = random() % 60;
      std::memcpy(question.data() + 4, &opcode, 4);
    }
    if (question.size() >= 24) question[16] = static_cast<char>(random() % 4);
    const auto answer = k.answers.answer(as_bytes(question), k.room);
    if (!answer.empty()) {
      fuse_out_header o{};
      ASSERT_GE(answer.size(), sizeof o);
      std::memcpy(&o, answer.data(), sizeof o);
      ASSERT_EQ(o.len, answer.size());
      ASSERT_LE(o.error, 0);
    }
  }
}

}  // namespace
}  // namespace mlxbase::os
#endif
