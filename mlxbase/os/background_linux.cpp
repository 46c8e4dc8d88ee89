#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <array>
#include <cerrno>
#include <ctime>

#include "mlxbase/core/path.h"
#include "mlxbase/os/background.h"

namespace mlxbase::os {
namespace {

std::string first_word(FileSystem& fs, const std::string& file) {
  auto text = read_small_file(fs, file, 65'536);  // sysfs says 4096 for every file
  if (!text) return {};
  return text->substr(0, text->find_first_of(" \n\t"));
}

}  // namespace

Status work_in_background() {
  Status out;
  if (::setpriority(PRIO_PROCESS, 0, 19) != 0) out = fail(errno_error(errno, "lower the processor priority"));
  constexpr int kWhoProcess = 1;      // IOPRIO_WHO_PROCESS
  constexpr int kIdle = 3 << 13;      // IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)
  if (::syscall(SYS_ioprio_set, kWhoProcess, 0, kIdle) != 0) out = fail(errno_error(errno, "lower the disk priority"));
  return out;
}

std::int64_t process_cpu_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Documentation/ABI/testing/sysfs-class-power of the kernel: `type` is Mains, USB, Battery, UPS; `online` of the first two; `status` of batteries.
// A wireless mouse has a battery too: its `scope` is Device.
std::optional<bool> on_battery(FileSystem& fs, const std::string& root) {
  const std::string folder = path::join(root, "sys/class/power_supply");
  const auto supplies = fs.list(folder);
  if (!supplies) return std::nullopt;
  bool any_line = false;
  bool discharging = false;
  for (const auto& entry : *supplies) {
    const std::string supply = path::join(folder, entry.name);
    if (first_word(fs, path::join(supply, "scope")) == "Device") continue;
    const std::string type = first_word(fs, path::join(supply, "type"));
    if (type == "Mains" || type == "USB") {
      const std::string online = first_word(fs, path::join(supply, "online"));
      if (online == "1" || online == "2") return false;
      any_line = any_line || !online.empty();
    } else if (type == "Battery" || type == "UPS") {
      discharging = discharging || first_word(fs, path::join(supply, "status")) == "Discharging";
    }
  }
  if (discharging) return true;
  if (any_line) return true;  // a line that is not plugged in, and a battery that does not say
  return supplies->empty() ? std::optional<bool>(false) : std::nullopt;
}

Result<std::string> executable_path() {
  std::array<char, 4096> buffer{};
  const auto n = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (n < 0) return fail(errno_error(errno, "read /proc/self/exe"));
  if (static_cast<std::size_t>(n) == buffer.size()) return fail(Code::invalid, "the path of this program is too long");
  return std::string(buffer.data(), static_cast<std::size_t>(n));
}

void release_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

void pause_for(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const timespec t{.tv_sec = static_cast<time_t>(ns / kSecond), .tv_nsec = static_cast<long>(ns % kSecond)};
  if (ns > 0) ::nanosleep(&t, nullptr);
}

}  // namespace mlxbase::os
