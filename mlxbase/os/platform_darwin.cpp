#include <malloc/malloc.h>

#include "mlxbase/os/environment.h"
#include "mlxbase/os/memory.h"

namespace mlxbase::os {

Platform this_platform() { return Platform::macos; }

void share_heaps(unsigned) {}
void give_memory_back() { ::malloc_zone_pressure_relief(nullptr, 0); }

}  // namespace mlxbase::os
