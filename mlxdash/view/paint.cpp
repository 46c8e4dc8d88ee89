#include "mlxdash/view/paint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/core/width.h"

namespace mlxdash::view {
namespace {

constexpr std::string_view kMissing = "–";

std::string or_missing(bool ascii) { return ascii ? "-" : std::string(kMissing); }

/// Text for values; what is missing is a dash.
class Words {
 public:
  explicit Words(bool ascii) : missing_(or_missing(ascii)) {}
  template <class T, class Make>
  std::string of(const Reading<T>& reading, Make make) const {
    return reading ? make(*reading) : missing_;
  }
  std::string bytes(const Reading<std::uint64_t>& r) const { return of(r, [](std::uint64_t b) { return mlxbase::format_bytes(b); }); }
  std::string rate(const Reading<double>& r) const {
    return of(r, [](double b) { return mlxbase::format_bytes(static_cast<std::uint64_t>(std::max(b, 0.0))) + "/s"; });
  }
  std::string percent(const Reading<double>& r) const { return of(r, [](double v) { return fmt::format("{:.0f} %", v * 100); }); }
  std::string number(const Reading<double>& r) const { return of(r, [](double v) { return v >= 100 || v == std::floor(v) ? fmt::format("{:.0f}", v) : fmt::format("{:.1f}", v); }); }
  std::string count(const Reading<std::uint64_t>& r) const { return of(r, [](std::uint64_t v) { return fmt::format("{}", v); }); }
  std::string celsius(const Reading<double>& r) const { return of(r, [this](double v) { return fmt::format("{:.0f} {}", v, missing_ == "-" ? "C" : "°C"); }); }
  std::string watts(const Reading<double>& r) const { return of(r, [](double v) { return fmt::format("{:.1f} W", v); }); }
  std::string seconds(const Reading<double>& r) const {
    return of(r, [](double v) { return v < 1 ? fmt::format("{:.0f} ms", v * 1000) : fmt::format("{:.1f} s", v); });
  }
  const std::string& missing() const { return missing_; }

 private:
  std::string missing_;
};

Ink ink_of_share(double share) { return share >= 0.9 ? Ink::bad : share >= 0.7 ? Ink::warn : Ink::good; }

struct Scene {
  const Snapshot& s;
  const Traces& traces;
  bool ascii;
  int scroll;
  Words words;
};

/// Why a whole panel is empty, in the words of its source where it has any.
void missing(Canvas& c, const Scene& scene, Absent why, std::initializer_list<std::string_view> sources) {
  std::string text(to_string(why));
  for (const std::string_view name : sources) {
    for (const Source& source : scene.s.sources) {
      if (source.name == name && !source.message.empty()) text = source.message;
    }
  }
  c.text(0, 0, text, Ink::dim);
}

/// "label  ███····  62 %": what remains of the row is the bar.
void gauge(Canvas& c, int y, std::string_view label, const Reading<double>& share, std::string_view value, int label_width) {
  c.text(0, y, label, Ink::dim, label_width);
  const int value_width = static_cast<int>(mlxbase::width_of(value));
  const int bar = c.width() - label_width - value_width - 2;
  if (share && bar >= 3) c.bar(label_width + 1, y, bar, *share, ink_of_share(*share));
  c.text_right(c.width(), y, value, share ? Ink::plain : Ink::dim);
}

void pair(Canvas& c, int y, std::string_view label, std::string_view value, int label_width) {
  c.text(0, y, label, Ink::dim, label_width);
  c.text(label_width + 1, y, value);
}

// ---- panels: one function each ---------------------------------------------------------------------------------------------

void paint_cpu(Canvas c, const Scene& scene) {
  const Cpu& cpu = scene.s.cpu;
  if (!cpu.load1 && !cpu.busy && cpu.busy.error() != Absent::not_yet) return missing(c, scene, cpu.busy.error(), {"cpu"});
  gauge(c, 0, "busy", cpu.busy, scene.words.percent(cpu.busy), 5);
  std::string line = "load " + scene.words.of(cpu.load1, [](double v) { return fmt::format("{:.2f}", v); });
  if (cpu.running) line += fmt::format("  running {}", *cpu.running);
  if (cpu.blocked && *cpu.blocked > 0) line += fmt::format("  blocked {}", *cpu.blocked);
  if (cpu.hertz) line += fmt::format("  {:.2f} GHz", *cpu.hertz / 1e9);
  if (scene.s.cpu_pressure.some10) line += fmt::format("  stalled {:.0f} %", *scene.s.cpu_pressure.some10 * 100);
  c.text(0, 1, line, Ink::dim);
  int y = 2;
  if (cpu.cores) {
    const auto& cores = *cpu.cores;
    const int across = std::max(c.width(), 1);
    static constexpr char32_t kLevels[] = U"▁▂▃▄▅▆▇█";
    static constexpr char32_t kPlain[] = U"_.:-=+*#";
    for (std::size_t i = 0; i < cores.size() && y < c.height(); ++i) {
      const int x = static_cast<int>(i) % across;
      if (x == 0 && i > 0) ++y;
      const int level = std::clamp(static_cast<int>(cores[i] * 8), 0, 7);
      c.put(x, y, scene.ascii ? kPlain[level] : kLevels[level], ink_of_share(cores[i]));
    }
    ++y;
  }
  c.spark(0, y, c.width(), c.height() - y, scene.traces.of("cpu"), 1.0, Ink::chart);
}

void paint_memory(Canvas c, const Scene& scene) {
  const Memory& m = scene.s.memory;
  if (!m.total) return missing(c, scene, m.total.error(), {"memory"});
  const auto share = memory_share(scene.s);
  gauge(c, 0, "used", share, fmt::format("{} of {}", scene.words.bytes(m.used), scene.words.bytes(m.total)), 5);
  Reading<double> swap = Absent::not_supported;
  if (m.swap_total && m.swap_used && *m.swap_total > 0) swap = static_cast<double>(*m.swap_used) / static_cast<double>(*m.swap_total);
  const bool none = m.swap_total && *m.swap_total == 0;
  gauge(c, 1, "swap", swap, none ? "none" : fmt::format("{} of {}", scene.words.bytes(m.swap_used), scene.words.bytes(m.swap_total)), 5);
  std::string moving = fmt::format("in {} out {}", scene.words.rate(m.swap_in), scene.words.rate(m.swap_out));
  if (m.refaults) moving += fmt::format("  re-read {}", scene.words.rate(m.refaults));
  c.text(0, 2, moving, Ink::dim);
  std::string more = "cache " + scene.words.bytes(m.cached);
  if (m.wired) more += fmt::format("  wired {}", scene.words.bytes(m.wired));
  if (scene.s.memory_pressure.some10) {
    more += fmt::format("  stalled {:.0f} %", *scene.s.memory_pressure.some10 * 100);
  } else if (m.pressure_level) {
    more += *m.pressure_level == 1 ? "  pressure normal" : *m.pressure_level == 2 ? "  pressure warning" : "  pressure critical";
  }
  if (m.oom_kills && *m.oom_kills > 0) more += fmt::format("  {} killed", *m.oom_kills);
  c.text(0, 3, more, Ink::dim);
  c.spark(0, 4, c.width(), c.height() - 4, scene.traces.of("memory"), 1.0, Ink::chart);
}

void paint_gpu(Canvas c, const Scene& scene) {
  const auto& gpus = scene.s.gpus;
  if (!gpus || gpus->empty()) {
    if (gpus) {
      c.text(0, 0, "none", Ink::dim);
    } else if (gpus.error() == Absent::not_supported) {
      c.text(0, 0, "no GPU that tells of itself (NVIDIA, amdgpu)", Ink::dim);
    } else {
      missing(c, scene, gpus.error(), {"nvidia"});
    }
    return;
  }
  int y = 0;
  for (const Gpu& gpu : *gpus) {
    std::string right = scene.words.celsius(gpu.celsius) + "  " + scene.words.watts(gpu.watts);
    if (gpu.hertz) right += fmt::format("  {:.0f} MHz", *gpu.hertz / 1e6);
    const int used = c.text_right(c.width(), y, right, Ink::dim);
    c.text(0, y, gpu.name, gpu.throttled && !gpu.throttled->empty() ? Ink::warn : Ink::plain, std::max(1, c.width() - used - 1));
    gauge(c, y + 1, "busy", gpu.busy, scene.words.percent(gpu.busy), 5);
    Reading<double> share = Absent::not_supported;
    if (gpu.memory_total && gpu.memory_used && *gpu.memory_total > 0) share = static_cast<double>(*gpu.memory_used) / static_cast<double>(*gpu.memory_total);
    gauge(c, y + 2, "mem", share, fmt::format("{} of {}", scene.words.bytes(gpu.memory_used), scene.words.bytes(gpu.memory_total)), 5);
    y += 3;
  }
  if (gpus->size() == 1) c.spark(0, y, c.width(), c.height() - y, scene.traces.of("gpu." + gpus->front().id), 1.0, Ink::chart);
}

double top_of(const std::vector<float>& a, const std::vector<float>& b, double least) {
  double top = least;
  for (const auto* values : {&a, &b}) {
    for (const float v : *values) {
      if (!std::isnan(v)) top = std::max(top, static_cast<double>(v));
    }
  }
  return top;
}

void paint_flows(Canvas c, const Scene& scene, const char* in, const char* out, int y) {
  const auto& a = scene.traces.of(in);
  const auto& b = scene.traces.of(out);
  const double top = top_of(a, b, 1e6);
  const int rows = c.height() - y;
  if (rows >= 2) {
    c.spark(0, y, c.width(), rows / 2, a, top, Ink::chart);
    c.spark(0, y + rows / 2, c.width(), rows - rows / 2, b, top, Ink::accent);
  } else {
    c.spark(0, y, c.width(), rows, a, top, Ink::chart);
  }
}

void paint_disks(Canvas c, const Scene& scene) {
  const auto& disks = scene.s.disks;
  if (!disks) return missing(c, scene, disks.error(), {"disks"});
  if (disks->empty()) c.text(0, 0, "no disk", Ink::dim);
  int y = 0;
  for (const Disk& disk : *disks) {
    c.text(0, y, disk.name, Ink::plain, 9);
    c.text(10, y, fmt::format("read {}  written {}  busy {}", scene.words.rate(disk.read), scene.words.rate(disk.written), scene.words.percent(disk.busy)), Ink::dim);
    ++y;
  }
  paint_flows(c, scene, "disk.read", "disk.written", y);
}

void paint_network(Canvas c, const Scene& scene) {
  const auto& networks = scene.s.networks;
  if (!networks) return missing(c, scene, networks.error(), {"networks"});
  if (networks->empty()) c.text(0, 0, "no interface", Ink::dim);
  int y = 0;
  for (const Network& n : *networks) {
    c.text(0, y, n.name, Ink::plain, 9);
    c.text(10, y, fmt::format("in {}  out {}", scene.words.rate(n.received), scene.words.rate(n.sent)), Ink::dim);
    ++y;
  }
  paint_flows(c, scene, "network.received", "network.sent", y);
}

void paint_volumes(Canvas c, const Scene& scene) {
  const auto& volumes = scene.s.volumes;
  if (!volumes) return missing(c, scene, volumes.error(), {"volumes"});
  int y = 0;
  std::size_t longest = 0;
  for (const Volume& v : *volumes) longest = std::max(longest, mlxbase::width_of(mlxbase::printable(v.mount)));
  const int label = std::min(static_cast<int>(std::min<std::size_t>(longest, 200)), c.width() / 3);
  for (const Volume& v : *volumes) {
    Reading<double> share = Absent::not_supported;
    if (v.total && v.free && *v.total > 0) share = 1 - static_cast<double>(*v.free) / static_cast<double>(*v.total);
    gauge(c, y++, v.mount, share, fmt::format("{} free of {}", scene.words.bytes(v.free), scene.words.bytes(v.total)), label);
  }
}

void paint_cache(Canvas c, const Scene& scene) {
  const auto& cache = scene.s.cache;
  if (!cache) return missing(c, scene, cache.error(), {"cache"});
  std::string all = fmt::format("{} in all", mlxbase::format_bytes(cache->bytes));
  if (cache->duplicate_bytes > 0) all += fmt::format(", {} stored twice: mlxcache dedup", mlxbase::format_bytes(cache->duplicate_bytes));
  c.text(0, 0, all, cache->duplicate_bytes > 0 ? Ink::warn : Ink::plain);
  int y = 1;
  if (cache->stores.empty()) c.text(0, y, "no store of models found", Ink::dim);
  for (const Store& store : cache->stores) {
    std::string line = fmt::format("{:>3} models {:>9}", store.models, mlxbase::format_bytes(store.bytes));
    if (store.orphans > 0) line += fmt::format("  {} orphans", store.orphans);
    if (store.downloads > 0) line += fmt::format("  {} unfinished ({})", store.downloads, mlxbase::format_bytes(store.download_bytes));
    const int name = std::clamp(c.width() - 24, 8, 24);
    c.text(0, y, store.title, Ink::plain, name);
    c.text(name + 1, y, line, Ink::dim);
    ++y;
  }
}

void paint_models(Canvas c, const Scene& scene) {
  const auto& cache = scene.s.cache;
  if (!cache) return missing(c, scene, cache.error(), {"cache"});
  if (cache->largest.empty()) c.text(0, 0, "no models", Ink::dim);
  int y = 0;
  for (const StoredModel& m : cache->largest) {
    c.text(0, y, fmt::format("{:>9}", mlxbase::format_bytes(m.bytes)));
    c.text(11, y, m.name, m.incomplete ? Ink::warn : Ink::plain, std::max(1, c.width() - 11 - 24));
    c.text(std::max(12, c.width() - 23), y, fmt::format("{} {}{}", m.store, m.format, m.incomplete ? " incomplete" : ""), Ink::dim);
    ++y;
  }
}

void paint_heat(Canvas c, const Scene& scene) {
  int y = 0;
  const auto& powers = scene.s.powers;
  if (powers) {
    for (const Power& p : *powers) pair(c, y++, p.name, scene.words.watts(p.watts), 18);
  } else {
    Canvas line = c.part({.x = 0, .y = y++, .width = c.width(), .height = 1});
    missing(line, scene, powers.error(), {"power"});
  }
  const auto& sensors = scene.s.sensors;
  if (sensors) {
    for (const Sensor& t : *sensors) {
      const bool hot = t.celsius && t.limit && *t.celsius >= *t.limit - 5;
      c.text(0, y, t.chip + " " + t.label, Ink::dim, 18);
      c.text(19, y, scene.words.celsius(t.celsius), hot ? Ink::bad : Ink::plain);
      ++y;
    }
  } else {
    Canvas line = c.part({.x = 0, .y = y++, .width = c.width(), .height = 1});
    missing(line, scene, sensors.error(), {"sensors"});
  }
  if (scene.s.fans) {
    for (const Fan& f : *scene.s.fans) pair(c, y++, f.chip + " " + f.label, scene.words.of(f.rpm, [](double v) { return fmt::format("{:.0f} rpm", v); }), 18);
  }
}

void paint_holders(Canvas c, const Scene& scene) {
  const auto& holders = scene.s.holders;
  if (!holders) return missing(c, scene, holders.error(), {"holders"});
  if (holders->empty()) c.text(0, 0, "no process has model files mapped", Ink::dim);
  int y = 0;
  for (const Holder& h : *holders) {
    std::string files;
    for (const std::string& file : h.files) {
      if (!files.empty()) files += ", ";
      files += file.substr(file.rfind('/') + 1);
    }
    c.text(0, y, fmt::format("{:>8} {:<16}", h.pid, h.name), Ink::plain, 26);
    c.text(27, y, scene.words.bytes(h.resident), Ink::plain, 9);
    c.text(37, y, files, Ink::dim);
    ++y;
  }
}

void paint_sources(Canvas c, const Scene& scene) {
  int y = -scene.scroll;
  for (const Source& source : scene.s.sources) {
    if (y >= 0) {
      const Ink ink = source.state == SourceState::ok ? Ink::good : source.state == SourceState::waiting || source.state == SourceState::none ? Ink::dim : Ink::warn;
      c.text(0, y, source.name, Ink::plain, 12);
      c.text(13, y, to_string(source.state), ink, 8);
      c.text(22, y, source.state == SourceState::ok ? fmt::format("{:.1f} s ago, cost {:.1f} ms", source.age, source.cost * 1000) : source.message, Ink::dim);
    }
    ++y;
  }
}

// Columns of the table of engines, from the left. Those further down give way first.
struct Column {
  std::string_view title;
  int width;
  int rank;  // least first
};
constexpr Column kColumns[] = {{"memory", 9, 1}, {"run", 4, 2}, {"wait", 5, 3}, {"tok/s", 7, 0}, {"prefill", 8, 5}, {"KV", 6, 4}, {"hits", 6, 7}, {"TTFT", 8, 6}, {"cpu", 5, 8}};
constexpr int kNameLeast = 30;

std::string value_of(std::size_t column, const Engine& e, const Words& words) {
  switch (column) {
    case 0: return e.process ? words.bytes(e.process->resident) : words.missing();
    case 1: return words.number(e.running);
    case 2: return words.number(e.waiting);
    case 3: return words.number(e.decode);
    case 4: return words.number(e.prefill);
    case 5: return words.percent(e.kv_used);
    case 6: return words.percent(e.prefix_hits);
    case 7: return words.seconds(e.first_token.p50);
    default: return e.process ? words.of(e.process->cpu, [](double v) { return fmt::format("{:.1f}", v); }) : words.missing();
  }
}

std::vector<std::size_t> columns_for(int width) {
  std::vector<std::size_t> chosen;
  int left = width - kNameLeast;
  for (int rank = 0; rank < static_cast<int>(std::size(kColumns)); ++rank) {
    for (std::size_t i = 0; i < std::size(kColumns); ++i) {
      if (kColumns[i].rank != rank) continue;
      if (left >= kColumns[i].width + 1) {
        chosen.push_back(i);
        left -= kColumns[i].width + 1;
      }
    }
  }
  std::ranges::sort(chosen);
  return chosen;
}

std::string model_line(const LoadedModel& m, const Words& words) {
  std::string line = m.name;
  if (m.bytes) line += "  " + words.bytes(m.bytes);
  if (m.bytes && m.gpu_bytes && *m.bytes > 0) line += fmt::format(" ({:.0f} % GPU)", 100.0 * static_cast<double>(*m.gpu_bytes) / static_cast<double>(*m.bytes));
  if (m.context) line += fmt::format("  {} ctx", *m.context);
  if (m.format.find_first_not_of(' ') != std::string::npos) line += "  " + m.format;
  if (m.expires_in) line += std::isinf(*m.expires_in) ? "  stays" : fmt::format("  {} left", mlxbase::format_duration(std::chrono::seconds(std::llround(*m.expires_in))));
  if (!m.state.empty() && m.state != "loaded") line += "  " + m.state;
  return line;
}

void paint_engines(Canvas c, const Scene& scene) {
  const auto& engines = scene.s.engines;
  if (!engines) return missing(c, scene, engines.error(), {"engines"});
  if (engines->empty()) {
    c.text(0, 0, "no server of models is running that this user can see; name one with --engine URL", Ink::dim);
    return;
  }
  const auto columns = columns_for(c.width());
  int right = 0;
  for (const std::size_t i : columns) right += kColumns[i].width + 1;
  const int name_width = c.width() - right;
  c.text(0, 0, "server and its models", Ink::dim, name_width);
  int x = name_width;
  for (const std::size_t i : columns) {
    x += kColumns[i].width + 1;
    c.text_right(x, 0, kColumns[i].title, Ink::dim);
  }
  Canvas rows = c.part({.x = 0, .y = 1, .width = c.width(), .height = c.height() - 1});
  int y = -scene.scroll;
  for (const Engine& e : *engines) {
    if (y >= 0) {
      const Ink ink = e.state == "up" || e.state == "sleeping" ? Ink::good : e.state == "loading" || e.state == "locked" ? Ink::warn : Ink::bad;
      rows.put(0, y, scene.ascii ? U'*' : U'●', ink);
      std::string name = e.kind.empty() ? "?" : e.kind;
      name += " " + e.url.substr(e.url.find("//") + 2);
      if (!e.version.empty()) name += " " + e.version;
      if (e.state != "up") name += fmt::format(" {}{}{}", e.state, e.why.empty() ? "" : ": ", e.why);
      rows.text(2, y, name, Ink::plain, std::max(1, name_width - 3), true);
      x = name_width;
      for (const std::size_t i : columns) {
        x += kColumns[i].width + 1;
        const std::string value = value_of(i, e, scene.words);
        rows.text_right(x, y, value, value == scene.words.missing() ? Ink::dim : Ink::plain);
      }
    }
    ++y;
    if (!e.models) continue;
    for (const LoadedModel& m : *e.models) {
      if (y >= 0) rows.text(4, y, model_line(m, scene.words), Ink::accent);
      ++y;
    }
  }
}

void paint_findings(Canvas c, const Scene& scene) {
  int y = 0;
  for (const Finding& f : scene.s.findings) {
    const Ink ink = f.severity == Severity::alarm ? Ink::bad : f.severity == Severity::warning ? Ink::warn : Ink::dim;
    c.put(0, y, f.severity == Severity::note ? U'-' : U'!', ink, true);
    c.text(2, y++, f.text, ink);
  }
}

struct Painter {
  PanelId panel;
  std::string_view title;
  void (*paint)(Canvas, const Scene&);
};
constexpr Painter kPainters[] = {
    {PanelId::engines, "Engines and models", &paint_engines},
    {PanelId::findings, "Why it may be slow", &paint_findings},
    {PanelId::cpu, "Processor", &paint_cpu},
    {PanelId::memory, "Memory", &paint_memory},
    {PanelId::gpu, "GPU", &paint_gpu},
    {PanelId::disks, "Disks", &paint_disks},
    {PanelId::network, "Network", &paint_network},
    {PanelId::volumes, "Volumes", &paint_volumes},
    {PanelId::cache, "Model stores", &paint_cache},
    {PanelId::models, "Largest models", &paint_models},
    {PanelId::heat, "Power and heat", &paint_heat},
    {PanelId::holders, "Processes with model files", &paint_holders},
    {PanelId::sources, "Where the values come from", &paint_sources},
};

const Painter& painter_of(PanelId panel) {
  for (const Painter& p : kPainters) {
    if (p.panel == panel) return p;
  }
  return kPainters[0];
}

std::string remark_of(PanelId panel, const Snapshot& s) {
  if (panel == PanelId::engines && s.joules_per_token) return fmt::format("{:.2f} J a token", *s.joules_per_token);
  if (panel == PanelId::cache && s.cache) return fmt::format("{} ago", mlxbase::format_duration(std::chrono::nanoseconds(std::max<std::int64_t>(0, s.wall_ns - s.cache->looked_at_ns))));
  return {};
}

void paint_panel(const Placed& placed, Grid& grid, const Scene& scene) {
  const Painter& painter = painter_of(placed.panel);
  painter.paint(Canvas(grid, placed.rect, scene.ascii).box(painter.title, remark_of(placed.panel, scene.s)), scene);
}

std::string clock_text(std::int64_t wall_ns) {
  const auto seconds = static_cast<std::time_t>(wall_ns / 1'000'000'000);
  std::tm tm{};
  ::localtime_r(&seconds, &tm);
  return fmt::format("{:02}:{:02}:{:02}", tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void paint_header(Grid& grid, const Layout& layout, const Snapshot& s, const Choice& choice) {
  Canvas c(grid, layout.header, choice.ascii);
  const int room = layout.tabs.empty() ? c.width() : layout.tabs.front().rect.x;
  int x = c.text(0, 0, "mlxdash", Ink::title, room, true);
  if (x + 10 < room) x += 1 + c.text(x + 1, 0, clock_text(s.wall_ns), Ink::plain);
  if (x + 4 < room) c.text(x + 1, 0, s.host, Ink::dim, room - x - 2);
  const bool names = !layout.tabs.empty() && layout.tabs.front().rect.width > 3;
  for (const auto& tab : layout.tabs) {
    const bool here = tab.page == choice.page;
    const std::string text = names ? fmt::format(" {} {} ", static_cast<int>(tab.page) + 1, name_of(tab.page)) : fmt::format(" {} ", static_cast<int>(tab.page) + 1);
    c.text(tab.rect.x, 0, text, here ? Ink::selected : Ink::dim, tab.rect.width, here);
  }
}

void paint_footer(Grid& grid, const Layout& layout, const Snapshot& s, const Choice& choice) {
  Canvas c(grid, layout.footer, choice.ascii);
  std::string left = choice.message.empty() ? "q quit  tab next page  1-5 page  up/down scroll  ? help" : choice.message;
  std::string right;
  std::size_t ill = 0;
  for (const Source& source : s.sources) ill += source.state == SourceState::late ? 1U : 0U;
  if (ill > 0) right = fmt::format("{} sources late ", ill);
  if (!layout.left_out.empty()) right += fmt::format("{} more with more room", layout.left_out.size());
  const int used = right.empty() ? 0 : c.text_right(c.width(), 0, right, Ink::warn);
  c.text(0, 0, left, Ink::dim, std::max(1, c.width() - used - 1));
}

void paint_help(Grid& grid, bool ascii) {
  static constexpr std::array<std::string_view, 11> kLines = {
      "q, Ctrl-C      quit",
      "Tab, 1 to 5    pages; also by a click",
      "Up, Down, j, k scroll; also the wheel",
      "Space          hold the picture, go on",
      "+, -           look more or less often",
      "?              this",
      "",
      "A dash is a value that could not be read; the page",
      "Sources says why. Servers are asked read-only calls",
      "that neither load a model nor wake one up.",
      "Prompts are never read.",
  };
  const Size size = grid.size();
  const int width = std::min(size.width, 58);
  const int height = std::min(size.height, static_cast<int>(kLines.size()) + 2);
  const Rect rect{.x = (size.width - width) / 2, .y = (size.height - height) / 2, .width = width, .height = height};
  for (int y = rect.y; y < rect.y + rect.height; ++y) {
    for (int x = rect.x; x < rect.x + rect.width; ++x) grid.at(x, y) = Cell{};
    // Half of a wide glyph that stays outside would show as nothing sensible.
    if (rect.x + rect.width < size.width && grid.at(rect.x + rect.width, y).tail) grid.at(rect.x + rect.width, y) = Cell{};
    if (rect.x > 0) {
      const Cell& before = grid.at(rect.x - 1, y);
      if (!before.tail && mlxbase::cells_of(before.glyph) == 2) grid.at(rect.x - 1, y) = Cell{};
    }
  }
  Canvas c = Canvas(grid, rect, ascii).box("Keys");
  for (std::size_t i = 0; i < kLines.size(); ++i) c.text(0, static_cast<int>(i), kLines[i]);
}

}  // namespace

Grid paint(Size size, const Snapshot& snapshot, const Traces& traces, const Choice& choice) {
  Grid grid(size);
  if (size.width < 1 || size.height < 1) return grid;
  const Layout layout = lay_out(size, choice.page, snapshot);
  const Scene scene{.s = snapshot, .traces = traces, .ascii = choice.ascii, .scroll = choice.scroll, .words = Words(choice.ascii)};
  for (const Placed& placed : layout.panels) paint_panel(placed, grid, scene);
  paint_header(grid, layout, snapshot, choice);
  paint_footer(grid, layout, snapshot, choice);
  if (choice.help) paint_help(grid, choice.ascii);
  return grid;
}

Grid report(int width, const Snapshot& snapshot, const Traces& traces, bool ascii) {
  static constexpr PanelId kAll[] = {PanelId::engines, PanelId::findings, PanelId::cpu, PanelId::memory, PanelId::gpu, PanelId::disks, PanelId::network, PanelId::volumes, PanelId::heat,
                                     PanelId::cache, PanelId::models, PanelId::holders, PanelId::sources};
  const Scene scene{.s = snapshot, .traces = traces, .ascii = ascii, .scroll = 0, .words = Words(ascii)};
  std::vector<Placed> placed;
  int y = 0;
  for (const PanelId panel : kAll) {
    if (panel == PanelId::findings && snapshot.findings.empty()) continue;
    // Lines of the past need a past: there is none here.
    const int rows = wanted_rows(panel, snapshot, width) - (panel == PanelId::disks || panel == PanelId::network || panel == PanelId::memory || panel == PanelId::cpu ? 1 : 0);
    placed.push_back({panel, {.x = 0, .y = y, .width = width, .height = std::max(rows, 3)}});
    y += placed.back().rect.height;
  }
  Grid grid({.width = width, .height = y});
  for (const Placed& p : placed) paint_panel(p, grid, scene);
  return grid;
}

int most_scroll(Size size, const Snapshot& snapshot, const Choice& choice) {
  const Layout layout = lay_out(size, choice.page, snapshot);
  for (const Placed& p : layout.panels) {
    if (p.panel != PanelId::engines && p.panel != PanelId::sources) continue;
    return std::max(0, wanted_rows(p.panel, snapshot, p.rect.width) - p.rect.height);
  }
  return 0;
}

}  // namespace mlxdash::view
