#pragma once
// The functions behind the rows of sources.cpp, one file each.
#include "mlxdash/collect/source.h"

namespace mlxdash::collect {

std::unique_ptr<Looker> make_linux_cpu(const Parts& parts);
std::unique_ptr<Looker> make_linux_memory(const Parts& parts);
std::unique_ptr<Looker> make_linux_pressure(const Parts& parts);
std::unique_ptr<Looker> make_linux_disks(const Parts& parts);
std::unique_ptr<Looker> make_linux_networks(const Parts& parts);
std::unique_ptr<Looker> make_linux_sensors(const Parts& parts);
std::unique_ptr<Looker> make_linux_power(const Parts& parts);
std::unique_ptr<Looker> make_linux_amdgpu(const Parts& parts);
std::unique_ptr<Looker> make_linux_holders(const Parts& parts);
std::unique_ptr<Looker> make_volumes(const Parts& parts);
std::unique_ptr<Looker> make_host_cpu(const Parts& parts);
std::unique_ptr<Looker> make_host_memory(const Parts& parts);
std::unique_ptr<Looker> make_nvidia(const Parts& parts);
std::unique_ptr<Looker> make_engines(const Parts& parts);
std::unique_ptr<Looker> make_cache(const Parts& parts);

/// Several drivers fill one list: takes out what `driver` had, and puts `gpus` in.
void put_gpus(Snapshot& snapshot, std::string_view driver, const Reading<std::vector<Gpu>>& gpus);

}  // namespace mlxdash::collect
