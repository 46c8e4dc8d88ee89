#include "mlxdash/view/traces.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mlxdash::view {
namespace {

template <class Item>
Reading<double> sum(const Reading<std::vector<Item>>& items, Reading<double> Item::*member) {
  if (!items) return items.error();
  if (items->empty()) return Absent::not_supported;
  double all = 0;
  for (const Item& item : *items) {
    if (!(item.*member)) return (item.*member).error();
    all += *(item.*member);
  }
  return all;
}

}  // namespace

Reading<double> disk_read(const Snapshot& s) { return sum(s.disks, &Disk::read); }
Reading<double> disk_written(const Snapshot& s) { return sum(s.disks, &Disk::written); }
Reading<double> network_received(const Snapshot& s) { return sum(s.networks, &Network::received); }
Reading<double> network_sent(const Snapshot& s) { return sum(s.networks, &Network::sent); }

Reading<double> memory_share(const Snapshot& s) {
  if (!s.memory.total) return s.memory.total.error();
  if (!s.memory.used) return s.memory.used.error();
  if (*s.memory.total == 0) return Absent::malformed;
  return static_cast<double>(*s.memory.used) / static_cast<double>(*s.memory.total);
}

void Traces::put(const std::string& name, const Reading<double>& value) {
  Line& line = lines_[name];
  line.touched = round_;
  if (line.values.size() >= kLength) line.values.erase(line.values.begin());
  line.values.push_back(value ? static_cast<float>(*value) : std::numeric_limits<float>::quiet_NaN());
}

void Traces::add(const Snapshot& s) {
  ++round_;
  put("cpu", s.cpu.busy);
  put("memory", memory_share(s));
  put("disk.read", disk_read(s));
  put("disk.written", disk_written(s));
  put("network.received", network_received(s));
  put("network.sent", network_sent(s));
  if (s.gpus) {
    for (const Gpu& gpu : *s.gpus) put("gpu." + gpu.id, gpu.busy);
  }
  if (s.engines) {
    for (const Engine& engine : *s.engines) put("decode." + engine.url, engine.decode);
  }
  std::erase_if(lines_, [&](const auto& line) { return round_ - line.second.touched > kLength; });
}

const std::vector<float>& Traces::of(std::string_view name) const {
  static const std::vector<float> kNone;
  const auto at = lines_.find(name);
  return at == lines_.end() ? kNone : at->second.values;
}

}  // namespace mlxdash::view
