#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/os/native.h"
#include "mlxbase/os/processes.h"

namespace mlxbase::os::native {
namespace {

std::unexpected<Error> failed(std::string_view what, std::string_view path) {
  const int saved = errno;
  return fail(errno_error(saved, fmt::format("{} {}", what, printable(path))));
}

FileKind kind_of_mode(unsigned mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return FileKind::regular;
    case S_IFDIR: return FileKind::directory;
    case S_IFLNK: return FileKind::symlink;
    case S_IFIFO: return FileKind::fifo;
    case S_IFSOCK: return FileKind::socket;
    case S_IFBLK: return FileKind::block_device;
    case S_IFCHR: return FileKind::character_device;
    default: return FileKind::unknown;
  }
}

std::int64_t to_ns(const struct statx_timestamp& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

FileStat convert(const struct statx& s) {
  FileStat out;
  out.id = {makedev(s.stx_dev_major, s.stx_dev_minor), s.stx_ino};
  out.kind = kind_of_mode(s.stx_mode);
  out.mode = s.stx_mode & 07777U;
  out.uid = s.stx_uid;
  out.gid = s.stx_gid;
  out.links = s.stx_nlink;
  out.size = s.stx_size;
  out.allocated_bytes = s.stx_blocks * 512;
  out.atime_ns = to_ns(s.stx_atime);
  out.mtime_ns = to_ns(s.stx_mtime);
  out.ctime_ns = to_ns(s.stx_ctime);
  out.immutable = (s.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
  return out;
}

/// A lease (fcntl F_SETLEASE): while it is held the kernel makes whoever opens the file for writing wait for us.
class LeaseGuard final : public WriteGuard {
 public:
  explicit LeaseGuard(int fd) : fd_(fd) {}
  LeaseGuard(const LeaseGuard&) = delete;
  LeaseGuard& operator=(const LeaseGuard&) = delete;
  ~LeaseGuard() override { ::fcntl(fd_, F_SETLEASE, F_UNLCK); }
  bool broken() override { return ::fcntl(fd_, F_GETLEASE) != F_RDLCK; }
  bool held_by_kernel() const override { return true; }

 private:
  int fd_;  // of the File that is guarded, which outlives the guard
};

/// Where leases are refused (not the owner, network volumes): looks through the processes we may see.
class LookGuard final : public WriteGuard {
 public:
  explicit LookGuard(std::string path, FileId id) : path_(std::move(path)), id_(id) {}
  bool broken() override { return !processes_writing(path_, id_).empty(); }
  bool held_by_kernel() const override { return false; }

 private:
  std::string path_;
  FileId id_;
};

}  // namespace

Result<FileStat> stat(const std::string& path, Follow follow) {
  struct statx s {};
  const int flags = AT_NO_AUTOMOUNT | (follow == Follow::no ? AT_SYMLINK_NOFOLLOW : 0);
  if (::statx(AT_FDCWD, path.c_str(), flags, STATX_BASIC_STATS, &s) != 0) return failed("look at", path);
  return convert(s);
}

Result<FileStat> stat_descriptor(int fd) {
  struct statx s {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &s) != 0) return failed("look at", "an open file");
  return convert(s);
}

std::optional<FileStat> stat_in(int dir, const char* name) {
  struct statx s {};
  if (::statx(dir, name, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &s) != 0) return std::nullopt;
  return convert(s);
}

Status full_sync(int fd, const std::string& path) {
  if (::fsync(fd) != 0) return failed("sync", path);
  return {};
}

Status rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  const int saved = errno;
  Error error = errno_error(saved, fmt::format("rename {} to {}", printable(from), printable(to)));
  if (saved == EINVAL || saved == ENOSYS) error.code = Code::unsupported;
  return fail(std::move(error));
}

Status exchange(const std::string& a, const std::string& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return {};
  const int saved = errno;
  if (saved == EINVAL || saved == ENOSYS) {
    return fail(Code::unsupported, fmt::format("swap {} and {}: this volume cannot", printable(a), printable(b)), saved);
  }
  return fail(errno_error(saved, fmt::format("swap {} and {}", printable(a), printable(b))));
}

Status clone_file(const std::string& from, const std::string& to) {
  const int source = ::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (source < 0) return failed("open", from);
  const int target = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (target < 0) {
    auto error = failed("create", to);
    ::close(source);
    return error;
  }
  Status result;
  if (::ioctl(target, FICLONE, source) != 0) {
    const int saved = errno;
    ::unlink(to.c_str());
    // EINVAL: not a reflink volume, or a NOCOW flag mismatch; EPERM and ETXTBSY: immutable, a swap file.
    const bool cannot = saved == EINVAL || saved == EOPNOTSUPP || saved == ENOTTY || saved == ENOSYS || saved == EXDEV;
    Error error = errno_error(saved, fmt::format("clone {} as {}", printable(from), printable(to)));
    if (cannot) error.code = Code::unsupported;
    result = fail(std::move(error));
  }
  ::close(source);
  ::close(target);
  return result;
}

Result<DedupeOutcome> dedupe_range(int source, std::uint64_t source_offset, int target, std::uint64_t target_offset, std::uint64_t length) {
  alignas(file_dedupe_range) char storage[sizeof(file_dedupe_range) + sizeof(file_dedupe_range_info)] = {};
  auto* range = reinterpret_cast<file_dedupe_range*>(storage);
  range->src_offset = source_offset;
  // The kernel takes at most 16 MiB a call on Btrfs; asking for more is cut there, refused elsewhere.
  range->src_length = std::min<std::uint64_t>(length, 16U << 20U);
  range->dest_count = 1;
  range->info[0].dest_fd = target;
  range->info[0].dest_offset = target_offset;
  // The kernel compares page by page and waits for each that is not in memory, many times slower than the disk. So both files are asked
  // for beforehand, this range and the next.
  constexpr std::uint64_t kTurn = std::uint64_t{1} << 20U;
  for (std::uint64_t done = 0; done < 2 * range->src_length; done += kTurn) {
    will_need(source, source_offset + done, kTurn);
    will_need(target, target_offset + done, kTurn);
  }
  while (::ioctl(source, FIDEDUPERANGE, range) != 0) {
    const int saved = errno;
    if (saved == EINTR) continue;
    Error error = errno_error(saved, "share extents");
    if (saved == EINVAL || saved == EOPNOTSUPP || saved == ENOTTY || saved == ENOSYS || saved == EXDEV) error.code = Code::unsupported;
    return fail(std::move(error));
  }
  const auto& info = range->info[0];
  if (info.status == FILE_DEDUPE_RANGE_DIFFERS) return DedupeOutcome{.bytes = 0, .differs = true};
  if (info.status < 0) {
    Error error = errno_error(-info.status, "share extents");
    if (info.status == -EINVAL || info.status == -EOPNOTSUPP || info.status == -EXDEV) error.code = Code::unsupported;
    return fail(std::move(error));
  }
  return DedupeOutcome{.bytes = info.bytes_deduped, .differs = false};
}

Result<std::vector<Extent>> extents(int fd) {
  constexpr std::uint32_t kBatch = 256;  // extents a call: 14 KiB of buffer
  std::vector<char> storage(sizeof(fiemap) + kBatch * sizeof(fiemap_extent));
  auto* map = reinterpret_cast<fiemap*>(storage.data());
  std::vector<Extent> out;
  std::uint64_t at = 0;
  while (true) {
    std::memset(storage.data(), 0, sizeof(fiemap));
    map->fm_start = at;
    map->fm_length = FIEMAP_MAX_OFFSET - at;
    map->fm_flags = FIEMAP_FLAG_SYNC;  // delayed allocation has no place yet
    map->fm_extent_count = kBatch;
    if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) {
      Error error = errno_error(errno, "ask for extents");
      if (error.os_errno == EOPNOTSUPP || error.os_errno == ENOTTY || error.os_errno == EINVAL) error.code = Code::unsupported;
      return fail(std::move(error));
    }
    for (std::uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
      const fiemap_extent& e = map->fm_extents[i];
      const bool unsettled =
          (e.fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_NOT_ALIGNED)) != 0;
      out.push_back({.logical = e.fe_logical, .physical = e.fe_physical, .length = e.fe_length,
                     .shared = (e.fe_flags & FIEMAP_EXTENT_SHARED) != 0, .settled = !unsettled, .written = (e.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0});
      if ((e.fe_flags & FIEMAP_EXTENT_LAST) != 0) return out;
      at = e.fe_logical + e.fe_length;
    }
    if (map->fm_mapped_extents == 0) return out;
  }
}

Result<Sharing> sharing(int fd, const FileStat& stat) {
  auto list = extents(fd);
  if (!list) {
    if (list.error().code == Code::unsupported) return Sharing{.private_bytes = stat.allocated_bytes, .shared_bytes = 0, .clone_id = 0};
    return fail(list.error());
  }
  Sharing s;
  for (const Extent& e : *list) (e.shared ? s.shared_bytes : s.private_bytes) += e.length;
  return s;
}

Result<std::vector<ExtendedAttribute>> attributes(int fd, const std::string& path) {
  const auto list_names = [&](char* buffer, std::size_t size) {
    return fd >= 0 ? ::flistxattr(fd, buffer, size) : ::llistxattr(path.c_str(), buffer, size);
  };
  const auto get = [&](const char* name, char* buffer, std::size_t size) {
    return fd >= 0 ? ::fgetxattr(fd, name, buffer, size) : ::lgetxattr(path.c_str(), name, buffer, size);
  };
  std::vector<ExtendedAttribute> out;
  const ssize_t size = list_names(nullptr, 0);
  if (size < 0) {
    if (errno == EOPNOTSUPP) return out;
    return failed("list extended attributes of", path);
  }
  std::string names(static_cast<std::size_t>(size), '\0');
  const ssize_t got = size == 0 ? 0 : list_names(names.data(), names.size());
  if (got < 0) return failed("list extended attributes of", path);
  names.resize(static_cast<std::size_t>(got));
  for (std::size_t at = 0; at < names.size();) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    const ssize_t length = get(name.c_str(), nullptr, 0);
    if (length < 0) {
      if (errno == ENODATA || errno == EPERM || errno == EACCES) continue;  // gone meanwhile, or hidden from us
      return failed(fmt::format("read extended attribute {} of", name), path);
    }
    std::string value(static_cast<std::size_t>(length), '\0');
    if (length > 0 && get(name.c_str(), value.data(), value.size()) != length) return failed(fmt::format("read extended attribute {} of", name), path);
    out.push_back({name, std::move(value)});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

std::vector<std::string> set_attributes(int fd, const std::string& path, const std::vector<ExtendedAttribute>& wanted) {
  std::vector<std::string> unset;
  auto now = attributes(fd, path);
  for (const auto& have : now ? *now : std::vector<ExtendedAttribute>{}) {
    const bool keep = std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == have.name; });
    // security.* is the kernel's own labelling of a new inode: not ours to strip.
    if (!keep && !have.name.starts_with("security.") && ::fremovexattr(fd, have.name.c_str()) != 0) unset.push_back(have.name);
  }
  for (const auto& w : wanted) {
    if (now && std::find(now->begin(), now->end(), w) != now->end()) continue;
    if (::fsetxattr(fd, w.name.c_str(), w.value.data(), w.value.size(), 0) != 0) unset.push_back(w.name);
  }
  return unset;
}

std::uint32_t flags(int) { return 0; }
bool set_flags(int, std::uint32_t) { return true; }

Result<std::unique_ptr<WriteGuard>> guard_against_writers(int fd, const std::string& path) {
  // A broken lease is announced by SIGIO, whose default is to end the process.
  static const bool ignored = [] {
    struct sigaction current {};
    if (::sigaction(SIGIO, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) std::signal(SIGIO, SIG_IGN);
    return true;
  }();
  (void)ignored;
  if (::fcntl(fd, F_SETLEASE, F_RDLCK) == 0) return std::make_unique<LeaseGuard>(fd);
  const int saved = errno;
  if (saved == EAGAIN || saved == EBUSY) return fail(Code::busy, fmt::format("{}: a program has it open for writing", printable(path)), saved);
  const FileStat s = TRY(stat_descriptor(fd));
  auto guard = std::make_unique<LookGuard>(path, s.id);
  if (guard->broken()) return fail(Code::busy, fmt::format("{}: a program has it open for writing", printable(path)));
  return guard;
}

void describe_volume(const std::string& dir, VolumeFacts& facts) {
  struct statfs s {};
  if (::statfs(dir.c_str(), &s) == 0) {
    switch (static_cast<unsigned long>(s.f_type)) {
      case BTRFS_SUPER_MAGIC: facts.type = "btrfs"; break;
      case 0x58465342UL: facts.type = "xfs"; break;
      case EXT4_SUPER_MAGIC: facts.type = "ext4"; break;
      case TMPFS_MAGIC: facts.type = "tmpfs"; break;
      case OVERLAYFS_SUPER_MAGIC: facts.type = "overlayfs"; break;
      case NFS_SUPER_MAGIC: facts.type = "nfs", facts.network = true; break;
      case 0xFF534D42UL:
      case 0xFE534D42UL: facts.type = "cifs", facts.network = true; break;
      case 0x2FC12FC1UL: facts.type = "zfs"; break;
      case 0xCA451A4EUL: facts.type = "bcachefs"; break;
      case 0xF2F52010UL: facts.type = "f2fs"; break;
      case 0x65735546UL: facts.type = "fuse"; break;
      case 0x4d44UL: facts.type = "vfat"; break;
      case 0x2011BAB0UL: facts.type = "exfat"; break;
      default: facts.type = fmt::format("type {:x}", static_cast<unsigned long>(s.f_type)); break;
    }
  }
  if (facts.type == "btrfs") {
    // Each subvolume has a device number of its own, yet all of one file system can share extents.
    if (const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
      btrfs_ioctl_fs_info_args info{};
      if (::ioctl(fd, BTRFS_IOC_FS_INFO, &info) == 0) {
        for (const unsigned char byte : info.fsid) facts.pool += fmt::format("{:02x}", byte);
      }
      ::close(fd);
    }
  }
  // The mount point is the last folder upwards on the same device.
  char* resolved = ::realpath(dir.c_str(), nullptr);
  if (resolved == nullptr) return;
  std::string at(resolved);
  ::free(resolved);
  struct stat here {};
  if (::stat(at.c_str(), &here) != 0) return;
  while (at != "/") {
    const std::string up(path::parent(at));
    struct stat above {};
    if (::stat(up.c_str(), &above) != 0 || above.st_dev != here.st_dev) break;
    at = up;
  }
  facts.mount_point = at;
}

bool in_cache(int fd, std::uint64_t offset) {
  char byte = 0;
  const iovec one{.iov_base = &byte, .iov_len = 1};
  return ::preadv2(fd, &one, 1, static_cast<off_t>(offset), RWF_NOWAIT) == 1;
}

void advise_sequential(int fd) { ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); }

void will_need(int fd, std::uint64_t offset, std::uint64_t length) {
  constexpr std::uint64_t kStep = 128U << 10U;  // one call brings no more than the device's read-ahead, 128 KiB by default
  for (std::uint64_t done = 0; done < length; done += kStep) {
    ::posix_fadvise(fd, static_cast<off_t>(offset + done), static_cast<off_t>(std::min(kStep, length - done)), POSIX_FADV_WILLNEED);
  }
}

Status allocate(int fd, std::uint64_t size, const std::string& path) {
  for (;;) {
    if (::fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0) return {};
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return {};
    return fail(errno_error(errno, fmt::format("reserve space for {}", printable(path))));
  }
}

void advise_done(int fd, std::uint64_t offset, std::uint64_t length) {
  ::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_DONTNEED);
}

}  // namespace mlxbase::os::native
