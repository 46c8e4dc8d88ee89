#include <mach/mach.h>
#include <mach/mach_host.h>
#include <stdlib.h>
#include <sys/sysctl.h>

#include <cstring>

#include "mlxbase/os/host_counters.h"

namespace mlxbase::os {
namespace {

/// Asked once: each call of mach_host_self() adds a reference to the port.
mach_port_t host() {
  static const mach_port_t port = mach_host_self();
  return port;
}

template <class T>
bool sysctl_value(const char* name, T& value) {
  std::size_t size = sizeof value;
  return ::sysctlbyname(name, &value, &size, nullptr, 0) == 0 && size == sizeof value;
}

}  // namespace

Result<std::vector<CoreTicks>> core_ticks() {
  natural_t count = 0;
  processor_info_array_t info = nullptr;
  mach_msg_type_number_t words = 0;
  if (host_processor_info(host(), PROCESSOR_CPU_LOAD_INFO, &count, &info, &words) != KERN_SUCCESS) {
    return fail(Code::io, "host_processor_info: the kernel refused");
  }
  std::vector<CoreTicks> cores;
  for (natural_t i = 0; i < count && (i + 1) * CPU_STATE_MAX <= words; ++i) {
    const auto at = [&](int state) { return static_cast<std::uint64_t>(static_cast<std::uint32_t>(info[i * CPU_STATE_MAX + static_cast<natural_t>(state)])); };
    cores.push_back({.busy = at(CPU_STATE_USER) + at(CPU_STATE_SYSTEM) + at(CPU_STATE_NICE), .idle = at(CPU_STATE_IDLE)});
  }
  vm_deallocate(mach_task_self(), reinterpret_cast<vm_address_t>(info), words * sizeof(integer_t));
  return cores;
}

Result<HostMemory> host_memory() {
  HostMemory m;
  if (!sysctl_value("hw.memsize", m.total)) return fail(Code::io, "sysctl hw.memsize: the kernel refused");
  vm_statistics64_data_t vm;
  std::memset(&vm, 0, sizeof vm);
  mach_msg_type_number_t words = HOST_VM_INFO64_COUNT;
  if (host_statistics64(host(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&vm), &words) != KERN_SUCCESS) {
    return fail(Code::io, "host_statistics64: the kernel refused");
  }
  vm_size_t page = 0;
  if (host_page_size(host(), &page) != KERN_SUCCESS) return fail(Code::io, "host_page_size: the kernel refused");
  const auto bytes = [&](std::uint64_t pages) { return pages * static_cast<std::uint64_t>(page); };
  const std::uint64_t purgeable = vm.purgeable_count;
  const std::uint64_t internal = vm.internal_page_count;
  m.used = bytes((internal > purgeable ? internal - purgeable : 0) + vm.wire_count + vm.compressor_page_count);
  m.cached = bytes(vm.external_page_count + purgeable);
  m.wired = bytes(vm.wire_count);
  m.swapped_in = bytes(vm.swapins);
  m.swapped_out = bytes(vm.swapouts);
  xsw_usage swap;
  std::memset(&swap, 0, sizeof swap);
  if (sysctl_value("vm.swapusage", swap)) {
    m.swap_total = swap.xsu_total;
    m.swap_used = swap.xsu_used;
  }
  int level = 0;
  if (sysctl_value("kern.memorystatus_vm_pressure_level", level)) m.pressure_level = level;
  int limit_mb = 0;
  if ((sysctl_value("iogpu.wired_limit_mb", limit_mb) || sysctl_value("debug.iogpu.wired_limit", limit_mb)) && limit_mb > 0) {
    m.wired_limit = static_cast<std::uint64_t>(limit_mb) << 20U;
  }
  return m;
}

Result<double> load_average() {
  double load[1] = {0};
  if (::getloadavg(load, 1) != 1) return fail(Code::io, "getloadavg: the kernel refused");
  return load[0];
}

}  // namespace mlxbase::os
