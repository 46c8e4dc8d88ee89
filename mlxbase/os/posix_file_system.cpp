// The real file system: plain POSIX here, what differs between kernels in native.h.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/os/native.h"

namespace mlxbase::os {
namespace {

std::unexpected<Error> failed(std::string_view what, std::string_view path) {
  const int saved = errno;
  return fail(errno_error(saved, fmt::format("{} {}", what, printable(path))));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

timespec to_timespec(std::int64_t ns) {
  timespec t{};
  t.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  t.tv_nsec = static_cast<long>(ns % 1'000'000'000);
  if (t.tv_nsec < 0) {  // before 1970
    t.tv_nsec += 1'000'000'000;
    t.tv_sec -= 1;
  }
  return t;
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override {
    if (sequential_) ask_ahead(offset, out.size());
    std::size_t done = 0;
    while (done < out.size()) {
      // macOS refuses reads of INT_MAX bytes and more.
      const std::size_t want = std::min<std::size_t>(out.size() - done, std::size_t{1} << 30U);
      const ssize_t got = ::pread(fd_.get(), out.data() + done, want, static_cast<off_t>(offset + done));
      if (got < 0) {
        if (errno == EINTR) continue;
        return failed("read", path_);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Status pwrite(std::uint64_t offset, std::span<const std::byte> in) override {
    std::size_t done = 0;
    while (done < in.size()) {
      const std::size_t want = std::min<std::size_t>(in.size() - done, std::size_t{1} << 30U);
      const ssize_t got = ::pwrite(fd_.get(), in.data() + done, want, static_cast<off_t>(offset + done));
      if (got < 0) {
        if (errno == EINTR) continue;
        return failed("write", path_);
      }
      done += static_cast<std::size_t>(got);
    }
    return {};
  }

  Status truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return failed("set the length of", path_);
    return {};
  }

  Status sync() override { return native::full_sync(fd_.get(), path_); }
  Result<FileStat> stat() override { return native::stat_descriptor(fd_.get()); }

  Result<Metadata> metadata() override {
    const FileStat s = TRY(stat());
    Metadata m;
    m.mode = s.mode;
    m.uid = s.uid;
    m.gid = s.gid;
    m.atime_ns = s.atime_ns;
    m.mtime_ns = s.mtime_ns;
    m.flags = native::flags(fd_.get());
    m.attributes = TRY(native::attributes(fd_.get(), path_));
    return m;
  }

  Result<std::vector<std::string>> set_metadata(const Metadata& m) override {
    std::vector<std::string> unset;
    const FileStat now = TRY(stat());
    if ((now.uid != m.uid || now.gid != m.gid) && ::fchown(fd_.get(), m.uid, m.gid) != 0) {
      unset.emplace_back("owner");
      if (now.gid != m.gid && ::fchown(fd_.get(), static_cast<uid_t>(-1), m.gid) != 0) unset.emplace_back("group");
    }
    for (auto& name : native::set_attributes(fd_.get(), path_, m.attributes)) unset.push_back(std::move(name));
    // After the owner (chown clears setuid) and the ACL (it implies mode bits).
    if (::fchmod(fd_.get(), static_cast<mode_t>(m.mode)) != 0) unset.emplace_back("mode");
    const timespec times[2] = {to_timespec(m.atime_ns), to_timespec(m.mtime_ns)};
    if (::futimens(fd_.get(), times) != 0) unset.emplace_back("times");
    if (!native::set_flags(fd_.get(), m.flags)) unset.emplace_back("flags");
    return unset;
  }

  Result<std::vector<Extent>> extents() override { return native::extents(fd_.get()); }
  Result<Sharing> sharing() override {
    const FileStat s = TRY(stat());
    return native::sharing(fd_.get(), s);
  }

  Result<std::vector<Extent>> data_runs() override {
    const FileStat s = TRY(stat());
    std::vector<Extent> runs;
#ifdef SEEK_DATA
    std::uint64_t at = 0;
    while (at < s.size) {
      const off_t begin = ::lseek(fd_.get(), static_cast<off_t>(at), SEEK_DATA);
      if (begin < 0) {
        if (errno == ENXIO) return runs;  // only a hole is left
        runs.clear();
        break;
      }
      off_t end = ::lseek(fd_.get(), begin, SEEK_HOLE);
      if (end < 0) end = static_cast<off_t>(s.size);
      runs.push_back({.logical = static_cast<std::uint64_t>(begin), .length = static_cast<std::uint64_t>(end - begin)});
      at = static_cast<std::uint64_t>(end);
    }
    if (at >= s.size) return runs;
#endif
    if (s.size > 0) runs.push_back({.logical = 0, .length = s.size});
    return runs;
  }

  Status allocate(std::uint64_t size) override { return native::allocate(fd_.get(), size, path_); }
  void advise_sequential() override {
    native::advise_sequential(fd_.get());
    sequential_ = true;
  }
  void advise_done(std::uint64_t offset, std::uint64_t length) override { native::advise_done(fd_.get(), offset, length); }
  bool in_cache(std::uint64_t offset) override { return native::in_cache(fd_.get(), offset); }
  int descriptor() const override { return fd_.get(); }

 private:
  // The kernel's own read-ahead is a few hundred KiB: a reader that hashes what it read lets a fast disk wait.
  static constexpr std::uint64_t kAhead = std::uint64_t{2} << 20U;

  /// Has the disk bring what comes after this read, while this read is waited for and worked on.
  void ask_ahead(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t asked = asked_.load(std::memory_order_relaxed);
    if (asked >= offset + length + kAhead / 2) return;
    const std::uint64_t begin = std::max(asked, offset);
    const std::uint64_t end = offset + length + kAhead;
    asked_.store(end, std::memory_order_relaxed);
    if (native::in_cache(fd_.get(), end - 1)) return;  // a file that lies in memory costs one call
    native::will_need(fd_.get(), begin, end - begin);
  }

  Descriptor fd_;
  std::string path_;
  bool sequential_ = false;
  std::atomic<std::uint64_t> asked_{0};
};

class FlockLock final : public Lock {
 public:
  explicit FlockLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;  // closing it releases the lock
};

FileKind kind_of_dirent([[maybe_unused]] unsigned char type) {
  switch (type) {
    case DT_REG: return FileKind::regular;
    case DT_DIR: return FileKind::directory;
    case DT_LNK: return FileKind::symlink;
    case DT_FIFO: return FileKind::fifo;
    case DT_SOCK: return FileKind::socket;
    case DT_BLK: return FileKind::block_device;
    case DT_CHR: return FileKind::character_device;
    default: return FileKind::unknown;
  }
}

/// A path with an embedded NUL would silently be cut by the kernel.
Status check(const std::string& path) {
  if (path.empty()) return fail(Code::invalid, "an empty path");
  if (path.find('\0') != std::string::npos) return fail(Code::invalid, fmt::format("{}: a path with a NUL byte", printable(path)));
  return {};
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<FileStat> stat(const std::string& path, Follow follow) override {
    TRY(check(path));
    return native::stat(path, follow);
  }

  Result<std::vector<DirEntry>> list(const std::string& dir) override { return read_folder(dir, false); }
  Result<std::vector<DirEntry>> list_with_stats(const std::string& dir) override { return read_folder(dir, true); }

  Result<std::string> read_link(const std::string& path) override {
    TRY(check(path));
    // Exactly as long as the text: a scan keeps one for every symlink.
    std::array<char, PATH_MAX> text;
    const ssize_t n = ::readlink(path.c_str(), text.data(), text.size());
    if (n < 0) return failed("read link", path);
    return std::string(text.data(), static_cast<std::size_t>(n));
  }

  Result<std::string> real_path(const std::string& path) override {
    TRY(check(path));
    char* resolved = ::realpath(path.c_str(), nullptr);
    if (resolved == nullptr) return failed("resolve", path);
    std::string out(resolved);
    ::free(resolved);  // realpath gives malloc'ed memory
    return out;
  }

  Result<std::unique_ptr<File>> open_read(const std::string& path, Follow follow) override {
    return open_regular(path, O_RDONLY | (follow == Follow::no ? O_NOFOLLOW : 0));
  }
  Result<std::unique_ptr<File>> open_write(const std::string& path) override { return open_regular(path, O_RDWR | O_NOFOLLOW); }

  Result<std::unique_ptr<File>> create(const std::string& path, std::uint32_t mode) override {
    TRY(check(path));
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, static_cast<mode_t>(mode)));
    if (fd.get() < 0) return failed("create", path);
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  Status make_dir(const std::string& path, std::uint32_t mode) override {
    TRY(check(path));
    if (::mkdir(path.c_str(), static_cast<mode_t>(mode)) != 0) return failed("make folder", path);
    return {};
  }
  Status remove_dir(const std::string& path) override {
    TRY(check(path));
    if (::rmdir(path.c_str()) != 0) return failed("remove folder", path);
    return {};
  }
  Status unlink(const std::string& path) override {
    TRY(check(path));
    if (::unlink(path.c_str()) != 0) return failed("remove", path);
    return {};
  }
  Status rename(const std::string& from, const std::string& to) override {
    TRY(check(from));
    TRY(check(to));
    if (::rename(from.c_str(), to.c_str()) != 0) return failed(fmt::format("rename {} to", printable(from)), to);
    return {};
  }
  Status rename_new(const std::string& from, const std::string& to) override {
    TRY(check(from));
    TRY(check(to));
    auto renamed = native::rename_new(from, to);
    if (!renamed && renamed.error().code == Code::unsupported) return FileSystem::rename_new(from, to);
    return renamed;
  }
  Status exchange(const std::string& a, const std::string& b) override {
    TRY(check(a));
    TRY(check(b));
    return native::exchange(a, b);
  }
  Status hard_link(const std::string& from, const std::string& to) override {
    TRY(check(from));
    TRY(check(to));
    // Flag 0: a symlink itself gets the second name, on Linux and macOS alike (plain link() differs between them).
    if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0) != 0) return failed(fmt::format("hard link {} as", printable(from)), to);
    return {};
  }
  Status make_symlink(const std::string& text, const std::string& path) override {
    TRY(check(text));
    TRY(check(path));
    if (::symlink(text.c_str(), path.c_str()) != 0) return failed("make symlink", path);
    return {};
  }
  Status clone_file(const std::string& from, const std::string& to) override {
    TRY(check(from));
    TRY(check(to));
    return native::clone_file(from, to);
  }
  Result<DedupeOutcome> dedupe_range(File& source, std::uint64_t source_offset, File& target, std::uint64_t target_offset,
                                     std::uint64_t length) override {
    if (source.descriptor() < 0 || target.descriptor() < 0) return fail(Code::unsupported, "share extents: not a real file");
    return native::dedupe_range(source.descriptor(), source_offset, target.descriptor(), target_offset, length);
  }

  Result<Metadata> metadata(const std::string& path) override {
    const FileStat s = TRY(stat(path, Follow::no));
    Metadata m{.mode = s.mode, .uid = s.uid, .gid = s.gid, .atime_ns = s.atime_ns, .mtime_ns = s.mtime_ns, .flags = 0, .attributes = {}};
    m.attributes = TRY(native::attributes(-1, path));
    return m;
  }

  Result<std::vector<std::string>> set_link_metadata(const std::string& path, const Metadata& m) override {
    TRY(check(path));
    std::vector<std::string> unset;
    const FileStat now = TRY(stat(path, Follow::no));
    if ((now.uid != m.uid || now.gid != m.gid) && ::lchown(path.c_str(), m.uid, m.gid) != 0) unset.emplace_back("owner");
    const timespec times[2] = {to_timespec(m.atime_ns), to_timespec(m.mtime_ns)};
    if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) unset.emplace_back("times");
    return unset;
  }

  Status set_times(const std::string& path, std::int64_t atime_ns, std::int64_t mtime_ns) override {
    TRY(check(path));
    const timespec times[2] = {to_timespec(atime_ns), to_timespec(mtime_ns)};
    if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return failed("set the times of", path);
    return {};
  }

  Status sync_dir(const std::string& dir) override {
    TRY(check(dir));
    const Descriptor fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return failed("open folder", dir);
    return native::full_sync(fd.get(), dir);
  }

  Result<std::unique_ptr<Lock>> try_lock(const std::string& path, std::uint32_t mode) override {
    TRY(check(path));
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, static_cast<mode_t>(mode)));
    if (fd.get() < 0) return failed("open lock", path);
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return fail(Code::busy, fmt::format("lock {}: somebody else holds it", printable(path)), errno);
      return failed("lock", path);
    }
    return std::make_unique<FlockLock>(std::move(fd));
  }

  Result<std::unique_ptr<WriteGuard>> guard_against_writers(File& file, const std::string& path) override {
    return native::guard_against_writers(file.descriptor(), path);
  }

  Result<VolumeFacts> volume(const std::string& dir, bool probe) override;

 private:
  static Result<std::vector<DirEntry>> read_folder(const std::string& dir, bool with_stats) {
    TRY(check(dir));
    const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed("open folder", dir);
    DIR* stream = ::fdopendir(fd);
    if (stream == nullptr) {
      auto error = failed("read folder", dir);
      ::close(fd);
      return error;
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, &::closedir);
    std::vector<DirEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(stream);
      if (entry == nullptr) {
        if (errno != 0) return failed("read folder", dir);
        return entries;
      }
      const std::string_view name(entry->d_name);
      if (name == "." || name == "..") continue;
      DirEntry found{.name = std::string(name), .kind = kind_of_dirent(entry->d_type), .stat = {}};
      if (with_stats && found.kind != FileKind::directory) found.stat = native::stat_in(fd, entry->d_name);
      entries.push_back(std::move(found));
    }
  }

  static Result<std::unique_ptr<File>> open_regular(const std::string& path, int flags) {
    TRY(check(path));
    // O_NONBLOCK: opening a FIFO must not wait for a peer; it means nothing for regular files.
    Descriptor fd(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd.get() < 0) return failed("open", path);
    const FileStat s = TRY(native::stat_descriptor(fd.get()));
    if (s.kind != FileKind::regular) return fail(Code::invalid, fmt::format("open {}: it is a {}, not a regular file", printable(path), to_string(s.kind)));
    return std::make_unique<PosixFile>(std::move(fd), path);
  }
};

constexpr std::string_view kProbePrefix = ".mlxcache-probe-";  // <prefix><process>-<serial>

void remove_probe(const std::string& base) {
  for (const char* name : {"a", "A", "clone", "link", "symlink", "twin"}) ::unlink(path::join(base, name).c_str());
  ::rmdir(base.c_str());
}

/// Takes away what probes left in `dir` whose process was killed: tools would report such a folder in their store.
void sweep_probes(const std::string& dir) {
  DIR* stream = ::opendir(dir.c_str());
  if (stream == nullptr) return;
  std::vector<std::string> left;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kProbePrefix)) continue;
    pid_t process = 0;
    const auto digits = name.substr(kProbePrefix.size());
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), process);
    if (end.ec != std::errc{} || end.ptr == digits.data() + digits.size() || *end.ptr != '-' || process <= 0) continue;
    if (::kill(process, 0) == 0 || errno != ESRCH) continue;  // it lives, or may
    left.push_back(path::join(dir, name));
  }
  ::closedir(stream);
  for (const std::string& base : left) remove_probe(base);
}

Result<VolumeFacts> PosixFileSystem::volume(const std::string& dir, bool probe) {
  TRY(check(dir));
  struct statvfs v {};
  if (::statvfs(dir.c_str(), &v) != 0) return failed("look at the volume of", dir);
  VolumeFacts facts;
  facts.device = TRY(native::stat(dir, Follow::yes)).id.device;
  facts.total_bytes = static_cast<std::uint64_t>(v.f_blocks) * v.f_frsize;
  facts.free_bytes = static_cast<std::uint64_t>(v.f_bavail) * v.f_frsize;
  facts.block_bytes = v.f_frsize;
  facts.read_only = (v.f_flag & ST_RDONLY) != 0;
  native::describe_volume(dir, facts);
  if (!probe) return facts;
  if (facts.read_only) {
    facts.why_not_probed = "the volume is read-only";
    return facts;
  }

  sweep_probes(dir);
  static std::atomic<unsigned> counter{0};
  const std::string base = path::join(dir, fmt::format("{}{}-{}", kProbePrefix, ::getpid(), counter.fetch_add(1)));
  if (auto made = make_dir(base, 0700); !made) {
    facts.why_not_probed = made.error().message;
    return facts;
  }
  struct Cleaner {
    const std::string& base;
    ~Cleaner() { remove_probe(base); }
  } const cleaner{base};

  const std::string a = path::join(base, "a");
  const auto fill = [&](const std::string& name) -> Result<std::unique_ptr<File>> {
    auto file = TRY(create(name, 0600));
    const std::vector<std::byte> block(std::max<std::uint64_t>(facts.block_bytes, 65536), std::byte{0x5a});
    TRY(file->pwrite(0, block));
    return file;
  };
  auto first = fill(a);
  if (!first) {
    facts.why_not_probed = first.error().message;
    return facts;
  }
  facts.case_sensitive = !native::stat(path::join(base, "A"), Follow::no).has_value();
  facts.clone = clone_file(a, path::join(base, "clone")).has_value();
  facts.hard_links = hard_link(a, path::join(base, "link")).has_value();
  facts.symlinks = make_symlink("a", path::join(base, "symlink")).has_value();
  auto twin = fill(path::join(base, "twin"));
  if (twin) {
    const auto outcome = dedupe_range(**first, 0, **twin, 0, std::max<std::uint64_t>(facts.block_bytes, 65536));
    facts.dedupe = outcome.has_value() && outcome->bytes > 0;
    facts.exchange = exchange(a, path::join(base, "twin")).has_value();
  }
  return facts;
}

}  // namespace

FileSystem& real_file_system() {
  static PosixFileSystem fs;
  return fs;
}

}  // namespace mlxbase::os
