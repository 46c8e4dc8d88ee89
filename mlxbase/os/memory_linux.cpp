#include "mlxbase/os/memory.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mlxbase::os {
namespace {

std::optional<std::string> read(FileSystem& fs, const std::string& path) {
  // Files of the kernel say that they have no size.
  auto file = fs.open_read(path, Follow::yes);
  if (!file) return std::nullopt;
  std::string text(std::size_t{64} << 10U, '\0');
  const auto n = (*file)->pread(0, std::as_writable_bytes(std::span(text)));
  if (!n) return std::nullopt;
  text.resize(*n);
  return text;
}
/// The number behind `name` at the start of a line.
std::optional<std::uint64_t> value_of(std::string_view text, std::string_view name) {
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(name)) return std::strtoull(std::string(line.substr(name.size())).c_str(), nullptr, 10);
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace

Result<MachineMemory> machine_memory(FileSystem& fs) {
  const auto info = read(fs, "/proc/meminfo");
  if (!info) return fail(Code::unsupported, "/proc/meminfo cannot be read");
  const auto total = value_of(*info, "MemTotal:"), available = value_of(*info, "MemAvailable:");
  if (!total || !available) return fail(Code::corrupt, "/proc/meminfo does not say what is available");
  MachineMemory memory{.total = *total * 1024, .available = *available * 1024};
  // Version 2 of control groups; in a container its own group is the root that it sees.
  const auto most = read(fs, "/sys/fs/cgroup/memory.max"), now = read(fs, "/sys/fs/cgroup/memory.current"), stat = read(fs, "/sys/fs/cgroup/memory.stat");
  if (most && now && !most->starts_with("max")) {
    const std::uint64_t limit = std::strtoull(most->c_str(), nullptr, 10), used = std::strtoull(now->c_str(), nullptr, 10);
    const std::uint64_t files = stat ? value_of(*stat, "inactive_file ").value_or(0) + value_of(*stat, "active_file ").value_or(0) : 0;
    const std::uint64_t held = used > files ? used - files : 0;
    memory.total = std::min(memory.total, limit);
    memory.available = std::min(memory.available, limit > held ? limit - held : 0);
  }
  return memory;
}

}  // namespace mlxbase::os
