#pragma once
// Whole files: compared and copied.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::change {

struct Compared {
  bool equal = false;
  std::string digest;  // "sha256:…" of the bytes, if equal
};
/// Reads both to their ends. Sizes that differ make them unequal. Errors: cancelled, io.
mlxbase::Result<Compared> compare(mlxbase::os::File& a, mlxbase::os::File& b, const mlxbase::Cancel* cancel, mlxbase::Progress& progress);

/// "sha256:…" of the whole file.
mlxbase::Result<std::string> sha256_of(mlxbase::os::File& file);

/// The runs of `file` that are holes, at most `limit` of them.
mlxbase::Result<std::vector<mlxbase::os::Extent>> holes_of(mlxbase::os::File& file, std::size_t limit);

/// Writes `size` bytes of `from` into the empty file `to`, leaving out `holes` where the bytes are zeros indeed. Returns the
/// SHA-256 ("sha256:…"). Errors: changed (`from` ends early), cancelled, out_of_space, io.
mlxbase::Result<std::string> copy_bytes(mlxbase::os::File& from, mlxbase::os::File& to, std::uint64_t size,
                                        const std::vector<mlxbase::os::Extent>& holes, const mlxbase::Cancel* cancel, mlxbase::Progress& progress);

/// Whether some bytes of the two lie in the same blocks. False where the volume cannot tell.
bool any_block_common(mlxbase::os::File& a, mlxbase::os::File& b);

}  // namespace mlxcache::change
