// macOS: what the kernel tells by calls (mlxbase/os/host_counters.h).
#include "mlxbase/os/host_counters.h"

#include <vector>

#include "mlxdash/collect/makers.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect {
namespace {

namespace os = mlxbase::os;

/// Ticks of a core that began again at 0 after 2^32.
std::uint64_t step(std::uint64_t before, std::uint64_t now) { return now >= before ? now - before : now + (std::uint64_t{1} << 32U) - before; }

class HostCpu final : public Looker {
 public:
  explicit HostCpu(const Parts&) {}

  mlxbase::Result<Apply> look(const Moment&) override {
    auto now = TRY(os::core_ticks());
    Cpu cpu;
    cpu.running = cpu.blocked = Absent::not_supported;
    cpu.hertz = Absent::not_supported;
    if (before_.size() == now.size() && !now.empty()) {
      std::vector<double> cores;
      double all_busy = 0;
      double all = 0;
      for (std::size_t i = 0; i < now.size(); ++i) {
        const auto busy = static_cast<double>(step(before_[i].busy, now[i].busy));
        const auto idle = static_cast<double>(step(before_[i].idle, now[i].idle));
        cores.push_back(busy + idle > 0 ? busy / (busy + idle) : 0);
        all_busy += busy;
        all += busy + idle;
      }
      if (all > 0) {
        cpu.busy = all_busy / all;
        cpu.cores = std::move(cores);
      }
    }
    before_ = std::move(now);
    if (const auto load = os::load_average()) cpu.load1 = *load;
    return [cpu = std::move(cpu)](Snapshot& s) { s.cpu = cpu; };
  }

 private:
  std::vector<os::CoreTicks> before_;
};

class HostMemorySource final : public Looker {
 public:
  explicit HostMemorySource(const Parts&) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    const os::HostMemory h = TRY(os::host_memory());
    Memory m;
    m.total = h.total;
    m.used = h.used;
    m.available = h.total > h.used ? h.total - h.used : 0;
    m.cached = h.cached;
    m.wired = h.wired;
    m.swap_total = h.swap_total;
    m.swap_used = h.swap_used;
    m.swap_in = in_.per_second(static_cast<double>(h.swapped_in), now.steady_ns);
    m.swap_out = out_.per_second(static_cast<double>(h.swapped_out), now.steady_ns);
    m.major_faults = m.refaults = Absent::not_supported;
    m.oom_kills = m.dirty = Absent::not_supported;
    if (h.pressure_level != 0) {
      m.pressure_level = h.pressure_level;
    } else {
      m.pressure_level = Absent::not_supported;
    }
    if (h.wired_limit != 0) {
      m.wired_limit = h.wired_limit;
    } else {
      m.wired_limit = Absent::not_supported;  // the default, which is not told
    }
    return [m](Snapshot& s) { s.memory = m; };
  }

 private:
  Rate in_, out_;
};

}  // namespace

std::unique_ptr<Looker> make_host_cpu(const Parts& parts) { return std::make_unique<HostCpu>(parts); }
std::unique_ptr<Looker> make_host_memory(const Parts& parts) { return std::make_unique<HostMemorySource>(parts); }

}  // namespace mlxdash::collect
