#pragma once
// Whole files: compared, copied, shared in place.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::dedup {

struct Compared {
  bool equal = false;
  std::string digest;  // "sha256:…" of the bytes, if equal
};
/// Reads both to their ends. Sizes that differ make them unequal. Errors: cancelled, io.
mlxbase::Result<Compared> compare(mlxbase::os::File& a, mlxbase::os::File& b, const mlxbase::Cancel* cancel, mlxbase::Progress& progress);

/// The runs of `file` that are holes, at most `limit` of them.
mlxbase::Result<std::vector<mlxbase::os::Extent>> holes_of(mlxbase::os::File& file, std::size_t limit);

/// Writes `size` bytes of `from` into the empty file `to`, leaving out `holes` where the bytes are zeros indeed. Returns the
/// SHA-256 ("sha256:…"). Errors: changed (`from` ends early), cancelled, out_of_space, io.
mlxbase::Result<std::string> copy_bytes(mlxbase::os::File& from, mlxbase::os::File& to, std::uint64_t size,
                                        const std::vector<mlxbase::os::Extent>& holes, const mlxbase::Cancel* cancel, mlxbase::Progress& progress);

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

/// Whether some bytes of the two lie in the same blocks. False where the volume cannot tell.
bool any_block_common(mlxbase::os::File& a, mlxbase::os::File& b);

}  // namespace mlxcache::dedup
