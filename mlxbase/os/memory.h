#pragma once
// Memory: what the machine has left, and what the allocator keeps for itself, which matters to a program that runs many threads for a moment and holds
// a large result afterwards.
#include <cstdint>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxbase::os {

struct MachineMemory {
  std::uint64_t total = 0;
  std::uint64_t available = 0;  // without swapping; pages that only keep files count, since they can be read again
};
/// Of this machine, or of the container (control group) if that has less. Errors: unsupported, corrupt, io.
Result<MachineMemory> machine_memory(FileSystem& fs);

/// Lets threads share at most `arenas` heaps: a thread's own one keeps what it freed from all others. Call before threads start. Does nothing where the
/// allocator has no such thing.
void share_heaps(unsigned arenas);
/// Gives freed memory back to the system: after a step that needed much for a short time.
void give_memory_back();

}  // namespace mlxbase::os
