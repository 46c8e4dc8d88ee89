#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "mlxbase/os/fuse_answers.h"

namespace mlxbase::os {
namespace {

// Nothing changes but which models there are: names are asked for again after a second, what belongs to a node after a day.
constexpr std::uint64_t kNamesLast = 1;
constexpr std::uint64_t kNodesLast = 86'400;
constexpr std::uint64_t kAheadBytes = std::uint64_t{1} << 20U;
constexpr std::uint64_t kSecond = 1'000'000'000;

int errno_of(const Error& error) {
  switch (error.code) {
    case Code::not_found: return ENOENT;
    case Code::permission: return EACCES;
    case Code::invalid: return EINVAL;
    case Code::unsupported: return EOPNOTSUPP;
    case Code::out_of_memory: return ENOMEM;
    default: return EIO;
  }
}

std::uint32_t type_of(FileKind kind) { return kind == FileKind::directory ? S_IFDIR : kind == FileKind::symlink ? S_IFLNK : S_IFREG; }

/// A question's body, read in order.
class Body {
 public:
  explicit Body(std::span<const std::byte> bytes) : left_(bytes) {}
  template <class T>
  bool take(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (left_.size() < sizeof value) return false;
    std::memcpy(&value, left_.data(), sizeof value);
    left_ = left_.subspan(sizeof value);
    return true;
  }
  /// Up to a zero byte. False: there is none.
  bool take_text(std::string_view& text) {
    const auto* begin = reinterpret_cast<const char*>(left_.data());
    const std::size_t n = ::strnlen(begin, left_.size());
    if (n == left_.size()) return false;
    text = {begin, n};
    left_ = left_.subspan(n + 1);
    return true;
  }

 private:
  std::span<const std::byte> left_;
};

class Answer {
 public:
  Answer(FuseAnswers::Room& room, std::uint64_t unique) : room_(room), unique_(unique) {
    room_.bytes.resize(sizeof(fuse_out_header));
    room_.ahead = {};
  }
  template <class T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    put_bytes({reinterpret_cast<const std::byte*>(&value), sizeof value});
  }
  void put_bytes(std::span<const std::byte> bytes) { room_.bytes.insert(room_.bytes.end(), bytes.begin(), bytes.end()); }
  void put_text(std::string_view text) { put_bytes({reinterpret_cast<const std::byte*>(text.data()), text.size()}); }
  std::size_t size() const { return room_.bytes.size() - sizeof(fuse_out_header); }
  /// Room for `n` bytes that the caller fills.
  std::span<std::byte> grow(std::size_t n) {
    room_.bytes.resize(room_.bytes.size() + n);
    return std::span(room_.bytes).last(n);
  }
  void shrink(std::size_t n) { room_.bytes.resize(room_.bytes.size() - n); }

  std::span<const std::byte> done(int error = 0) {
    if (error != 0) room_.bytes.resize(sizeof(fuse_out_header));
    fuse_out_header header{};
    header.len = static_cast<std::uint32_t>(room_.bytes.size());
    header.error = -error;
    header.unique = unique_;
    std::memcpy(room_.bytes.data(), &header, sizeof header);
    return room_.bytes;
  }

 private:
  FuseAnswers::Room& room_;
  std::uint64_t unique_;
};

fuse_attr attr_of(const FileTree::Node& n, std::uint32_t uid, std::uint32_t gid) {
  fuse_attr a{};
  a.ino = n.inode;
  a.size = n.size;
  a.blocks = (n.allocated_bytes + 511) / 512;
  const std::int64_t seconds = n.mtime_ns >= 0 ? n.mtime_ns / static_cast<std::int64_t>(kSecond) : -((-n.mtime_ns + static_cast<std::int64_t>(kSecond) - 1) / static_cast<std::int64_t>(kSecond));
  a.atime = a.mtime = a.ctime = static_cast<std::uint64_t>(seconds);
  a.atimensec = a.mtimensec = a.ctimensec = static_cast<std::uint32_t>(n.mtime_ns - seconds * static_cast<std::int64_t>(kSecond));
  a.mode = type_of(n.kind) | (n.mode & 0777U);
  a.nlink = static_cast<std::uint32_t>(n.links);
  a.uid = uid;
  a.gid = gid;
  a.blksize = 256 * 1024;
  return a;
}

/// Of the frozen attributes those that this kernel lets a file have from any program; ACLs and security labels are not ours to claim.
Result<std::vector<ExtendedAttribute>> shown_attributes(FileTree& tree, std::uint64_t node) {
  auto all = TRY(tree.attributes(node));
  std::erase_if(all, [](const ExtendedAttribute& a) { return !a.name.starts_with("user.") || a.name.find('\0') != std::string::npos; });
  return all;
}

int answer_init(Body& body, Answer& out) {
  fuse_init_in in{};
  // Only the first fields: later kernels send more, and what they add is off unless we ask for it.
  if (!body.take(in.major) || !body.take(in.minor) || !body.take(in.max_readahead) || !body.take(in.flags)) return EPROTO;
  fuse_init_out o{};
  o.major = FUSE_KERNEL_VERSION;
  o.minor = std::min<std::uint32_t>(FUSE_KERNEL_MINOR_VERSION, in.major == FUSE_KERNEL_VERSION ? in.minor : FUSE_KERNEL_MINOR_VERSION);
  if (in.major < FUSE_KERNEL_VERSION || (in.major == FUSE_KERNEL_VERSION && in.minor < 23)) return EPROTO;  // before Linux 3.15
  if (in.major == FUSE_KERNEL_VERSION) {  // a later one asks once more in our version
    o.max_readahead = std::max<std::uint32_t>(in.max_readahead, kAheadBytes);
    o.flags = in.flags & (FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_CACHE_SYMLINKS | FUSE_MAX_PAGES | FUSE_EXPORT_SUPPORT);
    o.max_background = 32;
    o.congestion_threshold = 24;
    o.max_write = 4096;
    o.time_gran = 1;
    o.max_pages = static_cast<std::uint16_t>(FuseAnswers::kMostRead / 4096);
  }
  out.put(o);
  return 0;
}

}  // namespace

std::span<const std::byte> FuseAnswers::answer(std::span<const std::byte> question, Room& room) {
  fuse_in_header header{};
  if (question.size() < sizeof header) return {};
  std::memcpy(&header, question.data(), sizeof header);
  Answer out(room, header.unique);
  Body body(question.subspan(sizeof header, std::min<std::size_t>(question.size(), std::max<std::size_t>(header.len, sizeof header)) - sizeof header));
  const std::uint64_t node = header.nodeid;

  const auto failed = [&](const Error& error) { return out.done(errno_of(error)); };
  const auto entry_of = [&](std::uint64_t number) -> Result<fuse_entry_out> {
    const FileTree::Node n = TRY(tree_.node(number));
    fuse_entry_out e{};
    e.nodeid = number;
    e.entry_valid = kNamesLast;
    e.attr_valid = n.kind == FileKind::directory ? kNamesLast : kNodesLast;
    e.attr = attr_of(n, uid_, gid_);
    return e;
  };

  switch (header.opcode) {
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: return {};  // nodes stay; no answer takes long enough to be stopped
    case FUSE_INIT: return out.done(answer_init(body, out));
    case FUSE_LOOKUP: {
      std::string_view name;
      if (!body.take_text(name)) return out.done(EINVAL);
      const auto found = tree_.find(node, name);
      if (!found) return failed(found.error());
      const auto entry = entry_of(*found);
      if (!entry) return failed(entry.error());
      out.put(*entry);
      return out.done();
    }
    case FUSE_GETATTR: {
      const auto n = tree_.node(node);
      if (!n) return failed(n.error());
      fuse_attr_out o{};
      o.attr_valid = n->kind == FileKind::directory ? kNamesLast : kNodesLast;
      o.attr = attr_of(*n, uid_, gid_);
      out.put(o);
      return out.done();
    }
    case FUSE_READLINK: {
      const auto text = tree_.read_link(node);
      if (!text) return failed(text.error());
      out.put_text(*text);
      return out.done();
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
      fuse_open_in in{};
      if (!body.take(in)) return out.done(EINVAL);
      if ((in.flags & O_ACCMODE) != O_RDONLY) return out.done(EROFS);
      fuse_open_out o{};
      o.open_flags = header.opcode == FUSE_OPEN ? FOPEN_KEEP_CACHE : 0;  // the bytes of a file never change
      out.put(o);
      return out.done();
    }
    case FUSE_READ: {
      fuse_read_in in{};
      if (!body.take(in)) return out.done(EINVAL);
      const std::span<std::byte> to = out.grow(std::min<std::size_t>(in.size, kMostRead));
      const auto got = tree_.read(node, in.offset, to);
      if (!got) return failed(got.error());
      out.shrink(to.size() - *got);
      Last& last = last_[node % last_.size()];
      const std::uint64_t end = in.offset + *got;
      const bool same_file = last.file.exchange(node) == node;
      const bool in_order = last.end.exchange(end) == in.offset && same_file;
      if (in_order && *got == to.size()) room.ahead = {node, end, kAheadBytes};
      return out.done();
    }
    case FUSE_READDIR: {
      fuse_read_in in{};
      if (!body.take(in)) return out.done(EINVAL);
      const std::size_t most = std::min<std::size_t>(in.size, kMostRead);
      const auto put = [&](std::string_view name, std::uint64_t inode, std::uint64_t next, FileKind kind) {
        const std::size_t n = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name.size());
        if (out.size() + n > most) return false;
        fuse_dirent d{};
        d.ino = inode;
        d.off = next;
        d.namelen = static_cast<std::uint32_t>(name.size());
        d.type = type_of(kind) >> 12U;
        const std::span<std::byte> room_of_it = out.grow(n);
        std::fill(room_of_it.begin(), room_of_it.end(), std::byte{0});
        std::memcpy(room_of_it.data(), &d, FUSE_NAME_OFFSET);
        std::memcpy(room_of_it.data() + FUSE_NAME_OFFSET, name.data(), name.size());
        return true;
      };
      // Places in a folder: 1 behind ".", 2 behind "..", and 2 + its number behind any other name, so that names may come and go meanwhile.
      const auto above = tree_.parent(node);
      if (!above) return failed(above.error());
      if (in.offset < 1 && !put(".", node, 1, FileKind::directory)) return out.done();
      if (in.offset < 2 && !put("..", *above, 2, FileKind::directory)) return out.done();
      const auto listed = tree_.list(node, in.offset < 2 ? 0 : in.offset - 2, [&](const FileTree::Name& n) { return put(n.name, n.node, n.node + 2, n.kind); });
      if (!listed) return failed(listed.error());
      return out.done();
    }
    case FUSE_LSEEK: {
      fuse_lseek_in in{};
      if (!body.take(in)) return out.done(EINVAL);
      if (in.whence != SEEK_DATA && in.whence != SEEK_HOLE) return out.done(EINVAL);
      const auto at = tree_.seek(node, in.offset, in.whence == SEEK_DATA);
      if (!at) return out.done(at.error().code == Code::not_found ? ENXIO : errno_of(at.error()));
      fuse_lseek_out o{};
      o.offset = *at;
      out.put(o);
      return out.done();
    }
    case FUSE_STATFS: {
      fuse_statfs_out o{};
      o.st.bsize = o.st.frsize = 4096;
      o.st.blocks = tree_.total_bytes() / 4096;
      o.st.namelen = 255;
      out.put(o);
      return out.done();
    }
    case FUSE_GETXATTR: {
      fuse_getxattr_in in{};
      std::string_view name;
      if (!body.take(in) || !body.take_text(name)) return out.done(EINVAL);
      const auto all = shown_attributes(tree_, node);
      if (!all) return failed(all.error());
      const auto at = std::find_if(all->begin(), all->end(), [&](const ExtendedAttribute& a) { return a.name == name; });
      if (at == all->end()) return out.done(ENODATA);
      if (in.size == 0) {
        fuse_getxattr_out o{};
        o.size = static_cast<std::uint32_t>(at->value.size());
        out.put(o);
        return out.done();
      }
      if (in.size < at->value.size()) return out.done(ERANGE);
      out.put_text(at->value);
      return out.done();
    }
    case FUSE_LISTXATTR: {
      fuse_getxattr_in in{};
      if (!body.take(in)) return out.done(EINVAL);
      const auto all = shown_attributes(tree_, node);
      if (!all) return failed(all.error());
      std::string names;
      for (const ExtendedAttribute& a : *all) names.append(a.name).push_back('\0');
      if (in.size == 0) {
        fuse_getxattr_out o{};
        o.size = static_cast<std::uint32_t>(names.size());
        out.put(o);
        return out.done();
      }
      if (in.size < names.size()) return out.done(ERANGE);
      out.put_text(names);
      return out.done();
    }
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FLUSH:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_DESTROY: return out.done();
    case FUSE_SETATTR:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_LINK:
    case FUSE_WRITE:
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_CREATE:
    case FUSE_FALLOCATE: return out.done(EROFS);
    default: return out.done(ENOSYS);  // the kernel asks no more, and does it itself where it can
  }
}

}  // namespace mlxbase::os
