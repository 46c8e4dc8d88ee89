// amdgpu in sysfs. Reading gpu_busy_percent wakes a GPU that sleeps, so its runtime state is asked first. An APU spills from VRAM to GTT: the
// sum is what it uses.
#include <algorithm>
#include <string>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/text.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;
namespace os = mlxbase::os;

class LinuxAmdGpu final : public Looker {
 public:
  explicit LinuxAmdGpu(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment&) override {
    if (!searched_) search();
    if (cards_.empty()) return mlxbase::fail(mlxbase::Code::unsupported, "no amdgpu card");
    std::vector<Gpu> gpus;
    for (const Card& card : cards_) gpus.push_back(read(card));
    return [gpus = std::move(gpus)](Snapshot& s) { put_gpus(s, "amdgpu", gpus); };
  }

 private:
  struct Card {
    std::string name, id, folder, hwmon;
  };

  std::string text(const std::string& file) const {
    const auto read = read_kernel_file(fs_, file, 4096);
    return read ? std::string(trimmed(*read)) : std::string();
  }

  void search() {
    searched_ = true;
    const std::string drm = path::join(root_, "sys/class/drm");
    const auto entries = fs_.list(drm);
    if (!entries) return;
    for (const auto& entry : *entries) {
      if (!entry.name.starts_with("card") || entry.name.find('-') != std::string::npos) continue;  // card0-HDMI-A-1 is a connector
      const std::string folder = path::join(drm, entry.name, "device");
      if (text(path::join(folder, "vendor")) != "0x1002") continue;
      Card card{.name = "AMD " + entry.name, .id = text(path::join(folder, "unique_id")), .folder = folder, .hwmon = {}};
      if (const std::string product = text(path::join(folder, "product_name")); !product.empty()) card.name = product;
      if (card.id.empty()) card.id = entry.name;
      if (const auto monitors = fs_.list(path::join(folder, "hwmon")); monitors && !monitors->empty()) {
        card.hwmon = path::join(folder, "hwmon", std::string_view(monitors->front().name));
      }
      cards_.push_back(std::move(card));
    }
    std::ranges::sort(cards_, {}, &Card::folder);
  }

  template <class T>
  Reading<T> number(const std::string& file, T unit) const {
    const auto n = read_integer(fs_, file);
    if (!n || *n < 0) return Absent::not_supported;
    return static_cast<T>(*n) * unit;
  }

  Gpu read(const Card& card) const {
    Gpu gpu{.driver = "amdgpu", .name = card.name, .id = card.id};
    for (auto* reading : {&gpu.busy, &gpu.celsius, &gpu.watts, &gpu.watts_limit, &gpu.hertz}) *reading = Absent::not_supported;
    gpu.memory_total = gpu.memory_used = Absent::not_supported;
    gpu.throttled = Absent::not_supported;
    if (text(path::join(card.folder, "power/runtime_status")) == "suspended") {
      gpu.busy = 0.0;  // it sleeps: that is known, and asking more would wake it
      return gpu;
    }
    gpu.busy = number<double>(path::join(card.folder, "gpu_busy_percent"), 0.01);
    const auto sum = [&](const char* vram, const char* gtt) -> Reading<std::uint64_t> {
      const auto a = number<std::uint64_t>(path::join(card.folder, vram), 1);
      const auto b = number<std::uint64_t>(path::join(card.folder, gtt), 1);
      if (!a) return a;
      return *a + b.value_or(0);
    };
    gpu.memory_total = sum("mem_info_vram_total", "mem_info_gtt_total");
    gpu.memory_used = sum("mem_info_vram_used", "mem_info_gtt_used");
    if (card.hwmon.empty()) return gpu;
    gpu.celsius = number<double>(path::join(card.hwmon, "temp1_input"), 0.001);
    gpu.watts = number<double>(path::join(card.hwmon, "power1_average"), 1e-6);
    if (!gpu.watts) gpu.watts = number<double>(path::join(card.hwmon, "power1_input"), 1e-6);
    gpu.watts_limit = number<double>(path::join(card.hwmon, "power1_cap"), 1e-6);
    gpu.hertz = number<double>(path::join(card.hwmon, "freq1_input"), 1);
    return gpu;
  }

  os::FileSystem& fs_;
  std::string root_;
  bool searched_ = false;
  std::vector<Card> cards_;
};

}  // namespace

std::unique_ptr<Looker> make_linux_amdgpu(const Parts& parts) { return std::make_unique<LinuxAmdGpu>(parts); }

}  // namespace mlxdash::collect
