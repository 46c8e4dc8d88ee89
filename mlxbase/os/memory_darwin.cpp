#include "mlxbase/os/memory.h"

#include "mlxbase/os/host_counters.h"

namespace mlxbase::os {

Result<MachineMemory> machine_memory(FileSystem&) {
  const HostMemory memory = TRY(host_memory());
  return MachineMemory{.total = memory.total, .available = memory.total > memory.used ? memory.total - memory.used : 0};
}

}  // namespace mlxbase::os
