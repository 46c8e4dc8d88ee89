// Asks the processor once.
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {

const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

std::vector<NamedKernels> available_kernels() {
  std::vector<NamedKernels> found{{Kernel::scalar, &scalar_kernels()}};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
    found.push_back({Kernel::avx2, &avx2_kernels()});
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd")) {
      found.push_back({Kernel::avx512, &avx512_kernels()});
    }
  }
  return found;
}

}  // namespace mlxcache::codec
