#pragma once
// Being a guest: little of the processor and the disk, and what the machine's power is.
#include <cstdint>
#include <optional>
#include <string>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxbase::os {

/// This process (threads made later included) works when nobody else wants to: nice 19 and idle disk priority on Linux, the background band on macOS.
/// Errors: what the system said; the rest was done.
Status work_in_background();

/// Processor time of this process so far.
std::int64_t process_cpu_ns();

/// Whether this machine runs from its battery (or a UPS); empty where that cannot be told. `root` is the prefix of system paths.
std::optional<bool> on_battery(FileSystem& fs, const std::string& root);

/// The absolute path of the running program.
Result<std::string> executable_path();

/// Gives memory that was freed back to the system, where the allocator keeps it.
void release_memory();

/// Sleeps; a signal ends it early.
void pause_for(std::int64_t ns);

}  // namespace mlxbase::os
