#include "mlxdash/sample/json.h"

#include <fmt/format.h>

#include <cmath>

#include "mlxbase/core/printable.h"

namespace mlxdash {
namespace {

namespace json = mlxbase::json;
using mlxbase::to_utf8;

/// Writes members of one object; what is missing becomes null, and its path goes to `absent` with the reason.
class Members {
 public:
  Members(std::string path, json::Value& absent) : path_(std::move(path)), absent_(absent) {}

  void put(std::string_view name, json::Value value) { object_.set(name, std::move(value)); }
  void text(std::string_view name, const std::string& value) { object_.set(name, to_utf8(value)); }
  template <class T>
  void put(std::string_view name, const Reading<T>& reading) {
    put(name, reading, [](const T& value, const std::string&) { return of(value); });
  }
  template <class T, class Make>
  void put(std::string_view name, const Reading<T>& reading, Make make) {
    if (reading) {
      object_.set(name, make(*reading, at(name)));
    } else {
      object_.set(name, nullptr);
      absent_.set(at(name), name_of(reading.error()));
    }
  }
  /// A list whose items are written by `each(Members&, item)`.
  template <class T, class Each>
  void list(std::string_view name, const Reading<std::vector<T>>& reading, Each each) {
    put(name, reading, [&](const std::vector<T>& items, const std::string& path) { return array(items, path, each); });
  }
  template <class T, class Each>
  void list(std::string_view name, const std::vector<T>& items, Each each) {
    object_.set(name, array(items, at(name), each));
  }
  Members inside(std::string_view name) const { return {at(name), absent_}; }
  json::Value take() { return std::move(object_); }
  json::Value& absent() { return absent_; }

 private:
  static json::Value of(double value) {
    // JSON has no infinity: what never ends is told as such.
    if (std::isinf(value)) return "never";
    return value;
  }
  static json::Value of(std::uint64_t value) { return value; }
  static json::Value of(int value) { return value; }
  static json::Value of(const std::string& value) { return to_utf8(value); }
  static json::Value of(const std::vector<double>& values) {
    json::Array out;
    for (const double value : values) out.emplace_back(value);
    return out;
  }
  template <class T, class Each>
  json::Value array(const std::vector<T>& items, const std::string& path, Each& each) {
    json::Array out;
    for (std::size_t i = 0; i < items.size(); ++i) {
      Members members(fmt::format("{}[{}]", path, i), absent_);
      each(members, items[i]);
      out.push_back(members.take());
    }
    return out;
  }
  std::string at(std::string_view name) const { return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name); }

  std::string path_;
  json::Value& absent_;
  json::Value object_ = json::Object{};
};

json::Value of(Members m, const Cpu& cpu) {
  m.put("busy", cpu.busy);
  m.put("cores", cpu.cores);
  m.put("load1", cpu.load1);
  m.put("running", cpu.running);
  m.put("blocked", cpu.blocked);
  m.put("hertz", cpu.hertz);
  return m.take();
}

json::Value of(Members m, const Memory& memory) {
  m.put("total", memory.total);
  m.put("available", memory.available);
  m.put("used", memory.used);
  m.put("cached", memory.cached);
  m.put("dirty", memory.dirty);
  m.put("swap_total", memory.swap_total);
  m.put("swap_used", memory.swap_used);
  m.put("swap_in", memory.swap_in);
  m.put("swap_out", memory.swap_out);
  m.put("major_faults", memory.major_faults);
  m.put("refaults", memory.refaults);
  m.put("oom_kills", memory.oom_kills);
  m.put("wired", memory.wired);
  m.put("wired_limit", memory.wired_limit);
  m.put("pressure_level", memory.pressure_level);
  return m.take();
}

json::Value of(Members m, const Pressure& pressure) {
  m.put("some10", pressure.some10);
  m.put("some60", pressure.some60);
  m.put("full10", pressure.full10);
  return m.take();
}

void process(Members& m, const Process& p) {
  m.put("pid", p.pid);
  m.text("name", p.name);
  m.put("anonymous", p.anonymous);
  m.put("file", p.file);
  m.put("resident", p.resident);
  m.put("cpu", p.cpu);
}

void engine(Members& m, const Engine& e) {
  m.text("kind", e.kind);
  m.text("url", e.url);
  m.text("version", e.version);
  m.text("state", e.state);
  m.text("why", e.why);
  m.put("process", e.process, [&](const Process& p, const std::string& path) {
    Members inner(path, m.absent());
    process(inner, p);
    return inner.take();
  });
  m.list("models", e.models, [](Members& inner, const LoadedModel& model) {
    inner.text("name", model.name);
    inner.text("format", model.format);
    inner.text("state", model.state);
    inner.put("bytes", model.bytes);
    inner.put("gpu_bytes", model.gpu_bytes);
    inner.put("context", model.context);
    inner.put("expires_in", model.expires_in);
  });
  m.put("models_known", e.models_known);
  m.put("running", e.running);
  m.put("waiting", e.waiting);
  m.put("decode", e.decode);
  m.put("prefill", e.prefill);
  m.put("kv_used", e.kv_used);
  m.put("prefix_hits", e.prefix_hits);
  m.put("first_token_p50", e.first_token.p50);
  m.put("first_token_p95", e.first_token.p95);
  m.put("between_tokens_p50", e.between_tokens.p50);
  m.put("between_tokens_p95", e.between_tokens.p95);
  m.put("tokens_total", e.tokens_total);
}

void gpu(Members& m, const Gpu& g) {
  m.text("name", g.name);
  m.text("id", g.id);
  m.put("busy", g.busy);
  m.put("memory_total", g.memory_total);
  m.put("memory_used", g.memory_used);
  m.put("celsius", g.celsius);
  m.put("watts", g.watts);
  m.put("watts_limit", g.watts_limit);
  m.put("hertz", g.hertz);
  m.put("throttled", g.throttled);
  m.list("processes", g.processes, [](Members& inner, const GpuProcess& p) {
    inner.put("pid", p.pid);
    inner.put("memory", p.memory);
  });
}

json::Value of(Members m, const Cache& cache) {
  m.list("stores", cache.stores, [](Members& inner, const Store& s) {
    inner.text("kind", s.kind);
    inner.text("root", s.root);
    inner.put("models", s.models);
    inner.put("files", s.files);
    inner.put("bytes", s.bytes);
    inner.put("orphans", s.orphans);
    inner.put("orphan_bytes", s.orphan_bytes);
    inner.put("downloads", s.downloads);
    inner.put("download_bytes", s.download_bytes);
    inner.put("problems", s.problems);
  });
  m.list("largest", cache.largest, [](Members& inner, const StoredModel& model) {
    inner.text("store", model.store);
    inner.text("name", model.name);
    inner.text("format", model.format);
    inner.put("bytes", model.bytes);
    inner.put("incomplete", model.incomplete);
  });
  m.put("bytes", cache.bytes);
  m.put("duplicate_bytes", cache.duplicate_bytes);
  m.put("looked_at_ns", cache.looked_at_ns);
  return m.take();
}

}  // namespace

json::Value to_json(const Snapshot& s) {
  json::Value absent = json::Object{};
  Members m("", absent);
  m.put("schema", "mlxdash.snapshot/1");
  m.put("wall_ns", s.wall_ns);
  m.text("host", s.host);
  m.put("cpu", of(m.inside("cpu"), s.cpu));
  m.put("memory", of(m.inside("memory"), s.memory));
  m.put("cpu_pressure", of(m.inside("cpu_pressure"), s.cpu_pressure));
  m.put("memory_pressure", of(m.inside("memory_pressure"), s.memory_pressure));
  m.put("io_pressure", of(m.inside("io_pressure"), s.io_pressure));
  m.list("disks", s.disks, [](Members& i, const Disk& d) {
    i.text("name", d.name);
    i.put("read", d.read);
    i.put("written", d.written);
    i.put("busy", d.busy);
  });
  m.list("volumes", s.volumes, [](Members& i, const Volume& v) {
    i.text("mount", v.mount);
    i.text("type", v.type);
    i.put("total", v.total);
    i.put("free", v.free);
  });
  m.list("networks", s.networks, [](Members& i, const Network& n) {
    i.text("name", n.name);
    i.put("received", n.received);
    i.put("sent", n.sent);
  });
  m.list("sensors", s.sensors, [](Members& i, const Sensor& t) {
    i.text("chip", t.chip);
    i.text("label", t.label);
    i.put("celsius", t.celsius);
    i.put("limit", t.limit);
  });
  m.list("fans", s.fans, [](Members& i, const Fan& f) {
    i.text("chip", f.chip);
    i.text("label", f.label);
    i.put("rpm", f.rpm);
  });
  m.list("powers", s.powers, [](Members& i, const Power& p) {
    i.text("name", p.name);
    i.put("watts", p.watts);
  });
  m.list("gpus", s.gpus, gpu);
  m.list("engines", s.engines, engine);
  m.list("holders", s.holders, [](Members& i, const Holder& h) {
    i.put("pid", h.pid);
    i.text("name", h.name);
    json::Array files;
    for (const std::string& file : h.files) files.emplace_back(to_utf8(file));
    i.put("files", std::move(files));
    i.put("resident", h.resident);
  });
  m.put("cache", s.cache, [&](const Cache& cache, const std::string& path) { return of(Members(path, absent), cache); });
  m.list("sources", s.sources, [](Members& i, const Source& source) {
    i.text("name", source.name);
    i.put("state", to_string(source.state));
    i.text("message", source.message);
    i.put("age", source.age);
    i.put("cost", source.cost);
  });
  m.list("findings", s.findings, [](Members& i, const Finding& f) {
    i.text("cause", f.cause);
    i.put("severity", to_string(f.severity));
    i.text("text", f.text);
  });
  m.put("joules_per_token", s.joules_per_token);
  json::Value document = m.take();
  document.set("absent", std::move(absent));
  return document;
}

}  // namespace mlxdash
