// For every processor.
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {
namespace {
#include "mlxcache/codec/kernel_loops.h"
constexpr Kernels kKernels = make_kernels();
}  // namespace

const Kernels& scalar_kernels() { return kKernels; }

}  // namespace mlxcache::codec
