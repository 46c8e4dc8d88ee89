// /proc/meminfo and /proc/vmstat. Used = MemTotal - MemAvailable; Shmem lies inside Cached.
#include <unistd.h>

#include <string>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/text.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;

class LinuxMemory final : public Looker {
 public:
  explicit LinuxMemory(const Parts& parts) : fs_(parts.fs), root_(parts.root), page_(static_cast<double>(::sysconf(_SC_PAGESIZE))) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    const std::string text = TRY(read_kernel_file(fs_, path::join(root_, "proc/meminfo")));
    Memory m;
    for (auto* reading : {&m.total, &m.available, &m.used, &m.cached, &m.dirty, &m.swap_total, &m.swap_used, &m.wired, &m.wired_limit}) {
      *reading = Absent::not_supported;
    }
    m.pressure_level = Absent::not_supported;
    Reading<std::uint64_t> swap_free = Absent::not_supported;
    std::string_view rest = text;
    std::string_view line;
    while (take_line(rest, line)) {
      const std::string_view name = take_word(line);
      Reading<std::uint64_t>* into = name == "MemTotal:"       ? &m.total
                                     : name == "MemAvailable:" ? &m.available
                                     : name == "Cached:"       ? &m.cached
                                     : name == "Dirty:"        ? &m.dirty
                                     : name == "SwapTotal:"    ? &m.swap_total
                                     : name == "SwapFree:"     ? &swap_free
                                                               : nullptr;
      if (into == nullptr) continue;
      if (const auto kb = to_integer(take_word(line)); kb && *kb < (std::uint64_t{1} << 53U)) {
        *into = *kb * 1024;
      } else {
        *into = Absent::malformed;
      }
    }
    if (!m.total || *m.total == 0) return mlxbase::fail(mlxbase::Code::corrupt, "/proc/meminfo: no MemTotal");
    if (m.available && *m.available <= *m.total) m.used = *m.total - *m.available;
    if (m.swap_total && swap_free && *swap_free <= *m.swap_total) m.swap_used = *m.swap_total - *swap_free;
    activity(m, now);
    return [m](Snapshot& s) { s.memory = m; };
  }

 private:
  void activity(Memory& m, const Moment& now) {
    m.swap_in = m.swap_out = m.major_faults = m.refaults = Absent::not_supported;
    m.oom_kills = Absent::not_supported;
    const auto text = read_kernel_file(fs_, path::join(root_, "proc/vmstat"));
    if (!text) return;
    std::string_view rest = *text;
    std::string_view line;
    while (take_line(rest, line)) {
      const std::string_view name = take_word(line);
      const auto count = [&] { return to_integer(take_word(line)); };
      const auto rate = [&](Reading<double>& into, Rate& memory, double unit) {
        if (const auto n = count()) into = memory.per_second(static_cast<double>(*n) * unit, now.steady_ns);
      };
      if (name == "pswpin") rate(m.swap_in, swap_in_, page_);
      if (name == "pswpout") rate(m.swap_out, swap_out_, page_);
      if (name == "pgmajfault") rate(m.major_faults, faults_, 1);
      if (name == "workingset_refault_file") rate(m.refaults, refaults_, page_);
      if (name == "oom_kill") {
        if (const auto n = count()) m.oom_kills = *n;
      }
    }
  }

  mlxbase::os::FileSystem& fs_;
  std::string root_;
  double page_;
  Rate swap_in_, swap_out_, faults_, refaults_;
};

/// /proc/pressure: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", averages in percent.
class LinuxPressure final : public Looker {
 public:
  explicit LinuxPressure(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment&) override {
    const Pressure cpu = TRY(read("cpu"));
    const Pressure memory = TRY(read("memory"));
    const Pressure io = TRY(read("io"));
    return [=](Snapshot& s) {
      s.cpu_pressure = cpu;
      s.memory_pressure = memory;
      s.io_pressure = io;
    };
  }

 private:
  mlxbase::Result<Pressure> read(const char* resource) {
    auto text = read_kernel_file(fs_, path::join(root_, "proc/pressure", resource), 4096);
    // Without CONFIG_PSI the file is not there; with psi=0 opening or reading it fails with EOPNOTSUPP.
    if (!text) return mlxbase::fail(mlxbase::Code::unsupported, "this kernel has no pressure stall information (CONFIG_PSI, psi=1)");
    Pressure p;
    p.some10 = p.some60 = p.full10 = Absent::not_supported;
    std::string_view rest = *text;
    std::string_view line;
    while (take_line(rest, line)) {
      const std::string_view kind = take_word(line);
      for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
        const auto equals = word.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string_view name = word.substr(0, equals);
        const auto percent = to_number(word.substr(equals + 1));
        Reading<double>* into = kind == "some" && name == "avg10"   ? &p.some10
                                : kind == "some" && name == "avg60" ? &p.some60
                                : kind == "full" && name == "avg10" ? &p.full10
                                                                    : nullptr;
        if (into == nullptr) continue;
        if (percent) {
          *into = *percent / 100;
        } else {
          *into = Absent::malformed;
        }
      }
    }
    return p;
  }

  mlxbase::os::FileSystem& fs_;
  std::string root_;
};

}  // namespace

std::unique_ptr<Looker> make_linux_memory(const Parts& parts) { return std::make_unique<LinuxMemory>(parts); }
std::unique_ptr<Looker> make_linux_pressure(const Parts& parts) { return std::make_unique<LinuxPressure>(parts); }

}  // namespace mlxdash::collect
