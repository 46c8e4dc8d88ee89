#include "mlxdash/collect/processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/text.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;
namespace os = mlxbase::os;
using mlxbase::Code;
using mlxbase::Result;
using mlxbase::Status;

/// "0100007F:1F90": the kernel prints each 32-bit word of the address in the machine's own order (little-endian, here and on arm64).
std::optional<Listener> address_of(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view address = text.substr(0, colon);
  const auto port = to_integer<std::uint16_t>(text.substr(colon + 1), 16);
  if (!port) return std::nullopt;
  std::vector<unsigned> bytes;
  if (address.size() % 8 != 0 || address.empty()) return std::nullopt;
  for (std::size_t word = 0; word < address.size(); word += 8) {
    for (std::size_t i = 8; i > 0; i -= 2) {
      const auto byte = to_integer<unsigned>(address.substr(word + i - 2, 2), 16);
      if (!byte) return std::nullopt;
      bytes.push_back(*byte);
    }
  }
  Listener listener;
  listener.port = *port;
  const bool none = std::ranges::all_of(bytes, [](unsigned b) { return b == 0; });
  if (bytes.size() == 4) {
    listener.host = none ? "127.0.0.1" : fmt::format("{}.{}.{}.{}", bytes[0], bytes[1], bytes[2], bytes[3]);
    return listener;
  }
  if (bytes.size() != 16) return std::nullopt;
  const bool mapped = std::all_of(bytes.begin(), bytes.begin() + 10, [](unsigned b) { return b == 0; }) && bytes[10] == 0xFF && bytes[11] == 0xFF;
  if (none) {
    listener.host = "127.0.0.1";  // bound to all, IPv4 too unless told otherwise
  } else if (mapped) {
    listener.host = fmt::format("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
  } else {
    for (std::size_t i = 0; i < 16; i += 2) {
      if (i > 0) listener.host += ':';
      listener.host += fmt::format("{:x}", bytes[i] << 8U | bytes[i + 1]);
    }
  }
  return listener;
}

}  // namespace

std::string ProcessTable::at(std::int64_t pid, std::string_view file) const { return fmt::format("{}/{}/{}", path::join(root_, "proc"), pid, file); }

std::optional<Running> ProcessTable::read(std::int64_t pid) const {
  const auto text = read_kernel_file(fs_, at(pid, "stat"), 4096);
  if (!text) return std::nullopt;
  // The name stands in parentheses and may hold any byte, also ')': what counts is the last one.
  const auto open = text->find('(');
  const auto close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  Running running;
  running.pid = pid;
  running.name = text->substr(open + 1, close - open - 1);
  std::string_view rest = std::string_view(*text).substr(close + 1);
  // Fields count from 3 (state) here: ppid is 4, utime 14, stime 15, starttime 22.
  for (int field = 3; field <= 22; ++field) {
    const std::string_view word = trimmed(take_word(rest));
    if (word.empty()) return std::nullopt;
    if (field == 4) running.parent = to_integer<std::int64_t>(word).value_or(0);
    if (field == 14 || field == 15) running.cpu_ticks += to_integer(word).value_or(0);
    if (field == 22) running.started = to_integer(word).value_or(0);
  }
  return running;
}

Status ProcessTable::refresh() {
  const auto entries = TRY(fs_.list(path::join(root_, "proc")));
  all_.clear();
  for (const auto& entry : entries) {
    const auto pid = to_integer<std::int64_t>(entry.name);
    if (!pid) continue;
    if (auto running = read(*pid)) all_.emplace(*pid, std::move(*running));
  }
  return {};
}

std::vector<std::int64_t> ProcessTable::family(std::int64_t pid) const {
  std::vector<std::int64_t> out{pid};
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (const auto& [other, running] : all_) {
      if (running.parent == out[i] && std::ranges::find(out, other) == out.end()) out.push_back(other);
    }
  }
  return out;
}

std::string ProcessTable::command_line(std::int64_t pid) const {
  auto text = read_kernel_file(fs_, at(pid, "cmdline"), std::size_t{1} << 20U);
  if (!text) return {};
  if (text->size() > 4096) text->resize(4096);
  std::ranges::replace(*text, '\0', ' ');
  return *text;
}

ProcessTable::Memory ProcessTable::memory(std::int64_t pid) const {
  Memory m{.resident = Absent::gone, .anonymous = Absent::gone, .file = Absent::gone};
  const auto text = read_kernel_file(fs_, at(pid, "status"), 65536);
  if (!text) return m;
  m = {.resident = Absent::not_supported, .anonymous = Absent::not_supported, .file = Absent::not_supported};
  std::string_view rest = *text;
  std::string_view line;
  while (take_line(rest, line)) {
    std::string_view words = line;
    const std::size_t colon = words.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = words.substr(0, colon);
    auto* into = name == "VmRSS" ? &m.resident : name == "RssAnon" ? &m.anonymous : name == "RssFile" ? &m.file : nullptr;
    if (into == nullptr) continue;
    words.remove_prefix(colon + 1);
    if (const auto kb = to_integer(take_word(words))) *into = *kb * 1024;
  }
  return m;
}

Process ProcessTable::measure(std::int64_t pid) const {
  Process process;
  process.pid = pid;
  if (const auto known = all_.find(pid); known != all_.end()) {
    process.name = known->second.name;
    process.started = known->second.started;
  }
  const auto add = [](Reading<std::uint64_t>& sum, const Reading<std::uint64_t>& more, bool first) {
    if (first) {
      sum = more;
    } else if (sum && more) {
      *sum += *more;
    }
  };
  bool first = true;
  for (const auto member : family(pid)) {
    const Memory m = memory(member);
    add(process.resident, m.resident, first);
    add(process.anonymous, m.anonymous, first);
    add(process.file, m.file, first);
    first = false;
  }
  return process;
}

std::uint64_t ProcessTable::family_ticks(std::int64_t pid) const {
  std::uint64_t ticks = 0;
  for (const auto member : family(pid)) {
    if (const auto running = read(member)) ticks += running->cpu_ticks;
  }
  return ticks;
}

Result<std::vector<Listener>> ProcessTable::listeners() const {
  std::vector<Listener> out;
  bool any = false;
  for (const char* file : {"proc/net/tcp", "proc/net/tcp6"}) {
    const auto text = read_kernel_file(fs_, path::join(root_, file), std::size_t{16} << 20U);
    if (!text) continue;
    any = true;
    std::string_view rest = *text;
    std::string_view line;
    take_line(rest, line);  // headings
    while (take_line(rest, line)) {
      std::vector<std::string_view> words;
      for (std::string_view word = take_word(line); !word.empty() && words.size() < 10; word = take_word(line)) words.push_back(word);
      if (words.size() < 10 || words[3] != "0A") continue;
      auto listener = address_of(words[1]);
      if (!listener) continue;
      listener->socket = to_integer(words[9]).value_or(0);
      out.push_back(std::move(*listener));
    }
  }
  if (!any) return mlxbase::fail(Code::not_found, "no /proc/net/tcp");
  // Whose they are: each process's descriptors, as far as this user may see them.
  std::unordered_map<std::uint64_t, std::int64_t> owners;
  std::set<std::uint64_t> wanted;
  for (const Listener& listener : out) wanted.insert(listener.socket);
  for (const auto& [pid, running] : all_) {
    if (owners.size() == wanted.size()) break;
    const std::string folder = at(pid, "fd");
    const auto fds = fs_.list(folder);
    if (!fds) continue;
    for (const auto& fd : *fds) {
      const auto target = fs_.read_link(path::join(folder, fd.name));
      if (!target || !target->starts_with("socket:[")) continue;
      const auto inode = to_integer(std::string_view(*target).substr(8, target->size() - 9));
      // A child inherits the socket: the oldest holder, which is seen first where pids grow, is the server.
      if (inode && wanted.contains(*inode)) owners.emplace(*inode, pid);
    }
  }
  for (Listener& listener : out) {
    if (const auto owner = owners.find(listener.socket); owner != owners.end()) listener.pid = owner->second;
  }
  return out;
}

}  // namespace mlxdash::collect
