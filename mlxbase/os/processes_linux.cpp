#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "mlxbase/os/processes.h"

namespace mlxbase::os {
namespace {

/// The octal `flags:` line of /proc/<pid>/fdinfo/<fd> holds the access mode.
bool opened_for_writing(const std::string& process, const char* fd) {
  std::ifstream info(fmt::format("{}/fdinfo/{}", process, fd));
  std::string word;
  while (info >> word) {
    if (word != "flags:") continue;
    info >> word;
    const long flags = std::strtol(word.c_str(), nullptr, 8);
    return (flags & O_ACCMODE) != O_RDONLY;
  }
  return false;
}

/// A file may stay mapped after its descriptor was closed. A mapping that is shared and can be written is a writer.
void look_at_mappings(const std::string& process, FileId id, bool& holds, bool& writing) {
  std::ifstream maps(process + "/maps");
  std::string line;
  while (std::getline(maps, line)) {
    // 7f1c-7f1d rw-s 00000000 fe:01 1234    /path
    std::istringstream words(line);
    std::string range, rights, offset, device, path;
    std::uint64_t inode = 0;
    if (!(words >> range >> rights >> offset >> device >> inode) || inode != id.inode) continue;
    // Btrfs has another device number here than stat gives, so the name decides there.
    std::getline(words >> std::ws, path);
    const auto colon = device.find(':');
    const auto number = makedev(std::strtoul(device.c_str(), nullptr, 16), std::strtoul(device.c_str() + colon + 1, nullptr, 16));
    struct stat s {};
    if (number != id.device && (::stat(path.c_str(), &s) != 0 || s.st_dev != id.device || s.st_ino != id.inode)) continue;
    holds = true;
    if (rights.size() >= 4 && rights[1] == 'w' && rights[3] == 's') writing = true;
  }
}

}  // namespace

std::vector<OpenBy> processes_holding(const std::string&, FileId id) {
  std::vector<OpenBy> out;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return out;
  const auto self = static_cast<long>(::getpid());
  while (const dirent* entry = ::readdir(proc)) {
    char* end = nullptr;
    const long pid = std::strtol(entry->d_name, &end, 10);
    if (*end != '\0' || pid <= 0 || pid == self) continue;
    const std::string process = fmt::format("/proc/{}", pid);
    DIR* fds = ::opendir((process + "/fd").c_str());
    if (fds == nullptr) continue;
    OpenBy found{.pid = pid, .program = {}, .writing = false};
    bool holds = false;
    while (const dirent* fd = ::readdir(fds)) {
      struct stat s {};
      if (fd->d_name[0] == '.' || ::fstatat(::dirfd(fds), fd->d_name, &s, 0) != 0) continue;
      if (s.st_dev != id.device || s.st_ino != id.inode) continue;
      holds = true;
      if (opened_for_writing(process, fd->d_name)) found.writing = true;
    }
    ::closedir(fds);
    look_at_mappings(process, id, holds, found.writing);
    if (!holds) continue;
    std::ifstream(process + "/comm") >> found.program;
    out.push_back(std::move(found));
  }
  ::closedir(proc);
  return out;
}

std::vector<OpenBy> processes_writing(const std::string& path, FileId id) {
  auto all = processes_holding(path, id);
  std::erase_if(all, [](const OpenBy& p) { return !p.writing; });
  return all;
}

}  // namespace mlxbase::os
