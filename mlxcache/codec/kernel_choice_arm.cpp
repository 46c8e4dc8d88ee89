// Every 64-bit ARM has NEON: nothing to ask.
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {

const Kernels& neon_kernels();

std::vector<NamedKernels> available_kernels() { return {{Kernel::scalar, &scalar_kernels()}, {Kernel::neon, &neon_kernels()}}; }

}  // namespace mlxcache::codec
