#include <algorithm>

#include "mlxdash/collect/makers.h"

namespace mlxdash::collect {
namespace {

constexpr On kLinux{.linux_os = true};
constexpr On kMac{.macos = true};
constexpr On kBoth{.linux_os = true, .macos = true};

// name         lane             period   where   made by              what it leaves when it fails
constexpr Row kSources[] = {
    {"cpu",       Lane::files,     0,       kLinux, &make_linux_cpu,      [](Snapshot& s, Absent why) { s.cpu = {why, why, why, why, why, why}; }},
    {"cpu",       Lane::files,     0,       kMac,   &make_host_cpu,       [](Snapshot& s, Absent why) { s.cpu = {why, why, why, why, why, why}; }},
    {"memory",    Lane::files,     0,       kLinux, &make_linux_memory,   [](Snapshot& s, Absent why) { s.memory = {why, why, why, why, why, why, why, why, why, why, why, why, why, why, why}; }},
    {"memory",    Lane::files,     0,       kMac,   &make_host_memory,    [](Snapshot& s, Absent why) { s.memory = {why, why, why, why, why, why, why, why, why, why, why, why, why, why, why}; }},
    {"pressure",  Lane::files,     0,       kLinux, &make_linux_pressure, [](Snapshot& s, Absent why) { s.cpu_pressure = s.memory_pressure = s.io_pressure = {why, why, why}; }},
    {"disks",     Lane::files,     0,       kLinux, &make_linux_disks,    [](Snapshot& s, Absent why) { s.disks = why; }},
    {"networks",  Lane::files,     0,       kLinux, &make_linux_networks, [](Snapshot& s, Absent why) { s.networks = why; }},
    {"sensors",   Lane::files,     2000,    kLinux, &make_linux_sensors,  [](Snapshot& s, Absent why) { s.sensors = why; s.fans = why; }},
    {"power",     Lane::files,     0,       kLinux, &make_linux_power,    [](Snapshot& s, Absent why) { s.powers = why; }},
    {"amdgpu",    Lane::gpu,       2000,    kLinux, &make_linux_amdgpu,   [](Snapshot& s, Absent why) { put_gpus(s, "amdgpu", why); }},
    {"nvidia",    Lane::gpu,       0,       kLinux, &make_nvidia,         [](Snapshot& s, Absent why) { put_gpus(s, "nvidia", why); }},
    {"engines",   Lane::http,      0,       kBoth,  &make_engines,        [](Snapshot& s, Absent why) { s.engines = why; }},
    {"volumes",   Lane::processes, 10'000,  kBoth,  &make_volumes,        [](Snapshot& s, Absent why) { s.volumes = why; }},
    {"holders",   Lane::processes, 30'000,  kLinux, &make_linux_holders,  [](Snapshot& s, Absent why) { s.holders = why; }},
    {"cache",     Lane::cache,     300'000, kBoth,  &make_cache,          [](Snapshot& s, Absent why) { s.cache = why; }},
};

}  // namespace

std::span<const Row> sources() { return kSources; }

Absent absent_of(mlxbase::Code code) {
  switch (code) {
    case mlxbase::Code::not_found:
    case mlxbase::Code::unsupported: return Absent::not_supported;
    case mlxbase::Code::permission: return Absent::not_permitted;
    case mlxbase::Code::corrupt:
    case mlxbase::Code::invalid: return Absent::malformed;
    default: return Absent::no_answer;
  }
}

void put_gpus(Snapshot& snapshot, std::string_view driver, const Reading<std::vector<Gpu>>& gpus) {
  std::vector<Gpu> all;
  if (snapshot.gpus) all = std::move(*snapshot.gpus);
  std::erase_if(all, [&](const Gpu& gpu) { return gpu.driver == driver; });
  if (gpus) all.insert(all.end(), gpus->begin(), gpus->end());
  if (!all.empty() || gpus) {
    snapshot.gpus = std::move(all);
  } else if (!snapshot.gpus && snapshot.gpus.error() != Absent::not_yet && gpus.error() == Absent::not_supported) {
    // another driver gave a better reason
  } else {
    snapshot.gpus = gpus.error();
  }
}

}  // namespace mlxdash::collect
