#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {
namespace {
const std::vector<NamedKernels>& found() {
  static const std::vector<NamedKernels> once = available_kernels();
  return once;
}
}  // namespace

std::vector<Kernel> kernels() {
  std::vector<Kernel> names;
  for (const NamedKernels& k : found()) names.push_back(k.name);
  return names;
}

const Kernels& kernels_of(Kernel kernel) {
  if (kernel == Kernel::best) return *found().back().kernels;
  for (const NamedKernels& k : found()) {
    if (k.name == kernel) return *k.kernels;
  }
  return scalar_kernels();
}

}  // namespace mlxcache::codec
