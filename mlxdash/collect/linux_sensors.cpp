// hwmon: temperatures and fans, matched by the chip's name since numbers change over boots. A device that sleeps fails a read with
// EIO or ENODATA: that value is missing, no error. Where hwmon has nothing, the thermal zones.
#include <fmt/format.h>

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

std::string read_text(os::FileSystem& fs, const std::string& file) {
  const auto text = read_kernel_file(fs, file, 4096);
  return text ? std::string(trimmed(*text)) : std::string();
}

std::vector<std::string> sorted_names(os::FileSystem& fs, const std::string& folder) {
  std::vector<std::string> names;
  if (const auto entries = fs.list(folder)) {
    for (const auto& entry : *entries) names.push_back(entry.name);
  }
  std::ranges::sort(names);
  return names;
}

class LinuxSensors final : public Looker {
 public:
  explicit LinuxSensors(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    if (now.steady_ns >= search_again_ns_) {
      search();
      search_again_ns_ = now.steady_ns + std::int64_t{60} * 1'000'000'000;
    }
    if (places_.empty()) return mlxbase::fail(mlxbase::Code::unsupported, "no temperature sensor is offered here (hwmon, thermal zones)");
    std::vector<Sensor> sensors;
    std::vector<Fan> fans;
    for (const Place& place : places_) {
      const auto value = read_integer(fs_, place.file);
      if (place.fan) {
        Fan fan{.chip = place.chip, .label = place.label, .rpm = Absent::no_answer};
        if (value) fan.rpm = static_cast<double>(*value);
        fans.push_back(std::move(fan));
        continue;
      }
      Sensor sensor{.chip = place.chip, .label = place.label, .celsius = Absent::no_answer, .limit = place.limit};
      if (value) sensor.celsius = static_cast<double>(*value) / 1000;
      sensors.push_back(std::move(sensor));
    }
    return [sensors = std::move(sensors), fans = std::move(fans)](Snapshot& s) {
      s.sensors = sensors;
      s.fans = fans;
    };
  }

 private:
  struct Place {
    std::string chip, label, file;
    bool fan = false;
    Reading<double> limit = Absent::not_supported;
  };

  void search() {
    places_.clear();
    const std::string hwmon = path::join(root_, "sys/class/hwmon");
    for (const std::string& name : sorted_names(fs_, hwmon)) {
      const std::string folder = path::join(hwmon, name);
      const std::string chip = read_text(fs_, path::join(folder, "name"));
      for (const std::string& file : sorted_names(fs_, folder)) {
        if (!file.ends_with("_input")) continue;
        const bool fan = file.starts_with("fan");
        if (!fan && !file.starts_with("temp")) continue;
        const std::string base = file.substr(0, file.size() - 6);
        Place place{.chip = chip, .label = read_text(fs_, path::join(folder, base + "_label")), .file = path::join(folder, file), .fan = fan};
        if (place.label.empty()) place.label = base;
        if (const auto crit = read_integer(fs_, path::join(folder, base + "_crit")); crit && !fan) place.limit = static_cast<double>(*crit) / 1000;
        places_.push_back(std::move(place));
      }
    }
    if (!places_.empty()) return;
    const std::string zones = path::join(root_, "sys/class/thermal");
    for (const std::string& name : sorted_names(fs_, zones)) {
      if (!name.starts_with("thermal_zone")) continue;
      places_.push_back({.chip = "thermal", .label = read_text(fs_, path::join(zones, name, "type")), .file = path::join(zones, name, "temp")});
    }
  }

  os::FileSystem& fs_;
  std::string root_;
  std::vector<Place> places_;
  std::int64_t search_again_ns_ = 0;
};

}  // namespace

std::unique_ptr<Looker> make_linux_sensors(const Parts& parts) { return std::make_unique<LinuxSensors>(parts); }

}  // namespace mlxdash::collect
