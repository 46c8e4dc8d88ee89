#include <fcntl.h>
#include <fmt/format.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include "mlxbase/core/printable.h"
#include "mlxbase/os/folder_watch.h"

namespace mlxbase::os {
namespace {

// Each holds a descriptor, of which a process has 256 unless told otherwise; the rest is for the work.
constexpr std::size_t kMost = 160;

class Kqueue final : public FolderWatch {
 public:
  explicit Kqueue(std::size_t most) : queue_(::kqueue()), errno_(queue_ < 0 ? errno : 0), most_(most) {
    if (queue_ >= 0) (void)::fcntl(queue_, F_SETFD, FD_CLOEXEC);
  }
  ~Kqueue() override {
    for (const auto& [folder, fd] : descriptors_) ::close(fd);
    if (queue_ >= 0) ::close(queue_);
  }
  Kqueue(const Kqueue&) = delete;
  Kqueue& operator=(const Kqueue&) = delete;

  Status add(const std::string& folder) override {
    if (queue_ < 0) return fail(errno_error(errno_, "watch folders"));
    if (descriptors_.contains(folder)) return {};
    if (descriptors_.size() >= most_) return fail(Code::out_of_space, fmt::format("more than {} folders are not watched", most_));
    const int fd = ::open(folder.c_str(), O_EVTONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
      const int saved = errno;
      if (saved == EMFILE || saved == ENFILE) return fail(Code::out_of_space, "no more descriptors to watch folders with");
      return fail(errno_error(saved, fmt::format("watch {}", printable(folder))));
    }
    struct kevent change {};
    EV_SET(&change, static_cast<uintptr_t>(fd), EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE | NOTE_LINK | NOTE_EXTEND | NOTE_DELETE | NOTE_RENAME | NOTE_REVOKE, 0, nullptr);
    if (::kevent(queue_, &change, 1, nullptr, 0, nullptr) < 0) {
      const int saved = errno;
      ::close(fd);
      return fail(errno_error(saved, fmt::format("watch {}", printable(folder))));
    }
    descriptors_[folder] = fd;
    folders_[fd] = folder;
    return {};
  }
  bool watches(const std::string& folder) const override { return descriptors_.contains(folder); }
  std::size_t size() const override { return descriptors_.size(); }

  Result<FolderChanges> wait(std::int64_t timeout_ns, const Cancel& cancel) override {
    FolderChanges out;
    if (!wait_readable(queue_, timeout_ns, cancel)) return out;
    std::array<struct kevent, 64> events{};
    const timespec at_once{};
    for (;;) {
      const int n = ::kevent(queue_, nullptr, 0, events.data(), static_cast<int>(events.size()), &at_once);
      if (n <= 0) break;
      for (int i = 0; i < n; ++i) {
        const auto& event = events[static_cast<std::size_t>(i)];
        const auto folder = folders_.find(static_cast<int>(event.ident));
        if (folder == folders_.end()) continue;
        const bool told = std::any_of(out.changes.begin(), out.changes.end(), [&](const FolderChange& c) { return c.folder == folder->second; });
        if (!told) out.changes.push_back({folder->second, {}});
        if ((event.fflags & (NOTE_DELETE | NOTE_RENAME | NOTE_REVOKE)) != 0) {
          ::close(folder->first);
          descriptors_.erase(folder->second);
          folders_.erase(folder);
        }
      }
      if (n < static_cast<int>(events.size())) break;
    }
    return out;
  }

 private:
  int queue_;
  int errno_;
  std::size_t most_;
  std::map<std::string, int> descriptors_;
  std::map<int, std::string> folders_;
};

}  // namespace

std::unique_ptr<FolderWatch> watch_folders(std::size_t most) { return std::make_unique<Kqueue>(most != 0 ? most : kMost); }

}  // namespace mlxbase::os
