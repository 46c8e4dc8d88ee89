// /proc/stat, /proc/loadavg, cpufreq. Facts: ticks of user, nice, system, idle, iowait, irq, softirq, steal; guest is inside user.
#include <array>
#include <string>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/text.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;

struct Ticks {
  std::uint64_t busy = 0, idle = 0;
};

/// Busy is all but idle and iowait; guest time is inside user already.
std::optional<Ticks> ticks_of(std::string_view rest) {
  std::array<std::uint64_t, 8> t{};
  for (auto& value : t) {
    const std::string_view word = take_word(rest);
    if (word.empty() && &value - t.data() >= 4) break;  // old kernels have fewer
    const auto n = to_integer(word);
    if (!n) return std::nullopt;
    value = *n;
  }
  return Ticks{.busy = t[0] + t[1] + t[2] + t[5] + t[6] + t[7], .idle = t[3] + t[4]};
}

/// The share between two looks. iowait may go down: a negative step counts as none.
std::optional<double> share(const Ticks& before, const Ticks& now) {
  if (now.busy < before.busy) return std::nullopt;
  const auto busy = static_cast<double>(now.busy - before.busy);
  const double idle = now.idle > before.idle ? static_cast<double>(now.idle - before.idle) : 0;
  if (busy + idle <= 0) return std::nullopt;
  return busy / (busy + idle);
}

class LinuxCpu final : public Looker {
 public:
  explicit LinuxCpu(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment&) override {
    const std::string text = TRY(read_kernel_file(fs_, path::join(root_, "proc/stat")));
    Cpu cpu;
    std::vector<Ticks> now;  // the first is that of all
    std::string_view rest = text;
    std::string_view line;
    while (take_line(rest, line)) {
      const std::string_view name = take_word(line);
      if (name.starts_with("cpu")) {
        const auto ticks = ticks_of(line);
        if (!ticks) return mlxbase::fail(mlxbase::Code::corrupt, "/proc/stat: a line of cpu times that makes no sense");
        now.push_back(*ticks);
      } else if (name == "procs_running") {
        if (const auto n = to_integer(take_word(line))) cpu.running = *n;
      } else if (name == "procs_blocked") {
        if (const auto n = to_integer(take_word(line))) cpu.blocked = *n;
      }
    }
    if (now.empty()) return mlxbase::fail(mlxbase::Code::corrupt, "/proc/stat: no line of cpu times");
    if (before_.size() == now.size()) {  // a core that was plugged in or out: wait for the next look
      if (const auto all = share(before_[0], now[0])) cpu.busy = *all;
      std::vector<double> cores;
      for (std::size_t i = 1; i < now.size(); ++i) cores.push_back(share(before_[i], now[i]).value_or(0));
      if (cpu.busy) cpu.cores = std::move(cores);
    }
    before_ = std::move(now);
    if (const auto load = read_kernel_file(fs_, path::join(root_, "proc/loadavg"), 4096)) {
      std::string_view words = *load;
      if (const auto n = to_number(take_word(words))) cpu.load1 = *n;
    }
    cpu.hertz = frequency();
    return [cpu = std::move(cpu)](Snapshot& s) { s.cpu = cpu; };
  }

 private:
  Reading<double> frequency() {
    const std::string folder = path::join(root_, "sys/devices/system/cpu/cpufreq");
    if (!policies_) {
      policies_.emplace();
      if (const auto names = fs_.list(folder)) {
        for (const auto& entry : *names) {
          if (entry.name.starts_with("policy")) policies_->push_back(path::join(folder, entry.name, "scaling_cur_freq"));
        }
      }
    }
    double sum = 0;
    std::size_t count = 0;
    for (const std::string& file : *policies_) {
      if (const auto khz = read_integer(fs_, file)) {
        sum += static_cast<double>(*khz) * 1000;
        ++count;
      }
    }
    if (count == 0) return Absent::not_supported;
    return sum / static_cast<double>(count);
  }

  mlxbase::os::FileSystem& fs_;
  std::string root_;
  std::vector<Ticks> before_;
  std::optional<std::vector<std::string>> policies_;
};

}  // namespace

std::unique_ptr<Looker> make_linux_cpu(const Parts& parts) { return std::make_unique<LinuxCpu>(parts); }

}  // namespace mlxdash::collect
