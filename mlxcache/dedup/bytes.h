#pragma once
// Two files made to share their blocks in place.
#include <cstdint>
#include <string>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::dedup {

enum class Shared : std::uint8_t {
  whole,
  in_part,      // the rest is not equal, or a call failed; what is shared is equal, and stays so
  impossible,   // the volume or the rights of this user do not allow it; nothing was shared
};
struct SharedInPlace {
  Shared how{};
  std::uint64_t bytes = 0;  // from the start of the file
  std::string reason;       // why not the whole
};
/// Makes `target` share all extents of `source`, compared by the kernel.
SharedInPlace share_in_place(mlxbase::os::FileSystem& fs, mlxbase::os::File& source, mlxbase::os::File& target, std::uint64_t size,
                                              const mlxbase::Cancel* cancel, mlxbase::Progress& progress);

}  // namespace mlxcache::dedup
