#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {

const Kernels& neon_kernels();

std::vector<const Kernels*> available_kernels() { return {&plain_kernels(), &neon_kernels()}; }

}  // namespace mlxhub::cpu
