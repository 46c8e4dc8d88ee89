// A processor that we know nothing of.
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {

std::vector<NamedKernels> available_kernels() { return {{Kernel::scalar, &scalar_kernels()}}; }

}  // namespace mlxcache::codec
