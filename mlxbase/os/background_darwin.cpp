#include <dlfcn.h>
#include <mach-o/dyld.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "mlxbase/os/background.h"

namespace mlxbase::os {

Status work_in_background() {
  Status out;
  // PRIO_DARWIN_BG lowers the processor's and the disk's priority together.
  if (::setpriority(PRIO_DARWIN_PROCESS, 0, PRIO_DARWIN_BG) != 0) out = fail(errno_error(errno, "move to the background"));
  return out;
}

std::int64_t process_cpu_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// IOKit/ps/IOPowerSources.h: IOPSGetTimeRemainingEstimate() is -2.0 (kIOPSTimeRemainingUnlimited) while the power is not limited, -1.0 while it is
// and the time is not known. Looked up at run time, so that nothing else needs the framework.
std::optional<bool> on_battery(FileSystem&, const std::string&) {
  void* library = ::dlopen("/System/Library/Frameworks/IOKit.framework/IOKit", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return std::nullopt;
  using Estimate = double (*)();
  const auto estimate = reinterpret_cast<Estimate>(::dlsym(library, "IOPSGetTimeRemainingEstimate"));
  std::optional<bool> out;
  if (estimate != nullptr) out = estimate() > -1.5;
  ::dlclose(library);
  return out;
}

Result<std::string> executable_path() {
  std::array<char, 4096> buffer{};
  auto size = static_cast<std::uint32_t>(buffer.size());
  if (::_NSGetExecutablePath(buffer.data(), &size) != 0) return fail(Code::invalid, "the path of this program is too long");
  char* real = ::realpath(buffer.data(), nullptr);
  if (real == nullptr) return fail(errno_error(errno, "find this program"));
  std::string out(real);
  std::free(real);
  return out;
}

void release_memory() {}

void pause_for(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  timespec t{};
  t.tv_sec = static_cast<time_t>(ns / kSecond);
  t.tv_nsec = static_cast<long>(ns % kSecond);
  if (ns > 0) ::nanosleep(&t, nullptr);
}

}  // namespace mlxbase::os
