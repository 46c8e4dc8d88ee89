// RAPL: energy counters in microjoules that wrap at max_energy_range_uj. Since kernel 5.10 root alone may read them.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/text.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;

class LinuxPower final : public Looker {
 public:
  explicit LinuxPower(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    if (!searched_) search();
    if (domains_.empty()) return mlxbase::fail(mlxbase::Code::unsupported, "no energy counters are offered here (RAPL)");
    std::vector<Power> powers;
    bool refused = false;
    for (Domain& d : domains_) {
      Power power{.name = d.name, .watts = Absent::no_answer};
      const auto text = read_kernel_file(fs_, path::join(d.folder, "energy_uj"), 4096);
      if (!text) {
        refused = refused || text.error().code == mlxbase::Code::permission;
        power.watts = refused ? Absent::not_permitted : Absent::no_answer;
      } else if (const auto microjoules = to_integer(trimmed(*text))) {
        power.watts = d.rate.per_second_wrapping(static_cast<double>(*microjoules) / 1e6, d.range, now.steady_ns);
      } else {
        power.watts = Absent::malformed;
      }
      powers.push_back(std::move(power));
    }
    if (refused && std::ranges::none_of(powers, [](const Power& p) { return p.watts.has_value(); })) {
      return mlxbase::fail(mlxbase::Code::permission, "the energy counters (RAPL) can be read by root alone");
    }
    return [powers = std::move(powers)](Snapshot& s) { s.powers = powers; };
  }

 private:
  struct Domain {
    std::string name, folder;
    double range = 0;
    Rate rate;
  };

  void search() {
    searched_ = true;
    const std::string folder = path::join(root_, "sys/class/powercap");
    const auto entries = fs_.list(folder);
    if (!entries) return;
    std::map<std::string, Domain> sorted;
    for (const auto& entry : *entries) {
      if (!entry.name.starts_with("intel-rapl:")) continue;
      const std::string at = path::join(folder, entry.name);
      const auto name = read_kernel_file(fs_, path::join(at, "name"), 4096);
      if (!name) continue;
      Domain d{.name = std::string(trimmed(*name)), .folder = at, .rate = {}};
      if (const auto range = read_integer(fs_, path::join(at, "max_energy_range_uj"))) d.range = static_cast<double>(*range) / 1e6;
      // "core" lies inside "package-0": intel-rapl:0:0 is part of intel-rapl:0.
      const auto parent = entry.name.substr(0, entry.name.rfind(':'));
      if (const auto above = sorted.find(parent); above != sorted.end()) d.name = above->second.name + "/" + d.name;
      sorted.emplace(entry.name, std::move(d));
    }
    for (auto& [key, d] : sorted) domains_.push_back(std::move(d));
  }

  mlxbase::os::FileSystem& fs_;
  std::string root_;
  bool searched_ = false;
  std::vector<Domain> domains_;
};

}  // namespace

std::unique_ptr<Looker> make_linux_power(const Parts& parts) { return std::make_unique<LinuxPower>(parts); }

}  // namespace mlxdash::collect
