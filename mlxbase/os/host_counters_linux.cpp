#include "mlxbase/os/host_counters.h"

namespace mlxbase::os {

Result<std::vector<CoreTicks>> core_ticks() { return fail(Code::unsupported, "Linux tells this in /proc"); }
Result<HostMemory> host_memory() { return fail(Code::unsupported, "Linux tells this in /proc"); }
Result<double> load_average() { return fail(Code::unsupported, "Linux tells this in /proc"); }

}  // namespace mlxbase::os
