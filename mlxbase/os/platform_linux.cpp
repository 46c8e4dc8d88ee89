#include <malloc.h>

#include <algorithm>

#include "mlxbase/os/environment.h"
#include "mlxbase/os/memory.h"

namespace mlxbase::os {

Platform this_platform() { return Platform::linux_os; }

#ifdef __GLIBC__
void share_heaps(unsigned arenas) { ::mallopt(M_ARENA_MAX, static_cast<int>(std::clamp(arenas, 1U, 1024U))); }
void give_memory_back() { ::malloc_trim(0); }
#else
void share_heaps(unsigned) {}
void give_memory_back() {}
#endif

}  // namespace mlxbase::os
