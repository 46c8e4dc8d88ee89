#pragma once
// Whether a container's own header agrees with the file.
#include <string>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/verify/select.h"

namespace mlxcache::verify {

/// Checks what the file is by `named` or by its first bytes; ok for anything that is neither safetensors nor GGUF.
/// Errors: corrupt (the header breaks its format's rules or disagrees with the length), unsupported (a newer or big-endian variant), io.
mlxbase::Status check_structure(mlxbase::os::File& file, Container named);

}  // namespace mlxcache::verify
