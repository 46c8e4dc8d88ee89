#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "mlxbase/core/printable.h"
#include "mlxbase/os/folder_watch.h"

namespace mlxbase::os {
namespace {

// Each costs the kernel about a kilobyte, and a person's editor and file manager want some of the user's (8192 on small machines) too.
constexpr std::size_t kMost = 4096;

class Inotify final : public FolderWatch {
 public:
  explicit Inotify(std::size_t most) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), errno_(fd_ < 0 ? errno : 0), most_(most) {}
  ~Inotify() override {
    if (fd_ >= 0) ::close(fd_);
  }
  Inotify(const Inotify&) = delete;
  Inotify& operator=(const Inotify&) = delete;

  Status add(const std::string& folder) override {
    if (fd_ < 0) return fail(errno_error(errno_, "watch folders"));
    if (numbers_.contains(folder)) return {};
    if (numbers_.size() >= most_) return fail(Code::out_of_space, fmt::format("more than {} folders are not watched", most_));
    // Not IN_MODIFY: a download writes thousands of times before it is worth a look.
    const int number = ::inotify_add_watch(fd_, folder.c_str(), IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
    if (number < 0) return fail(errno_error(errno, fmt::format("watch {}", printable(folder))));
    // A folder reached by two names has one number; the later name stands for it.
    if (const auto known = folders_.find(number); known != folders_.end()) numbers_.erase(known->second);
    folders_[number] = folder;
    numbers_[folder] = number;
    return {};
  }
  bool watches(const std::string& folder) const override { return numbers_.contains(folder); }
  std::size_t size() const override { return numbers_.size(); }

  Result<FolderChanges> wait(std::int64_t timeout_ns, const Cancel& cancel) override {
    FolderChanges out;
    if (!wait_readable(fd_, timeout_ns, cancel)) return out;
    std::set<std::pair<std::string, std::string>> told;
    alignas(inotify_event) std::array<char, 16'384> buffer;
    for (;;) {
      const auto n = ::read(fd_, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(n);) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const char* name = buffer.data() + at + sizeof event;
        at += sizeof event + event.len;
        if ((event.mask & IN_Q_OVERFLOW) != 0) out.lost = true;
        const auto folder = folders_.find(event.wd);
        if (folder == folders_.end()) continue;
        std::string what = event.len > 0 ? std::string(name) : std::string();
        if (told.size() < kMost && told.emplace(folder->second, what).second) out.changes.push_back({folder->second, std::move(what)});
        if (told.size() >= kMost) out.lost = true;
        if ((event.mask & (IN_IGNORED | IN_MOVE_SELF)) != 0) {
          if ((event.mask & IN_IGNORED) == 0) ::inotify_rm_watch(fd_, event.wd);  // its path is another now
          numbers_.erase(folder->second);
          folders_.erase(folder);
        }
      }
    }
    return out;
  }

 private:
  int fd_;
  int errno_;
  std::size_t most_;
  std::map<int, std::string> folders_;
  std::map<std::string, int> numbers_;
};

}  // namespace

std::unique_ptr<FolderWatch> watch_folders(std::size_t most) { return std::make_unique<Inotify>(most != 0 ? most : kMost); }

}  // namespace mlxbase::os
