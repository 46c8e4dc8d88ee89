#pragma once
// The functions of NVIDIA's management library that we call, as a table: the system's library fills it at run time, tests give their own.
// Names and structs as in NVIDIA's documentation of NVML 12; return codes: 0 ok, 1 uninitialised, 3 not supported, 4 no permission,
// 15 the GPU is lost, 18 driver and library do not match.
#include <cstdint>
#include <optional>

#include "mlxbase/core/result.h"

namespace mlxdash::collect {

struct NvmlMemory {
  unsigned long long total = 0, free = 0, used = 0;
};
struct NvmlUtilization {
  unsigned int gpu = 0, memory = 0;  // percent
};
struct NvmlProcess {
  unsigned int pid = 0;
  unsigned long long used_gpu_memory = 0;  // all ones: not available
  unsigned int gpu_instance = 0, compute_instance = 0;
};

using NvmlDevice = void*;
struct NvmlTable {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*device_count)(unsigned int*) = nullptr;
  int (*device_by_index)(unsigned int, NvmlDevice*) = nullptr;
  int (*name)(NvmlDevice, char*, unsigned int) = nullptr;
  int (*uuid)(NvmlDevice, char*, unsigned int) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;
  int (*utilization)(NvmlDevice, NvmlUtilization*) = nullptr;
  int (*temperature)(NvmlDevice, int, unsigned int*) = nullptr;
  int (*power)(NvmlDevice, unsigned int*) = nullptr;              // mW
  int (*power_limit)(NvmlDevice, unsigned int*) = nullptr;        // mW
  int (*energy)(NvmlDevice, unsigned long long*) = nullptr;       // mJ
  int (*clock)(NvmlDevice, int, unsigned int*) = nullptr;         // MHz
  int (*throttle)(NvmlDevice, unsigned long long*) = nullptr;     // bits
  int (*processes)(NvmlDevice, unsigned int*, NvmlProcess*) = nullptr;
};

inline constexpr int kNvmlOk = 0;
inline constexpr int kNvmlInsufficientSize = 7;
inline constexpr int kNvmlGpuLost = 15;

/// Filled from libnvidia-ml.so.1, which stays loaded. Errors: unsupported (no such library, or one without the functions needed).
mlxbase::Result<NvmlTable> system_nvml();

}  // namespace mlxdash::collect
