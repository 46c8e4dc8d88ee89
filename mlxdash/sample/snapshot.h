#pragma once
// Everything that is known of the machine at one moment, in the units of the wire: bytes, seconds, watts, degrees Celsius, hertz, ratios 0..1.
// Collectors fill it, history stores what series.h names of it, faces draw it.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxdash/sample/reading.h"

namespace mlxdash {

struct Cpu {
  Reading<double> busy;                // of all cores, 0..1
  Reading<std::vector<double>> cores;  // each 0..1
  Reading<double> load1;
  Reading<std::uint64_t> running, blocked;  // threads
  Reading<double> hertz;               // mean of what the cores run at
};

struct Memory {
  Reading<std::uint64_t> total, available, used, cached, dirty;
  Reading<std::uint64_t> swap_total, swap_used;
  Reading<double> swap_in, swap_out;   // bytes a second
  Reading<double> major_faults;        // a second
  Reading<double> refaults;            // bytes a second: file pages that were thrown out and are read again
  Reading<std::uint64_t> oom_kills;    // since boot
  Reading<std::uint64_t> wired;        // macOS: cannot be paged out
  Reading<std::uint64_t> wired_limit;  // macOS: what the GPU may wire, where it was set
  Reading<int> pressure_level;         // macOS: 1 normal, 2 warning, 4 critical
};

/// Pressure stall information: the share of time that some (or all) tasks waited for the resource.
struct Pressure {
  Reading<double> some10, some60, full10;  // 0..1
};

struct Disk {
  std::string name;
  Reading<double> read, written;  // bytes a second
  Reading<double> busy;           // 0..1
};

struct Volume {
  std::string mount, type;
  Reading<std::uint64_t> total, free;  // bytes, free to this user
};

struct Network {
  std::string name;
  Reading<double> received, sent;  // bytes a second
};

struct Sensor {
  std::string chip, label;
  Reading<double> celsius, limit;
};
struct Fan {
  std::string chip, label;
  Reading<double> rpm;
};
struct Power {
  std::string name;  // "package-0", "amdgpu"
  Reading<double> watts;
};

struct GpuProcess {
  std::int64_t pid = 0;
  Reading<std::uint64_t> memory;
};
struct Gpu {
  std::string driver;                       // "nvidia", "amdgpu"
  std::string name, id;                     // id: stable over restarts where the driver gives one
  Reading<double> busy;                     // 0..1
  Reading<std::uint64_t> memory_total, memory_used;
  Reading<double> celsius, watts, watts_limit, hertz;
  Reading<std::string> throttled;           // why clocks are held down; empty: they are not
  std::vector<GpuProcess> processes;
};

/// One model as its server tells of it.
struct LoadedModel {
  std::string name;
  std::string format;                       // "gguf Q4_K_M", or empty
  Reading<std::uint64_t> bytes;             // in all
  Reading<std::uint64_t> gpu_bytes;         // of them
  Reading<std::uint64_t> context;           // tokens
  Reading<double> expires_in;               // seconds; +inf: never unloaded
  std::string state;                        // "loaded", "loading", "sleeping"
};

/// The process behind a port. Weights that it maps from files count as `file`, what it made itself as `anonymous`.
struct Process {
  std::int64_t pid = 0;
  std::string name;
  std::uint64_t started = 0;                // clock ticks after boot; with the pid it names one process for ever
  Reading<std::uint64_t> anonymous, file, resident;  // bytes, children included
  Reading<double> cpu;                      // cores, children included
};

struct Quantiles {
  Reading<double> p50, p95;                 // seconds
};

struct Engine {
  std::string kind;                         // "ollama", "llama-server", …; "openai-compatible"; empty: not told yet
  std::string url;                          // "http://127.0.0.1:11434"
  std::string version;
  std::string state;                        // "up", "loading", "locked", "sleeping", "down"
  std::string why;                          // where it is down or locked: what happened
  Reading<Process> process;
  Reading<std::vector<LoadedModel>> models; // loaded now
  Reading<std::uint64_t> models_known;      // that it could load
  Reading<double> running, waiting;         // requests
  Reading<double> decode, prefill;          // tokens a second
  Reading<double> kv_used;                  // 0..1
  Reading<double> prefix_hits;              // 0..1
  Quantiles first_token, between_tokens;
  Reading<double> tokens_total;             // generated since it started
};

/// A process that holds model files open without any server that we know.
struct Holder {
  std::int64_t pid = 0;
  std::string name;
  std::vector<std::string> files;
  Reading<std::uint64_t> resident;
};

/// What one tool's store holds, as MLXCache sees it.
struct Store {
  std::string kind, title, root;
  std::uint64_t models = 0, files = 0, bytes = 0;
  std::uint64_t orphans = 0, orphan_bytes = 0;
  std::uint64_t downloads = 0, download_bytes = 0;  // unfinished
  std::uint64_t problems = 0;
};
struct StoredModel {
  std::string store, name, format;
  std::uint64_t bytes = 0;
  bool incomplete = false;
};
struct Cache {
  std::vector<Store> stores;
  std::vector<StoredModel> largest;         // a few, largest first
  std::uint64_t bytes = 0;                  // blocks of all, each inode once
  std::uint64_t duplicate_bytes = 0;        // copies whose stores claim the same digest, all but one of each, not yet shared by a link
  std::int64_t looked_at_ns = 0;            // wall clock
};

enum class SourceState : std::uint8_t {
  waiting,  // has not looked yet
  ok,
  none,     // this machine has no such thing
  failed,
  late,     // looked once, and now it does not answer
};
constexpr std::string_view to_string(SourceState state) {
  constexpr std::string_view kNames[] = {"waiting", "ok", "none", "failed", "late"};
  return kNames[static_cast<std::size_t>(state)];
}
/// How a row of the table of collectors is doing.
struct Source {
  std::string name;
  SourceState state = SourceState::waiting;
  std::string message;                      // why it failed
  double age = 0;                           // seconds since its values were read; 0 while waiting
  double cost = 0;                          // seconds of processor time that its last look took
};

enum class Severity : std::uint8_t { note, warning, alarm };
constexpr std::string_view to_string(Severity severity) {
  constexpr std::string_view kNames[] = {"note", "warning", "alarm"};
  return kNames[static_cast<std::size_t>(severity)];
}

/// Something that makes it slow, or soon will, in one sentence with its evidence.
struct Finding {
  std::string cause;  // "swap", "rereading", "throttled", "cpu_fallback", "queue", "kv_full", "stalled", "hot", "memory_full", "disk_full"
  Severity severity{};
  std::string text;
};

struct Snapshot {
  std::int64_t wall_ns = 0;
  std::string host;
  Cpu cpu;
  Memory memory;
  Pressure cpu_pressure, memory_pressure, io_pressure;
  Reading<std::vector<Disk>> disks;
  Reading<std::vector<Volume>> volumes;
  Reading<std::vector<Network>> networks;
  Reading<std::vector<Sensor>> sensors;
  Reading<std::vector<Fan>> fans;
  Reading<std::vector<Power>> powers;
  Reading<std::vector<Gpu>> gpus;
  Reading<std::vector<Engine>> engines;
  Reading<std::vector<Holder>> holders;
  Reading<Cache> cache;
  std::vector<Source> sources;
  // What follows from all this (derive.h).
  std::vector<Finding> findings;
  Reading<double> joules_per_token;
};

}  // namespace mlxdash
