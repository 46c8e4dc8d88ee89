#include <fcntl.h>
#include <fmt/format.h>
#include <sys/acl.h>
#include <sys/attr.h>
#include <sys/clonefile.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#if __has_include(<sys/xattr.h>)
#include <sys/xattr.h>
#else
// Cross toolchains ship the symbols (libSystem) without this header.
extern "C" {
ssize_t getxattr(const char* path, const char* name, void* value, size_t size, u_int32_t position, int options);
ssize_t fgetxattr(int fd, const char* name, void* value, size_t size, u_int32_t position, int options);
ssize_t listxattr(const char* path, char* names, size_t size, int options);
ssize_t flistxattr(int fd, char* names, size_t size, int options);
int fsetxattr(int fd, const char* name, const void* value, size_t size, u_int32_t position, int options);
int fremovexattr(int fd, const char* name, int options);
}
#define XATTR_NOFOLLOW 0x0001
#endif

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "mlxbase/core/printable.h"
#include "mlxbase/os/native.h"
#include "mlxbase/os/processes.h"

namespace mlxbase::os::native {
namespace {

constexpr std::string_view kAclName = "mlxcache.acl";
// The kernel's own note of which program made a file: it comes and goes without us, and cannot be set.
constexpr std::string_view kProvenance = "com.apple.provenance";
// What chflags may change and what is a person's wish. Not among them: UF_COMPRESSED and SF_DATALESS, which describe how
// the bytes are stored, so that copying them to another inode would destroy it.
constexpr std::uint32_t kSettableFlags =
    UF_NODUMP | UF_IMMUTABLE | UF_APPEND | UF_OPAQUE | UF_HIDDEN | SF_ARCHIVED | SF_IMMUTABLE | SF_APPEND;

std::unexpected<Error> failed(std::string_view what, std::string_view path) {
  const int saved = errno;
  return fail(errno_error(saved, fmt::format("{} {}", what, printable(path))));
}

bool means_unsupported(int error) { return error == ENOTSUP || error == EOPNOTSUPP || error == EINVAL || error == ENOTTY || error == ENOSYS; }

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

std::int64_t to_ns(const timespec& t) { return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec; }

FileStat convert(const struct stat& s) {
  FileStat out;
  out.id = {static_cast<std::uint32_t>(s.st_dev), s.st_ino};
  out.kind = kind_of_mode(s.st_mode);
  out.mode = s.st_mode & 07777U;
  out.uid = s.st_uid;
  out.gid = s.st_gid;
  out.links = s.st_nlink;
  out.size = static_cast<std::uint64_t>(s.st_size);
  out.allocated_bytes = static_cast<std::uint64_t>(s.st_blocks) * 512;
  out.atime_ns = to_ns(s.st_atimespec);
  out.mtime_ns = to_ns(s.st_mtimespec);
  out.ctime_ns = to_ns(s.st_ctimespec);
  out.dataless = (s.st_flags & SF_DATALESS) != 0;
  out.immutable = (s.st_flags & (UF_IMMUTABLE | SF_IMMUTABLE | UF_APPEND | SF_APPEND)) != 0;
  return out;
}

class Acl {
 public:
  explicit Acl(acl_t acl) : acl_(acl) {}
  Acl(const Acl&) = delete;
  Acl& operator=(const Acl&) = delete;
  ~Acl() {
    if (acl_ != nullptr) ::acl_free(acl_);
  }
  acl_t get() const { return acl_; }
  /// An ACL without entries is what is left when one was removed.
  bool has_entries() const {
    acl_entry_t entry = nullptr;
    return acl_ != nullptr && ::acl_get_entry(acl_, ACL_FIRST_ENTRY, &entry) == 0;
  }
  std::string text() const {
    char* const text = ::acl_to_text(acl_, nullptr);
    if (text == nullptr) return {};
    std::string out(text);
    ::acl_free(text);
    return out;
  }

 private:
  acl_t acl_;
};

std::string acl_text(int fd, const std::string& path) {
  const Acl acl(fd >= 0 ? ::acl_get_fd_np(fd, ACL_TYPE_EXTENDED) : ::acl_get_link_np(path.c_str(), ACL_TYPE_EXTENDED));
  return acl.has_entries() ? acl.text() : std::string();
}

bool set_acl_text(int fd, const std::string& text) {
  const Acl acl(text.empty() ? ::acl_init(1) : ::acl_from_text(text.c_str()));
  return acl.get() != nullptr && ::acl_set_fd_np(fd, acl.get(), ACL_TYPE_EXTENDED) == 0;
}

/// What getattrlist fills in when all three attributes are asked for; the layout is packed to four bytes.
#pragma pack(push, 4)
struct CloneAttributes {
  std::uint32_t length;
  attribute_set_t returned;
  std::uint64_t private_size;
  std::uint64_t clone_id;
  std::uint32_t clone_count;
};
#pragma pack(pop)
static_assert(sizeof(CloneAttributes) == 4 + 5 * 4 + 8 + 8 + 4);

/// macOS has no leases: all that can be done is to look who has the file open for writing.
class LookGuard final : public WriteGuard {
 public:
  LookGuard(std::string path, FileId id) : path_(std::move(path)), id_(id) {}
  bool broken() override { return !processes_writing(path_, id_).empty(); }
  bool held_by_kernel() const override { return false; }

 private:
  std::string path_;
  FileId id_;
};

}  // namespace

Result<FileStat> stat(const std::string& path, Follow follow) {
  struct stat s {};
  const int result = follow == Follow::yes ? ::stat(path.c_str(), &s) : ::lstat(path.c_str(), &s);
  if (result != 0) return failed("look at", path);
  return convert(s);
}

Result<FileStat> stat_descriptor(int fd) {
  struct stat s {};
  if (::fstat(fd, &s) != 0) return failed("look at", "an open file");
  return convert(s);
}

std::optional<FileStat> stat_in(int dir, const char* name) {
  struct stat s {};
  if (::fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return convert(s);
}

Status full_sync(int fd, const std::string& path) {
  // Plain fsync leaves the bytes in the drive's cache here.
  if (::fcntl(fd, F_FULLFSYNC) == 0) return {};
  if (!means_unsupported(errno)) return failed("sync", path);
  if (::fsync(fd) != 0) return failed("sync", path);  // network and foreign volumes
  return {};
}

Status rename_new(const std::string& from, const std::string& to) {
  if (::renamex_np(from.c_str(), to.c_str(), RENAME_EXCL) == 0) return {};
  const int saved = errno;
  Error error = errno_error(saved, fmt::format("rename {} to {}", printable(from), printable(to)));
  if (means_unsupported(saved)) error.code = Code::unsupported;
  return fail(std::move(error));
}

Status exchange(const std::string& a, const std::string& b) {
  if (::renamex_np(a.c_str(), b.c_str(), RENAME_SWAP) == 0) return {};
  const int saved = errno;
  if (means_unsupported(saved)) {
    return fail(Code::unsupported, fmt::format("swap {} and {}: this volume cannot", printable(a), printable(b)), saved);
  }
  return fail(errno_error(saved, fmt::format("swap {} and {}", printable(a), printable(b))));
}

Status clone_file(const std::string& from, const std::string& to) {
  // By descriptor: clonefile(2) by name would also copy a whole folder, or a symlink put there meanwhile.
  const int source = ::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (source < 0) return failed("open", from);
  struct stat s {};
  Status result;
  if (::fstat(source, &s) != 0) {
    result = failed("look at", from);
  } else if (!S_ISREG(s.st_mode)) {
    result = fail(Code::invalid, fmt::format("clone {}: not a regular file", printable(from)));
  } else if (::fclonefileat(source, AT_FDCWD, to.c_str(), 0) != 0) {
    const int saved = errno;
    Error error = errno_error(saved, fmt::format("clone {} as {}", printable(from), printable(to)));
    if (means_unsupported(saved) || saved == EXDEV) error.code = Code::unsupported;
    result = fail(std::move(error));
  } else if ((s.st_flags & kSettableFlags) != 0) {
    // The clone took the flags along; an immutable one could be neither finished nor removed.
    if (::lchflags(to.c_str(), s.st_flags & ~kSettableFlags) != 0) result = failed("clear the flags of", to);
  }
  ::close(source);
  return result;
}

Result<DedupeOutcome> dedupe_range(int, std::uint64_t, int, std::uint64_t, std::uint64_t) {
  return fail(Code::unsupported, "share extents in place: macOS has no call for it");
}

Result<std::vector<Extent>> extents(int fd) {
  const FileStat s = TRY(stat_descriptor(fd));
  // APFS does not say which runs are shared, only how many bytes are: any sharing marks them all.
  const Sharing share = TRY(sharing(fd, s));
  std::vector<Extent> out;
  std::uint64_t at = 0;
  while (at < s.size) {
    struct log2phys where {};
    where.l2p_contigbytes = static_cast<off_t>(s.size - at);
    where.l2p_devoffset = static_cast<off_t>(at);
    if (::fcntl(fd, F_LOG2PHYS_EXT, &where) != 0) {
      if (errno == ERANGE) break;  // a hole up to the end
      Error error = errno_error(errno, "ask for extents");
      if (means_unsupported(error.os_errno)) error.code = Code::unsupported;
      return fail(std::move(error));
    }
    if (where.l2p_contigbytes <= 0) return fail(Code::unsupported, "ask for extents: this volume does not tell");
    const auto length = std::min<std::uint64_t>(static_cast<std::uint64_t>(where.l2p_contigbytes), s.size - at);
    if (where.l2p_devoffset >= 0) {  // -1: a hole
      out.push_back({.logical = at, .physical = static_cast<std::uint64_t>(where.l2p_devoffset), .length = length,
                     .shared = share.shared_bytes > 0, .settled = true});
    }
    at += length;
  }
  return out;
}

Result<Sharing> sharing(int fd, const FileStat& stat) {
  struct attrlist wanted {};
  wanted.bitmapcount = ATTR_BIT_MAP_COUNT;
  wanted.commonattr = ATTR_CMN_RETURNED_ATTRS;
  wanted.forkattr = ATTR_CMNEXT_PRIVATESIZE | ATTR_CMNEXT_CLONEID | ATTR_CMNEXT_CLONE_REFCNT;
  CloneAttributes got{};
  const Sharing whole{.private_bytes = stat.allocated_bytes, .shared_bytes = 0, .clone_id = 0};
  // FSOPT_PACK_INVAL_ATTRS keeps the layout fixed; `returned` says which values mean something.
  if (::fgetattrlist(fd, &wanted, &got, sizeof got, FSOPT_ATTR_CMN_EXTENDED | FSOPT_PACK_INVAL_ATTRS) != 0) {
    if (means_unsupported(errno)) return whole;  // HFS+, network: nothing is shared there
    return failed("ask what is shared of", "an open file");
  }
  if ((got.returned.forkattr & ATTR_CMNEXT_PRIVATESIZE) == 0) return whole;
  Sharing s;
  s.private_bytes = std::min(got.private_size, stat.allocated_bytes);
  s.shared_bytes = stat.allocated_bytes - s.private_bytes;
  const bool has_id = (got.returned.forkattr & ATTR_CMNEXT_CLONEID) != 0;
  const bool alone = (got.returned.forkattr & ATTR_CMNEXT_CLONE_REFCNT) != 0 && got.clone_count <= 1;
  if (has_id && !alone) s.clone_id = got.clone_id;
  return s;
}

Result<std::vector<ExtendedAttribute>> attributes(int fd, const std::string& path) {
  const auto list_names = [&](char* buffer, std::size_t size) {
    return fd >= 0 ? ::flistxattr(fd, buffer, size, 0) : ::listxattr(path.c_str(), buffer, size, XATTR_NOFOLLOW);
  };
  const auto get = [&](const char* name, char* buffer, std::size_t size) {
    return fd >= 0 ? ::fgetxattr(fd, name, buffer, size, 0, 0) : ::getxattr(path.c_str(), name, buffer, size, 0, XATTR_NOFOLLOW);
  };
  std::vector<ExtendedAttribute> out;
  const ssize_t size = list_names(nullptr, 0);
  if (size < 0 && !means_unsupported(errno)) return failed("list extended attributes of", path);
  std::string names(size > 0 ? static_cast<std::size_t>(size) : 0, '\0');
  if (!names.empty()) {
    const ssize_t got = list_names(names.data(), names.size());
    if (got < 0) return failed("list extended attributes of", path);
    names.resize(static_cast<std::size_t>(got));
  }
  for (std::size_t at = 0; at < names.size();) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    if (name == kProvenance) continue;
    const ssize_t length = get(name.c_str(), nullptr, 0);
    if (length < 0) {
      if (errno == ENOATTR || errno == EPERM || errno == EACCES) continue;  // gone meanwhile, or hidden from us
      return failed(fmt::format("read extended attribute {} of", name), path);
    }
    std::string value(static_cast<std::size_t>(length), '\0');
    if (length > 0 && get(name.c_str(), value.data(), value.size()) != length) return failed(fmt::format("read extended attribute {} of", name), path);
    out.push_back({name, std::move(value)});
  }
  if (std::string acl = acl_text(fd, path); !acl.empty()) out.push_back({std::string(kAclName), std::move(acl)});
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

std::vector<std::string> set_attributes(int fd, const std::string& path, const std::vector<ExtendedAttribute>& wanted) {
  std::vector<std::string> unset;
  const auto remove = [&](const std::string& name) { return name == kAclName ? set_acl_text(fd, "") : ::fremovexattr(fd, name.c_str(), 0) == 0; };
  const auto set = [&](const ExtendedAttribute& a) {
    return a.name == kAclName ? set_acl_text(fd, a.value) : ::fsetxattr(fd, a.name.c_str(), a.value.data(), a.value.size(), 0, 0) == 0;
  };
  auto now = attributes(fd, path);
  for (const auto& have : now ? *now : std::vector<ExtendedAttribute>{}) {
    const bool keep = std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == have.name; });
    if (!keep && !remove(have.name)) unset.push_back(have.name);
  }
  for (const auto& w : wanted) {
    if (now && std::find(now->begin(), now->end(), w) != now->end()) continue;
    if (!set(w)) unset.push_back(w.name);
  }
  return unset;
}

std::uint32_t flags(int fd) {
  struct stat s {};
  return ::fstat(fd, &s) == 0 ? s.st_flags & kSettableFlags : 0;
}

bool set_flags(int fd, std::uint32_t flags) {
  struct stat s {};
  if (::fstat(fd, &s) != 0) return false;
  const std::uint32_t wanted = (s.st_flags & ~kSettableFlags) | (flags & kSettableFlags);
  return wanted == s.st_flags || ::fchflags(fd, wanted) == 0;
}

Result<std::unique_ptr<WriteGuard>> guard_against_writers(int fd, const std::string& path) {
  const FileStat s = TRY(stat_descriptor(fd));
  auto guard = std::make_unique<LookGuard>(path, s.id);
  if (guard->broken()) return fail(Code::busy, fmt::format("{}: a program has it open for writing", printable(path)));
  return guard;
}

void describe_volume(const std::string& dir, VolumeFacts& facts) {
  struct statfs s {};
  if (::statfs(dir.c_str(), &s) != 0) return;
  facts.type = s.f_fstypename;
  facts.mount_point = s.f_mntonname;
  facts.network = (s.f_flags & MNT_LOCAL) == 0;
  facts.read_only = (s.f_flags & MNT_RDONLY) != 0;
  // statvfs counts blocks in 32 bits here, which ends at 16 TiB of 4-KiB blocks.
  facts.total_bytes = static_cast<std::uint64_t>(s.f_blocks) * s.f_bsize;
  facts.free_bytes = static_cast<std::uint64_t>(s.f_bavail) * s.f_bsize;
  facts.block_bytes = s.f_bsize;
}

bool in_cache(int, std::uint64_t) { return false; }  // only a mapping could tell

void advise_sequential(int fd) { ::fcntl(fd, F_RDAHEAD, 1); }

void will_need(int, std::uint64_t, std::uint64_t) {}  // F_RDADVISE waits on some volumes; F_RDAHEAD alone keeps these disks busy
Status allocate(int fd, std::uint64_t size, const std::string& path) {
  fstore_t store{};
  store.fst_flags = F_ALLOCATEALL;
  store.fst_posmode = F_PEOFPOSMODE;
  store.fst_length = static_cast<off_t>(size);
  if (::fcntl(fd, F_PREALLOCATE, &store) != 0) {
    if (errno == ENOTSUP || errno == EINVAL) return {};
    return fail(errno_error(errno, fmt::format("reserve space for {}", printable(path))));
  }
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return fail(errno_error(errno, fmt::format("reserve space for {}", printable(path))));
  return {};
}

void advise_done(int, std::uint64_t, std::uint64_t) {}  // no call drops pages that were read already

}  // namespace mlxbase::os::native
