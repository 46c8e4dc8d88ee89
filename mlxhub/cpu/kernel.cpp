#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {

const std::vector<const Kernels*>& kernels() {
  static const std::vector<const Kernels*> once = available_kernels();
  return once;
}
const Kernels& best_kernels() { return *kernels().back(); }

}  // namespace mlxhub::cpu
