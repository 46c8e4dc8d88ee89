// NVIDIA GPUs by NVML. Its calls may take 10 ms and more while the driver sleeps, so it has a lane of its own.
#include <fmt/format.h>

#include <array>
#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/os/shared_library.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/nvml.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

template <class F>
void find(const mlxbase::os::SharedLibrary& library, F*& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* symbol = library.symbol(name); symbol != nullptr) {
      function = reinterpret_cast<F*>(symbol);
      return;
    }
  }
}

/// What a return code leaves in the place of a value.
Absent absent(int code) {
  switch (code) {
    case 3: return Absent::not_supported;
    case 4: return Absent::not_permitted;
    case kNvmlGpuLost: return Absent::gone;
    default: return Absent::no_answer;
  }
}

/// nvmlClocksEventReasons: what holds the clocks down. Idle and the application's own setting are no throttling.
std::string reasons(unsigned long long bits) {
  static constexpr std::pair<unsigned long long, const char*> kReasons[] = {
      {0x04, "power cap"}, {0x08, "hardware slowdown"}, {0x20, "too hot"}, {0x40, "too hot (hardware)"}, {0x80, "power brake"}};
  std::string text;
  for (const auto& [bit, name] : kReasons) {
    if ((bits & bit) == 0) continue;
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

class Nvidia final : public Looker {
 public:
  explicit Nvidia(const Parts& parts) {
    if (parts.nvml != nullptr) nvml_ = *parts.nvml;
  }
  ~Nvidia() override {
    if (started_ && nvml_->shutdown != nullptr) nvml_->shutdown();
  }
  Nvidia(const Nvidia&) = delete;
  Nvidia& operator=(const Nvidia&) = delete;

  Result<Apply> look(const Moment& now) override {
    TRY(start(now));
    std::vector<Gpu> gpus;
    bool lost = false;
    for (Device& device : devices_) {
      gpus.push_back(read(device, now));
      lost = lost || device.lost;
    }
    // A GPU that fell off the bus does not come back by asking: look for all of them again, but seldom.
    if (lost && now.steady_ns >= enumerate_again_ns_) enumerate(now);
    return [gpus = std::move(gpus)](Snapshot& s) { put_gpus(s, "nvidia", gpus); };
  }

 private:
  struct Device {
    NvmlDevice handle = nullptr;
    std::string name, id;
    bool lost = false;
    Rate energy;
  };

  mlxbase::Status start(const Moment& now) {
    if (!nvml_) nvml_ = TRY(system_nvml());
    if (started_) return {};
    if (const int code = nvml_->init(); code != kNvmlOk) {
      const char* text = nvml_->error_string != nullptr ? nvml_->error_string(code) : "";
      const char* hint = code == 18 ? "; restart the machine, so that driver and library match" : "";
      return fail(code == 9 ? Code::unsupported : Code::io, fmt::format("NVML does not start: {} ({}){}", text, code, hint));
    }
    started_ = true;
    enumerate(now);
    return {};
  }

  void enumerate(const Moment& now) {
    enumerate_again_ns_ = now.steady_ns + std::int64_t{60} * 1'000'000'000;
    devices_.clear();
    unsigned int count = 0;
    if (nvml_->device_count(&count) != kNvmlOk) return;
    for (unsigned int i = 0; i < std::min(count, 64U); ++i) {
      Device device;
      if (nvml_->device_by_index(i, &device.handle) != kNvmlOk) continue;
      std::array<char, 96> text{};
      if (nvml_->name(device.handle, text.data(), text.size()) == kNvmlOk) device.name.assign(text.data(), ::strnlen(text.data(), text.size()));
      text.fill('\0');
      if (nvml_->uuid != nullptr && nvml_->uuid(device.handle, text.data(), text.size()) == kNvmlOk) {
        device.id.assign(text.data(), ::strnlen(text.data(), text.size()));
      }
      if (device.id.empty()) device.id = fmt::format("{}", i);
      devices_.push_back(std::move(device));
    }
  }

  /// Calls `function(handle, args…, &value)` and makes a Reading of it.
  template <class T, class Raw, class F, class... A>
  Reading<T> ask(Device& device, F* function, T unit, A... args) {
    if (function == nullptr) return Absent::not_supported;
    Raw raw{};
    const int code = function(device.handle, args..., &raw);
    if (code == kNvmlGpuLost) device.lost = true;
    if (code != kNvmlOk) return absent(code);
    return static_cast<T>(raw) * unit;
  }

  Gpu read(Device& device, const Moment& now) {
    Gpu gpu{.driver = "nvidia", .name = device.name, .id = device.id};
    NvmlUtilization use;
    if (const int code = nvml_->utilization(device.handle, &use); code == kNvmlOk) {
      gpu.busy = static_cast<double>(use.gpu) / 100;
    } else {
      gpu.busy = absent(code);
      device.lost = device.lost || code == kNvmlGpuLost;
    }
    NvmlMemory memory;
    if (const int code = nvml_->memory(device.handle, &memory); code == kNvmlOk) {
      gpu.memory_total = memory.total;
      gpu.memory_used = memory.used;
    } else {
      gpu.memory_total = gpu.memory_used = absent(code);
    }
    gpu.celsius = ask<double, unsigned int>(device, nvml_->temperature, 1.0, 0);
    gpu.watts_limit = ask<double, unsigned int>(device, nvml_->power_limit, 1e-3);
    gpu.hertz = ask<double, unsigned int>(device, nvml_->clock, 1e6, 1);
    // The counter of energy says what was drawn in between; the power of this moment is only the next best.
    const auto energy = ask<double, unsigned long long>(device, nvml_->energy, 1e-3);
    gpu.watts = energy ? device.energy.per_second(*energy, now.steady_ns) : Reading<double>(energy.error());
    if (!gpu.watts) gpu.watts = ask<double, unsigned int>(device, nvml_->power, 1e-3);
    if (const auto bits = ask<unsigned long long, unsigned long long>(device, nvml_->throttle, 1ULL)) {
      gpu.throttled = reasons(*bits);
    } else {
      gpu.throttled = bits.error();
    }
    processes(device, gpu);
    return gpu;
  }

  void processes(Device& device, Gpu& gpu) {
    if (nvml_->processes == nullptr) return;
    std::vector<NvmlProcess> list(64);
    auto count = static_cast<unsigned int>(list.size());
    int code = nvml_->processes(device.handle, &count, list.data());
    if (code == kNvmlInsufficientSize && count < 100'000) {
      list.resize(count + 16);
      count = static_cast<unsigned int>(list.size());
      code = nvml_->processes(device.handle, &count, list.data());
    }
    if (code != kNvmlOk) return;
    for (unsigned int i = 0; i < std::min<std::size_t>(count, list.size()); ++i) {
      GpuProcess p{.pid = list[i].pid, .memory = Absent::not_supported};
      if (list[i].used_gpu_memory != ~0ULL) p.memory = static_cast<std::uint64_t>(list[i].used_gpu_memory);
      gpu.processes.push_back(p);
    }
  }

  std::optional<NvmlTable> nvml_;
  bool started_ = false;
  std::vector<Device> devices_;
  std::int64_t enumerate_again_ns_ = 0;
};

}  // namespace

Result<NvmlTable> system_nvml() {
  // Stays loaded: the driver's library does not like to be closed while its threads run.
  static const auto library = mlxbase::os::SharedLibrary::open("libnvidia-ml.so.1");
  if (!library) return fail(Code::unsupported, "no NVIDIA driver (libnvidia-ml.so.1)");
  NvmlTable t;
  find(*library, t.init, {"nvmlInit_v2", "nvmlInit"});
  find(*library, t.shutdown, {"nvmlShutdown"});
  find(*library, t.error_string, {"nvmlErrorString"});
  find(*library, t.device_count, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"});
  find(*library, t.device_by_index, {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"});
  find(*library, t.name, {"nvmlDeviceGetName"});
  find(*library, t.uuid, {"nvmlDeviceGetUUID"});
  find(*library, t.memory, {"nvmlDeviceGetMemoryInfo"});
  find(*library, t.utilization, {"nvmlDeviceGetUtilizationRates"});
  find(*library, t.temperature, {"nvmlDeviceGetTemperature"});
  find(*library, t.power, {"nvmlDeviceGetPowerUsage"});
  find(*library, t.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  find(*library, t.energy, {"nvmlDeviceGetTotalEnergyConsumption"});
  find(*library, t.clock, {"nvmlDeviceGetClockInfo"});
  find(*library, t.throttle, {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  find(*library, t.processes, {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"});
  if (t.init == nullptr || t.device_count == nullptr || t.device_by_index == nullptr || t.name == nullptr || t.memory == nullptr || t.utilization == nullptr) {
    return fail(Code::unsupported, "the NVIDIA driver's library lacks functions that are needed");
  }
  return t;
}

std::unique_ptr<Looker> make_nvidia(const Parts& parts) { return std::make_unique<Nvidia>(parts); }

}  // namespace mlxdash::collect
