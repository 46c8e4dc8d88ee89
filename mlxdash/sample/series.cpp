#include "mlxdash/sample/series.h"

#include <fmt/format.h>

#include <cmath>

#include "mlxbase/core/printable.h"

namespace mlxdash {
namespace {

using enum Kind;

/// Collects what is there.
class Out {
 public:
  explicit Out(std::vector<Measurement>& out) : out_(out) {}
  template <class T>
  void put(std::string_view name, const Reading<T>& reading, Labels labels = {}) {
    if (reading) out_.push_back({name, std::move(labels), static_cast<double>(*reading)});
  }
  void put(std::string_view name, double value, Labels labels = {}) { out_.push_back({name, std::move(labels), value}); }

 private:
  std::vector<Measurement>& out_;
};

void pressure(Out& out, const char* resource, const Pressure& p) {
  out.put("mlxdash_pressure_some_ratio", p.some10, {{"resource", resource}});
  out.put("mlxdash_pressure_full_ratio", p.full10, {{"resource", resource}});
}

void engine(Out& out, const Engine& e) {
  const Labels labels = {{"engine", e.kind}, {"url", e.url}};
  out.put("mlxdash_engine_up", e.state == "up" || e.state == "sleeping" ? 1.0 : 0.0, labels);
  out.put("mlxdash_engine_requests_running", e.running, labels);
  out.put("mlxdash_engine_requests_waiting", e.waiting, labels);
  out.put("mlxdash_engine_decode_tokens_per_second", e.decode, labels);
  out.put("mlxdash_engine_prefill_tokens_per_second", e.prefill, labels);
  out.put("mlxdash_engine_kv_used_ratio", e.kv_used, labels);
  out.put("mlxdash_engine_prefix_hit_ratio", e.prefix_hits, labels);
  out.put("mlxdash_engine_first_token_p50_seconds", e.first_token.p50, labels);
  out.put("mlxdash_engine_first_token_p95_seconds", e.first_token.p95, labels);
  out.put("mlxdash_engine_between_tokens_p50_seconds", e.between_tokens.p50, labels);
  out.put("mlxdash_engine_between_tokens_p95_seconds", e.between_tokens.p95, labels);
  out.put("mlxdash_engine_generated_tokens_total", e.tokens_total, labels);
  if (e.process) {
    out.put("mlxdash_engine_resident_bytes", e.process->resident, labels);
    out.put("mlxdash_engine_anonymous_bytes", e.process->anonymous, labels);
    out.put("mlxdash_engine_file_bytes", e.process->file, labels);
    out.put("mlxdash_engine_cpu_cores", e.process->cpu, labels);
  }
  if (e.models) {
    out.put("mlxdash_engine_models_loaded", static_cast<double>(e.models->size()), labels);
    for (const LoadedModel& model : *e.models) {
      Labels with_model = labels;
      with_model.emplace_back("model", model.name);
      out.put("mlxdash_engine_model_bytes", model.bytes, with_model);
      out.put("mlxdash_engine_model_gpu_bytes", model.gpu_bytes, with_model);
    }
  }
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : mlxbase::to_utf8(text)) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> kMetrics = {
      {"mlxdash_cpu_busy_ratio", gauge, "Share of all cores that was busy"},
      {"mlxdash_load1", gauge, "Load average of one minute"},
      {"mlxdash_memory_total_bytes", gauge, "Memory of this machine"},
      {"mlxdash_memory_used_bytes", gauge, "Memory that is not available to new programs"},
      {"mlxdash_swap_used_bytes", gauge, "Swap in use"},
      {"mlxdash_swap_in_bytes_per_second", gauge, "Read back from swap"},
      {"mlxdash_swap_out_bytes_per_second", gauge, "Written to swap"},
      {"mlxdash_refault_bytes_per_second", gauge, "File pages that were evicted and read again: a model that does not fit"},
      {"mlxdash_pressure_some_ratio", gauge, "Share of the last ten seconds in which some task waited"},
      {"mlxdash_pressure_full_ratio", gauge, "Share of the last ten seconds in which all tasks waited"},
      {"mlxdash_disk_read_bytes_per_second", gauge, "Read from the disk"},
      {"mlxdash_disk_written_bytes_per_second", gauge, "Written to the disk"},
      {"mlxdash_disk_busy_ratio", gauge, "Share of the time in which the disk had work"},
      {"mlxdash_volume_total_bytes", gauge, "Size of the volume"},
      {"mlxdash_volume_free_bytes", gauge, "Free on the volume for this user"},
      {"mlxdash_network_received_bytes_per_second", gauge, "Received"},
      {"mlxdash_network_sent_bytes_per_second", gauge, "Sent"},
      {"mlxdash_temperature_celsius", gauge, "Temperature"},
      {"mlxdash_power_watts", gauge, "Power drawn"},
      {"mlxdash_gpu_busy_ratio", gauge, "Share of the time in which the GPU had work"},
      {"mlxdash_gpu_memory_total_bytes", gauge, "Memory of the GPU"},
      {"mlxdash_gpu_memory_used_bytes", gauge, "Memory of the GPU in use"},
      {"mlxdash_gpu_temperature_celsius", gauge, "Temperature of the GPU"},
      {"mlxdash_gpu_power_watts", gauge, "Power drawn by the GPU"},
      {"mlxdash_engine_up", gauge, "1 if the server answers"},
      {"mlxdash_engine_requests_running", gauge, "Requests being worked on"},
      {"mlxdash_engine_requests_waiting", gauge, "Requests in the queue"},
      {"mlxdash_engine_decode_tokens_per_second", gauge, "Tokens generated a second"},
      {"mlxdash_engine_prefill_tokens_per_second", gauge, "Prompt tokens read a second"},
      {"mlxdash_engine_kv_used_ratio", gauge, "Share of the KV cache in use"},
      {"mlxdash_engine_prefix_hit_ratio", gauge, "Share of prompt tokens that the prefix cache had"},
      {"mlxdash_engine_first_token_p50_seconds", gauge, "Median time to the first token"},
      {"mlxdash_engine_first_token_p95_seconds", gauge, "95th percentile of the time to the first token"},
      {"mlxdash_engine_between_tokens_p50_seconds", gauge, "Median time between tokens"},
      {"mlxdash_engine_between_tokens_p95_seconds", gauge, "95th percentile of the time between tokens"},
      {"mlxdash_engine_generated_tokens_total", counter, "Tokens generated since the server started"},
      {"mlxdash_engine_resident_bytes", gauge, "Memory of the server's processes"},
      {"mlxdash_engine_anonymous_bytes", gauge, "Of it, what the server made itself"},
      {"mlxdash_engine_file_bytes", gauge, "Of it, what is mapped from files: weights, mostly"},
      {"mlxdash_engine_cpu_cores", gauge, "Cores that the server's processes use"},
      {"mlxdash_engine_models_loaded", gauge, "Models in memory"},
      {"mlxdash_engine_model_bytes", gauge, "Memory of a loaded model"},
      {"mlxdash_engine_model_gpu_bytes", gauge, "Of it, on the GPU"},
      {"mlxdash_cache_bytes", gauge, "Blocks that the model stores hold"},
      {"mlxdash_cache_duplicate_bytes", gauge, "Of it, copies that could be shared"},
      {"mlxdash_store_bytes", gauge, "Blocks that one tool's store holds"},
      {"mlxdash_store_models", gauge, "Models in one tool's store"},
      {"mlxdash_joules_per_token", gauge, "Energy of all that is measured, over the tokens that all servers generate"},
      {"mlxdash_source_up", gauge, "1 if the source of values answers"},
  };
  return kMetrics;
}

std::vector<Measurement> measurements(const Snapshot& s) {
  std::vector<Measurement> all;
  Out out(all);
  out.put("mlxdash_cpu_busy_ratio", s.cpu.busy);
  out.put("mlxdash_load1", s.cpu.load1);
  out.put("mlxdash_memory_total_bytes", s.memory.total);
  out.put("mlxdash_memory_used_bytes", s.memory.used);
  out.put("mlxdash_swap_used_bytes", s.memory.swap_used);
  out.put("mlxdash_swap_in_bytes_per_second", s.memory.swap_in);
  out.put("mlxdash_swap_out_bytes_per_second", s.memory.swap_out);
  out.put("mlxdash_refault_bytes_per_second", s.memory.refaults);
  pressure(out, "cpu", s.cpu_pressure);
  pressure(out, "memory", s.memory_pressure);
  pressure(out, "io", s.io_pressure);
  if (s.disks) {
    for (const Disk& d : *s.disks) {
      out.put("mlxdash_disk_read_bytes_per_second", d.read, {{"disk", d.name}});
      out.put("mlxdash_disk_written_bytes_per_second", d.written, {{"disk", d.name}});
      out.put("mlxdash_disk_busy_ratio", d.busy, {{"disk", d.name}});
    }
  }
  if (s.volumes) {
    for (const Volume& v : *s.volumes) {
      out.put("mlxdash_volume_total_bytes", v.total, {{"mount", v.mount}});
      out.put("mlxdash_volume_free_bytes", v.free, {{"mount", v.mount}});
    }
  }
  if (s.networks) {
    for (const Network& n : *s.networks) {
      out.put("mlxdash_network_received_bytes_per_second", n.received, {{"interface", n.name}});
      out.put("mlxdash_network_sent_bytes_per_second", n.sent, {{"interface", n.name}});
    }
  }
  if (s.sensors) {
    for (const Sensor& t : *s.sensors) out.put("mlxdash_temperature_celsius", t.celsius, {{"chip", t.chip}, {"sensor", t.label}});
  }
  if (s.powers) {
    for (const Power& p : *s.powers) out.put("mlxdash_power_watts", p.watts, {{"domain", p.name}});
  }
  if (s.gpus) {
    for (const Gpu& g : *s.gpus) {
      const Labels labels = {{"gpu", g.id}};
      out.put("mlxdash_gpu_busy_ratio", g.busy, labels);
      out.put("mlxdash_gpu_memory_total_bytes", g.memory_total, labels);
      out.put("mlxdash_gpu_memory_used_bytes", g.memory_used, labels);
      out.put("mlxdash_gpu_temperature_celsius", g.celsius, labels);
      out.put("mlxdash_gpu_power_watts", g.watts, labels);
    }
  }
  if (s.engines) {
    for (const Engine& e : *s.engines) engine(out, e);
  }
  if (s.cache) {
    out.put("mlxdash_cache_bytes", static_cast<double>(s.cache->bytes));
    out.put("mlxdash_cache_duplicate_bytes", static_cast<double>(s.cache->duplicate_bytes));
    for (const Store& store : s.cache->stores) {
      const Labels labels = {{"store", store.kind}, {"root", store.root}};
      out.put("mlxdash_store_bytes", static_cast<double>(store.bytes), labels);
      out.put("mlxdash_store_models", static_cast<double>(store.models), labels);
    }
  }
  out.put("mlxdash_joules_per_token", s.joules_per_token);
  for (const Source& source : s.sources) {
    if (source.state != SourceState::waiting && source.state != SourceState::none) out.put("mlxdash_source_up", source.state == SourceState::ok ? 1.0 : 0.0, {{"source", source.name}});
  }
  return all;
}

std::string key_of(const Measurement& m) {
  std::string key(m.name);
  if (m.labels.empty()) return key;
  key += '{';
  for (std::size_t i = 0; i < m.labels.size(); ++i) {
    if (i > 0) key += ',';
    key += fmt::format("{}=\"{}\"", m.labels[i].first, escaped(m.labels[i].second));
  }
  return key + "}";
}

std::string prometheus_text(const Snapshot& snapshot) {
  const auto all = measurements(snapshot);
  std::string out;
  for (const Metric& metric : metrics()) {
    bool begun = false;
    for (const Measurement& m : all) {
      if (m.name != metric.name) continue;
      if (!begun) out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", metric.name, metric.help, metric.name, metric.kind == counter ? "counter" : "gauge");
      begun = true;
      out += std::isinf(m.value) ? fmt::format("{} {}Inf\n", key_of(m), m.value > 0 ? "+" : "-") : fmt::format("{} {}\n", key_of(m), m.value);
    }
  }
  return out;
}

}  // namespace mlxdash
