// Asks the processor once.
#include "mlxhub/cpu/kernel.h"

namespace mlxhub::cpu {

const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found{&plain_kernels()};
  __builtin_cpu_init();
  // Whoever has AVX2 has F16C too, which not every compiler can ask for.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found;
  found.push_back(&avx2_kernels());
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    found.push_back(&avx512_kernels());
  }
  return found;
}

}  // namespace mlxhub::cpu
