#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/os/folder_watch.h"
#include "mlxbase/os/fuse_answers.h"
#include "mlxbase/os/user_mount.h"

extern char** environ;

namespace mlxbase::os {
namespace {

constexpr std::string_view kHelper = "fusermount3";
constexpr std::int64_t kForever = 3600'000'000'000;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

/// As /proc/self/mountinfo writes paths: space, tab, newline and backslash as three octal digits.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t k) { return i + k < text.size() && text[i + k] >= '0' && text[i + k] <= '7'; };
    if (text[i] == '\\' && digit(1) && digit(2) && digit(3)) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

/// The kernel says that it is empty, so it is read until nothing comes.
std::string mount_table() {
  const Descriptor file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  std::string text;
  char piece[8192];
  for (;;) {
    const ssize_t got = file.get() < 0 ? 0 : ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
  }
}

/// The type of the topmost file system that is mounted at exactly `dir`; empty if none is.
std::string mounted_type(const std::string& dir) {
  const std::string text = mount_table();
  std::string type;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    // id parent major:minor root MOUNT-POINT options … - TYPE source options
    std::size_t from = 0;
    for (int field = 0; field < 4 && from != std::string_view::npos; ++field) from = line.find(' ', from) == std::string_view::npos ? std::string_view::npos : line.find(' ', from) + 1;
    if (from == std::string_view::npos) continue;
    const std::string_view point = line.substr(from, line.find(' ', from) - from);
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos || unescaped(point) != dir) continue;
    type = std::string(line.substr(dash + 3, line.find(' ', dash + 3) - dash - 3));
  }
  return type;
}

/// Runs the helper; its words go to our standard error only if `loud`. Errors: unsupported (there is none), io (it says why).
Status run_helper(const std::vector<std::string>& arguments, int comm, bool loud) {
  std::vector<std::string> words{std::string(kHelper)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables;
  for (char** e = environ; *e != nullptr; ++e) {
    if (!std::string_view(*e).starts_with("_FUSE_COMMFD=")) variables.emplace_back(*e);
  }
  if (comm >= 0) variables.push_back(fmt::format("_FUSE_COMMFD={}", comm));
  std::vector<char*> envp;
  for (std::string& v : variables) envp.push_back(v.data());
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (!loud) ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int made = ::posix_spawnp(&pid, words.front().c_str(), &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (made == ENOENT) {
    return fail(Code::unsupported, "mounting without root takes the program fusermount3 (Debian, Ubuntu: apt install fuse3; Fedora: dnf install fuse3)");
  }
  if (made != 0) return fail(errno_error(made, "start fusermount3"));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail(errno_error(errno, "wait for fusermount3"));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return fail(Code::io, "fusermount3 refused");
  return {};
}

/// The descriptor that the helper sends.
Result<Descriptor> receive_descriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = -1;
  do got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return fail(errno_error(errno, "hear from fusermount3"));
  const cmsghdr* c = CMSG_FIRSTHDR(&message);
  if (got == 0 || c == nullptr || c->cmsg_type != SCM_RIGHTS) return fail(Code::io, "fusermount3 mounted nothing");
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return Descriptor(fd);
}

Result<Descriptor> mount_by_helper(const std::string& dir, const MountSettings& settings) {
  int pair[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return fail(errno_error(errno, "make a socket for fusermount3"));
  const Descriptor theirs(pair[0]);
  const Descriptor ours(pair[1]);
  (void)::fcntl(ours.get(), F_SETFD, FD_CLOEXEC);
  const std::string options = fmt::format("ro,nosuid,nodev,default_permissions,subtype={0},fsname={0}{1}", settings.name, settings.for_all_users ? ",allow_other" : "");
  if (auto done = run_helper({"-o", options, "--", dir}, theirs.get(), true); !done) {
    if (done.error().code == Code::unsupported) return fail(done.error());
    return fail(Code::permission, fmt::format("fusermount3 could not mount at {} (its reason stands above)", printable(dir)));
  }
  return receive_descriptor(ours.get());
}

Result<Descriptor> mount_as_root(const std::string& dir, const MountSettings& settings) {
  Descriptor device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device.get() < 0) {
    const int saved = errno;
    if (saved == ENOENT || saved == ENODEV || saved == ENXIO) {
      return fail(Code::unsupported, "this kernel or container has no /dev/fuse ('modprobe fuse'; Docker: --device /dev/fuse --cap-add SYS_ADMIN)", saved);
    }
    if (saved == EPERM || saved == EACCES) return fail(Code::permission, "this process may not open /dev/fuse (Docker: --device /dev/fuse --cap-add SYS_ADMIN)", saved);
    return fail(errno_error(saved, "open /dev/fuse"));
  }
  const std::string options = fmt::format("fd={},rootmode=40000,user_id={},group_id={},default_permissions{}", device.get(), ::getuid(), ::getgid(), settings.for_all_users ? ",allow_other" : "");
  if (::mount(settings.name.c_str(), dir.c_str(), ("fuse." + settings.name).c_str(), MS_RDONLY | MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    const int saved = errno;
    if (saved == EPERM) return fail(Code::permission, "this process may not mount (Docker: --device /dev/fuse --cap-add SYS_ADMIN)", saved);
    if (saved == ENODEV) return fail(Code::unsupported, "this kernel has no FUSE ('modprobe fuse')", saved);
    return fail(errno_error(saved, fmt::format("mount at {}", printable(dir))));
  }
  return device;
}

/// Busy: files of it are open. `lazily` the name goes at once and the rest when they are closed.
Status unmount(const std::string& dir, bool lazily) {
  if (::geteuid() == 0) {
    if (::umount2(dir.c_str(), UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)) == 0) return {};
    const int saved = errno;
    if (saved == EBUSY) return fail(Code::busy, "files of it are open", saved);
    return fail(errno_error(saved, fmt::format("unmount {}", printable(dir))));
  }
  std::vector<std::string> words{"-u", "-q"};
  if (lazily) words.emplace_back("-z");
  words.emplace_back("--");
  words.push_back(dir);
  auto done = run_helper(words, -1, false);
  if (!done && done.error().code == Code::io) return fail(Code::busy, "files of it are open, or it is not yours");
  return done;
}

class FuseMount final : public UserMount {
 public:
  FuseMount(FileTree& tree, std::string dir, const MountSettings& settings, Descriptor device)
      : tree_(tree), dir_(std::move(dir)), settings_(settings), device_(std::move(device)), answers_(tree, ::getuid(), ::getgid()) {}
  ~FuseMount() override {
    if (!served_) (void)unmount(dir_, true);
  }
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;

  Status serve(const Cancel& cancel, const std::function<void()>& still_used) override;

 private:
  void work();
  void read_ahead_further();

  FileTree& tree_;
  std::string dir_;
  MountSettings settings_;
  Descriptor device_;
  FuseAnswers answers_;
  std::atomic<unsigned> ahead_{0};      // workers that make ready what nobody asked for yet
  std::atomic<bool> over_{false};       // unmounted
  bool served_ = false;
};

void FuseMount::work() {
  std::vector<std::byte> question(FuseAnswers::kRequestBytes);
  FuseAnswers::Room room;
  while (!over_.load()) {
    const ssize_t got = ::read(device_.get(), question.data(), question.size());
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN || errno == ENOENT) continue;  // ENOENT: it was withdrawn
      over_.store(true);                                                   // ENODEV: unmounted
      return;
    }
    const auto answer = answers_.answer(std::span<const std::byte>(question).first(static_cast<std::size_t>(got)), room);
    if (!answer.empty()) {
      // ENOENT: who asked has gone.
      while (::write(device_.get(), answer.data(), answer.size()) < 0 && errno == EINTR) {
      }
    }
    if (room.ahead.file == 0) continue;
    if (ahead_.fetch_add(1) + 2 <= settings_.threads) tree_.expect(room.ahead.file, room.ahead.offset, room.ahead.length);  // somebody always listens
    ahead_.fetch_sub(1);
  }
}

/// The kernel reads 128 KiB ahead unless told more; only root may tell it.
void FuseMount::read_ahead_further() {
  struct stat at {};
  if (::geteuid() != 0 || ::stat(dir_.c_str(), &at) != 0) return;
  const Descriptor file(::open(fmt::format("/sys/class/bdi/{}:{}/read_ahead_kb", major(at.st_dev), minor(at.st_dev)).c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() >= 0) (void)!::write(file.get(), "1024", 4);
}

Status FuseMount::serve(const Cancel& cancel, const std::function<void()>& still_used) {
  served_ = true;
  // Signals are for the thread that waits below.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  int pipe_ends[2] = {-1, -1};
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) {
    const int saved = errno;
    (void)unmount(dir_, true);
    return fail(errno_error(saved, "make a pipe"));
  }
  const Descriptor hear(pipe_ends[0]);
  auto tell = std::make_shared<Descriptor>(pipe_ends[1]);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < std::max(2U, settings_.threads); ++i) {
    workers.emplace_back([this, own = tell]() mutable {
      work();
      own.reset();
    });
  }
  tell.reset();
  std::thread([this] { read_ahead_further(); }).join();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);

  Status status;
  while (!over_.load() && !cancel.requested()) (void)wait_readable(hear.get(), kForever, cancel);
  if (!over_.load()) {
    auto gone = unmount(dir_, false);
    if (!gone) {
      gone = unmount(dir_, true);
      if (still_used) still_used();
    }
    if (!gone) status = std::move(gone);  // served on, since who reads would wait for ever
  }
  for (auto& w : workers) w.join();
  return status;
}

bool is_empty(const std::string& dir) {
  const auto names = real_file_system().list(dir);
  return names && names->empty();
}

}  // namespace

Result<std::unique_ptr<UserMount>> UserMount::begin(FileTree& tree, const std::string& dir, const MountSettings& settings) {
  struct stat at {};
  if (::stat(dir.c_str(), &at) != 0) {
    const int saved = errno;
    if (saved != ENOTCONN) return fail(errno_error(saved, fmt::format("mount at {}", printable(dir))));
    if (auto gone = take_away_mount(dir, settings.name); !gone) {
      return fail(Code::busy, fmt::format("{} is the mount of a program that is gone, and cannot be taken away: {}", printable(dir), gone.error().message));
    }
    if (::stat(dir.c_str(), &at) != 0) return fail(errno_error(errno, fmt::format("mount at {}", printable(dir))));
  }
  const std::string real = TRY(real_file_system().real_path(dir));
  if (!S_ISDIR(at.st_mode)) return fail(Code::invalid, fmt::format("{} is no folder", printable(dir)));
  if (mounted_type(real) == "fuse." + settings.name) return fail(Code::busy, fmt::format("frozen models are mounted at {} already", printable(dir)));
  if (!is_empty(real)) return fail(Code::invalid, fmt::format("{} is not empty: what lies in it would be hidden", printable(dir)));
  Descriptor device;
  if (::geteuid() == 0) {
    device = TRY(mount_as_root(real, settings));
  } else {
    device = TRY(mount_by_helper(real, settings));
  }
  return std::unique_ptr<UserMount>(std::make_unique<FuseMount>(tree, real, settings, std::move(device)));
}

Status take_away_mount(const std::string& dir, const std::string& name) {
  std::string real = dir;
  if (const auto resolved = real_file_system().real_path(dir)) real = *resolved;  // not where its process is gone
  if (mounted_type(real) != "fuse." + name) return fail(Code::not_found, fmt::format("nothing of ours is mounted at {}", printable(dir)));
  return unmount(real, true);
}

}  // namespace mlxbase::os
