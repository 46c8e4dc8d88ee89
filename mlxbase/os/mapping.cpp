#include "mlxbase/os/mapping.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>
#include <utility>

#include "mlxbase/core/printable.h"

namespace mlxbase::os {

namespace {

/// What the handler may touch: no locks, no memory from the heap.
struct Guarded {
  std::atomic<std::uintptr_t> begin{0}, end{0};  // end 0: free
  std::atomic<bool> taken{false}, damaged{false};
};
constinit std::array<Guarded, 4096> g_guarded;
std::uintptr_t g_page = 4096;  // set before the handler is

void on_bus_error(int signal, siginfo_t* info, void*) {
  const int kept = errno;
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Guarded& guarded : g_guarded) {
    if (at < guarded.begin.load() || at >= guarded.end.load()) continue;
    guarded.damaged.store(true);
    void* const page = reinterpret_cast<void*>(at / g_page * g_page);
    if (::mmap(page, g_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
      errno = kept;
      return;  // the instruction runs again, and reads zeros
    }
  }
  ::signal(signal, SIG_DFL);  // not ours: it runs again, and ends the process
  errno = kept;
}

/// -1: the table is full, or the handler could not be installed; then a shortened file ends the process.
int guard(const void* data, std::size_t size) {
  static const bool installed = [] {
    g_page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  if (!installed) return -1;
  for (std::size_t i = 0; i < g_guarded.size(); ++i) {
    Guarded& guarded = g_guarded[i];
    if (guarded.taken.exchange(true)) continue;
    guarded.damaged.store(false);
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    guarded.begin.store(begin);
    guarded.end.store(begin + size);
    return static_cast<int>(i);
  }
  return -1;
}
void unguard(int place) {
  if (place < 0) return;
  Guarded& guarded = g_guarded[static_cast<std::size_t>(place)];
  guarded.end.store(0);
  guarded.taken.store(false);
}

}  // namespace

bool Mapping::damaged() const { return guard_ >= 0 && g_guarded[static_cast<std::size_t>(guard_)].damaged.load(); }

Result<Mapping> Mapping::of(File& file, const std::string& path) {
  const FileStat stat = TRY(file.stat());
  Mapping made;
  made.size_ = static_cast<std::size_t>(stat.size);
  if (made.size_ == 0) return made;
  if (file.descriptor() >= 0) {
    void* const at = ::mmap(nullptr, made.size_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
    if (at == MAP_FAILED) return fail(errno_error(errno, fmt::format("map {}", printable(path))));
    made.data_ = static_cast<const std::byte*>(at);
    made.mapped_ = true;
    made.guard_ = guard(at, made.size_);
    return made;
  }
  auto* const copy = new (std::nothrow) std::byte[made.size_];
  if (copy == nullptr) return fail(Code::out_of_memory, fmt::format("read {}: {} bytes of memory are not to be had", printable(path), made.size_));
  made.data_ = copy;
  const std::size_t read = TRY(file.pread(0, std::span(copy, made.size_)));
  if (read != made.size_) return fail(Code::changed, fmt::format("read {}: it became shorter meanwhile", printable(path)));
  return made;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), mapped_(std::exchange(other.mapped_, false)), guard_(std::exchange(other.guard_, -1)) {}
Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  std::swap(guard_, other.guard_);
  return *this;
}
Mapping::~Mapping() {
  if (data_ == nullptr) return;
  if (mapped_) {
    unguard(guard_);
    ::munmap(const_cast<std::byte*>(data_), size_);
  } else {
    delete[] data_;
  }
}

}  // namespace mlxbase::os
