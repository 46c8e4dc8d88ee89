#include <libproc.h>
#include <sys/fcntl.h>
#include <sys/proc_info.h>
#include <unistd.h>

#include <algorithm>

#include "mlxbase/os/processes.h"

namespace mlxbase::os {
namespace {

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids(1024);
  while (true) {
    const int count = ::proc_listallpids(pids.data(), static_cast<int>(pids.size() * sizeof(pid_t)));
    if (count <= 0) return {};
    if (static_cast<std::size_t>(count) < pids.size()) {
      pids.resize(static_cast<std::size_t>(count));
      return pids;
    }
    pids.resize(pids.size() * 2);
  }
}

std::vector<proc_fdinfo> descriptors(pid_t pid) {
  const int size = ::proc_pidinfo(pid, PROC_PIDLISTFDS, 0, nullptr, 0);
  if (size <= 0) return {};  // gone, or not ours to look at
  std::vector<proc_fdinfo> fds(static_cast<std::size_t>(size) / sizeof(proc_fdinfo) + 16);  // some may be opened meanwhile
  const int got = ::proc_pidinfo(pid, PROC_PIDLISTFDS, 0, fds.data(), static_cast<int>(fds.size() * sizeof(proc_fdinfo)));
  fds.resize(got > 0 ? static_cast<std::size_t>(got) / sizeof(proc_fdinfo) : 0);
  return fds;
}

bool same(const vinfo_stat& s, FileId id) { return s.vst_dev == id.device && s.vst_ino == id.inode; }

/// A file may stay mapped after its descriptor was closed. A mapping that can be written counts as writing.
void look_at_mappings(pid_t pid, FileId id, bool& holds, bool& writing) {
  std::uint64_t address = 0;
  proc_regionwithpathinfo region{};
  while (::proc_pidinfo(pid, PROC_PIDREGIONPATHINFO, address, &region, sizeof region) == static_cast<int>(sizeof region)) {
    if (same(region.prp_vip.vip_vi.vi_stat, id)) {
      holds = true;
      constexpr std::uint32_t kWrite = 2;  // VM_PROT_WRITE
      if ((region.prp_prinfo.pri_protection & kWrite) != 0) writing = true;
    }
    const std::uint64_t next = region.prp_prinfo.pri_address + region.prp_prinfo.pri_size;
    if (next <= address) return;
    address = next;
  }
}

/// Processes that libproc finds by their descriptors or mappings; only these can have the file mapped.
std::vector<pid_t> found_by_path(const std::string& path) {
  std::vector<pid_t> pids(256);
  const int bytes = ::proc_listpidspath(PROC_ALL_PIDS, 0, path.c_str(), PROC_LISTPIDSPATH_EXCLUDE_EVTONLY, pids.data(),
                                        static_cast<int>(pids.size() * sizeof(pid_t)));
  pids.resize(bytes > 0 ? static_cast<std::size_t>(bytes) / sizeof(pid_t) : 0);
  return pids;
}

}  // namespace

std::vector<OpenBy> processes_holding(const std::string& path, FileId id) {
  std::vector<OpenBy> out;
  const std::vector<pid_t> by_path = found_by_path(path);
  for (const pid_t pid : all_processes()) {
    if (pid <= 0 || pid == ::getpid()) continue;
    bool holds = false;
    bool writing = false;
    for (const proc_fdinfo& fd : descriptors(pid)) {
      if (fd.proc_fdtype != PROX_FDTYPE_VNODE) continue;
      vnode_fdinfo info{};
      if (::proc_pidfdinfo(pid, fd.proc_fd, PROC_PIDFDVNODEINFO, &info, sizeof info) != static_cast<int>(sizeof info)) continue;
      if (!same(info.pvi.vi_stat, id)) continue;
      holds = true;
      if ((info.pfi.fi_openflags & FWRITE) != 0) writing = true;
    }
    if (std::find(by_path.begin(), by_path.end(), pid) != by_path.end()) look_at_mappings(pid, id, holds, writing);
    if (!holds) continue;
    char name[2 * MAXCOMLEN + 1] = {};
    ::proc_name(pid, name, sizeof name);
    out.push_back({.pid = pid, .program = name, .writing = writing});
  }
  return out;
}

std::vector<OpenBy> processes_writing(const std::string& path, FileId id) {
  auto all = processes_holding(path, id);
  std::erase_if(all, [](const OpenBy& p) { return !p.writing; });
  return all;
}

}  // namespace mlxbase::os
