#include "mlxdash/sample/derive.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "mlxbase/core/units.h"

namespace mlxdash {
namespace {

using enum Severity;

// Below these a machine does such things without anybody noticing.
constexpr double kSwapping = 1e6;         // bytes a second
constexpr double kRereading = 20e6;       // bytes a second
constexpr double kStalled = 0.1;          // of the time, all tasks
constexpr double kNearLimit = 3;          // degrees
constexpr double kKvFull = 0.95;
constexpr double kWindow = 600;           // seconds that a forecast looks back
constexpr double kLeastSeen = 60;         // seconds
constexpr double kHorizon = 24 * 3600.0;  // further ahead nobody can say
constexpr double kLeastGrowth = 0.5;      // of the variance

std::string bytes(double value) { return mlxbase::format_bytes(static_cast<std::uint64_t>(std::max(value, 0.0))); }
std::string where(const Engine& e) { return e.kind + " at " + e.url.substr(e.url.find("//") == std::string::npos ? 0 : e.url.find("//") + 2); }

void of_memory(const Snapshot& s, std::vector<Finding>& out) {
  const double in = s.memory.swap_in.value_or(0);
  if (in >= kSwapping) out.push_back({"swap", in >= 20 * kSwapping ? alarm : warning, fmt::format("memory is read back from swap, {}/s: less must be loaded", bytes(in))});
  const double again = s.memory.refaults.value_or(0);
  if (again >= kRereading) {
    out.push_back({"rereading", again >= 10 * kRereading ? alarm : warning, fmt::format("files that were in memory are read again, {}/s: a model does not fit beside the rest", bytes(again))});
  }
  if (const double full = s.memory_pressure.full10.value_or(0); full >= kStalled) {
    out.push_back({"stalled", full >= 3 * kStalled ? alarm : warning, fmt::format("everything waits for memory {:.0f} % of the time", full * 100)});
  }
  if (s.memory.pressure_level && *s.memory.pressure_level >= 2) {
    out.push_back({"stalled", *s.memory.pressure_level >= 4 ? alarm : warning, "the system says that memory is short"});
  }
}

void of_heat(const Snapshot& s, std::vector<Finding>& out) {
  if (s.gpus) {
    for (const Gpu& gpu : *s.gpus) {
      if (gpu.throttled && !gpu.throttled->empty()) out.push_back({"throttled", warning, fmt::format("{} is held down: {}", gpu.name, *gpu.throttled)});
    }
  }
  if (s.sensors) {
    for (const Sensor& t : *s.sensors) {
      if (t.celsius && t.limit && *t.celsius >= *t.limit - kNearLimit) out.push_back({"hot", alarm, fmt::format("{} {} has {:.0f} °C, its limit is {:.0f} °C", t.chip, t.label, *t.celsius, *t.limit)});
    }
  }
}

void of_engine(const Snapshot& s, const Engine& e, std::vector<Finding>& out) {
  if (const double waiting = e.waiting.value_or(0); waiting >= 1) {
    out.push_back({"queue", waiting >= 10 ? warning : note, fmt::format("{}: {:.0f} requests wait for their turn", where(e), waiting)});
  }
  if (const double kv = e.kv_used.value_or(0); kv >= kKvFull && e.running.value_or(0) > 0) {
    out.push_back({"kv_full", warning, fmt::format("{}: its KV cache is full to {:.0f} %, requests push each other out", where(e), kv * 100)});
  }
  const bool has_gpu = s.gpus && !s.gpus->empty();
  if (!e.models || !has_gpu) return;  // without a GPU the processor is where a model belongs
  for (const LoadedModel& m : *e.models) {
    if (!m.bytes || !m.gpu_bytes || *m.bytes == 0 || *m.gpu_bytes >= *m.bytes) continue;
    const double share = 1 - static_cast<double>(*m.gpu_bytes) / static_cast<double>(*m.bytes);
    out.push_back({"cpu_fallback", warning, fmt::format("{}: {:.0f} % of {} is not on the GPU", where(e), share * 100, m.name)});
  }
}

}  // namespace

std::vector<Finding> findings(const Snapshot& s) {
  std::vector<Finding> out;
  of_memory(s, out);
  of_heat(s, out);
  if (s.engines) {
    for (const Engine& e : *s.engines) of_engine(s, e, out);
  }
  std::ranges::stable_sort(out, [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return out;
}

Reading<double> joules_per_token(const Snapshot& s) {
  double watts = 0;
  bool measured = false;
  const auto add = [&](const Reading<double>& part) {
    if (!part) return;
    watts += *part;
    measured = true;
  };
  if (s.gpus) {
    for (const Gpu& gpu : *s.gpus) add(gpu.watts);
  }
  if (s.powers) {
    for (const Power& p : *s.powers) {
      if (p.name.find('/') == std::string::npos) add(p.watts);  // "package-0/core" is part of "package-0"
    }
  }
  if (!measured) return Absent::not_supported;
  double tokens = 0;
  if (s.engines) {
    for (const Engine& e : *s.engines) tokens += e.decode.value_or(0);
  }
  if (tokens <= 0) return Absent::not_yet;
  return watts / tokens;
}

void Forecast::add(std::int64_t steady_ns, double used, double limit) {
  const double seconds = static_cast<double>(steady_ns) / 1e9;
  limit_ = limit;
  if (!seen_.empty() && seconds < seen_.back().seconds) seen_.clear();  // the clock was set back
  if (!seen_.empty() && seconds - seen_.back().seconds < 2) return;     // two a second would only cost
  seen_.push_back({seconds, used});
  while (seen_.front().seconds < seconds - kWindow) seen_.pop_front();
}

Reading<double> Forecast::full_in() const {
  if (seen_.size() < 10 || seen_.back().seconds - seen_.front().seconds < kLeastSeen) return Absent::not_yet;
  const auto n = static_cast<double>(seen_.size());
  double mean_t = 0, mean_u = 0;
  for (const Seen& s : seen_) {
    mean_t += s.seconds / n;
    mean_u += s.used / n;
  }
  double tt = 0, tu = 0, uu = 0;
  for (const Seen& s : seen_) {
    tt += (s.seconds - mean_t) * (s.seconds - mean_t);
    tu += (s.seconds - mean_t) * (s.used - mean_u);
    uu += (s.used - mean_u) * (s.used - mean_u);
  }
  if (tt <= 0 || uu <= 0 || tu <= 0) return Absent::not_supported;
  if (tu * tu / (tt * uu) < kLeastGrowth) return Absent::not_supported;
  const double slope = tu / tt;
  const double left = limit_ - seen_.back().used;
  if (left <= 0) return 0.0;
  const double seconds = left / slope;
  if (!(seconds <= kHorizon)) return Absent::not_supported;
  return seconds;
}

void Forecasts::add(const Snapshot& s) {
  if (s.memory.used && s.memory.total) memory_.add(s.wall_ns, static_cast<double>(*s.memory.used), static_cast<double>(*s.memory.total));
  if (!s.volumes) return;
  for (const Volume& v : *s.volumes) {
    if (v.total && v.free && volumes_.size() < 64) volumes_[v.mount].add(s.wall_ns, static_cast<double>(*v.total) - static_cast<double>(*v.free), static_cast<double>(*v.total));
  }
}

std::vector<Finding> Forecasts::findings() const {
  std::vector<Finding> out;
  const auto say = [&](const std::string& what, const char* cause, const Reading<double>& seconds) {
    if (!seconds) return;
    const auto text = mlxbase::format_duration(std::chrono::seconds(std::llround(*seconds)));
    out.push_back({cause, *seconds < 600 ? alarm : *seconds < 6 * 3600 ? warning : note, fmt::format("{} will be full in {} if it goes on like this", what, text)});
  };
  say("memory", "memory_full", memory_.full_in());
  for (const auto& [mount, forecast] : volumes_) say("the volume " + mount, "disk_full", forecast.full_in());
  return out;
}

void derive(Snapshot& s, Forecasts* forecasts) {
  s.findings = findings(s);
  if (forecasts != nullptr) {
    forecasts->add(s);
    for (Finding& f : forecasts->findings()) s.findings.push_back(std::move(f));
    std::ranges::stable_sort(s.findings, [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  }
  s.joules_per_token = joules_per_token(s);
}

}  // namespace mlxdash
