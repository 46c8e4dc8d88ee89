#include "mlxcache/watch/state.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"

namespace mlxcache::watch {
namespace {

namespace json = mlxbase::json;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

constexpr int kVersion = 1;
constexpr std::size_t kMostText = 4096;  // of a path or a message

std::string lock_file(const std::string& home) { return mlxbase::path::join(home, "watch.lock"); }

constexpr std::pair<Why, std::string_view> kWords[] = {
    {Why::quiet, "quiet"}, {Why::download, "download"}, {Why::unnamed, "unnamed"}, {Why::parts, "parts"}, {Why::in_use, "in_use"}, {Why::budget, "budget"},
};

}  // namespace

std::string state_file(const std::string& home) { return mlxbase::path::join(home, "watch.json"); }

Result<State> read_state(mlxbase::os::FileSystem& fs, const std::string& home) {
  const auto damaged = [&] { return fail(Code::corrupt, fmt::format("{} is not what a watcher wrote; remove it", mlxbase::printable(state_file(home)))); };
  const auto text = mlxbase::os::read_small_file(fs, state_file(home), kMostStateBytes);
  if (!text) {
    if (text.error().code == Code::invalid) return damaged();
    return fail(text.error());
  }
  const auto document = json::parse(*text);
  if (!document || (*document)["version"].i64() != kVersion) return damaged();
  const json::Value& d = *document;
  State s;
  s.pid = d["pid"].i64();
  s.started_at_ns = d["started_at_ns"].i64();
  s.ended_at_ns = d["ended_at_ns"].i64();
  s.once = d["once"].boolean();
  s.way = d["way"].string();
  s.way_reason = d["way_reason"].string();
  s.folders = d["folders"].u64();
  s.since_ns = d["since_ns"].i64();
  s.looked_at_ns = d["looked_at_ns"].i64();
  s.look_took_ns = d["look_took_ns"].i64();
  s.looks = d["looks"].u64();
  s.files = d["files"].u64();
  s.bytes_freed = d["bytes_freed"].u64();
  s.transactions = d["transactions"].u64();
  s.last_transaction = d["last_transaction"].string();
  s.last_shared_at_ns = d["last_shared_at_ns"].i64();
  for (const json::Value& v : d["waiting"].array()) {
    const std::string word = v["why"].string();
    const auto why = std::find_if(std::begin(kWords), std::end(kWords), [&](const auto& w) { return w.second == word; });
    if (why == std::end(kWords) || s.waiting.size() >= kMostWaiting) continue;
    s.waiting.push_back({v["path"].string(), why->first, v["until_ns"].i64(), v["ctime_ns"].i64()});
  }
  s.waiting_files = d["waiting_files"].u64();
  s.held_back = d["held_back"].string();
  s.budget_bytes = d["budget_bytes"].u64();
  s.budget_per_ns = d["budget_per_ns"].i64();
  s.budget_used = d["budget_used"].u64();
  s.budget_as_of_ns = d["budget_as_of_ns"].i64();
  s.error = d["error"].string();
  s.error_at_ns = d["error_at_ns"].i64();
  return s;
}

Status write_state(mlxbase::os::FileSystem& fs, const std::string& home, const State& s) {
  json::Value d{json::Object{}};
  d.set("version", kVersion);
  d.set("pid", s.pid);
  d.set("started_at_ns", s.started_at_ns);
  d.set("ended_at_ns", s.ended_at_ns);
  d.set("once", s.once);
  d.set("way", s.way);
  d.set("way_reason", mlxbase::to_utf8(s.way_reason.substr(0, kMostText)));
  d.set("folders", s.folders);
  d.set("since_ns", s.since_ns);
  d.set("looked_at_ns", s.looked_at_ns);
  d.set("look_took_ns", s.look_took_ns);
  d.set("looks", s.looks);
  d.set("files", s.files);
  d.set("bytes_freed", s.bytes_freed);
  d.set("transactions", s.transactions);
  d.set("last_transaction", s.last_transaction);
  d.set("last_shared_at_ns", s.last_shared_at_ns);
  json::Value waiting{json::Array{}};
  for (std::size_t i = 0; i < std::min(s.waiting.size(), kMostWaiting); ++i) {
    const Waiting& w = s.waiting[i];
    json::Value item{json::Object{}};
    item.set("path", mlxbase::to_utf8(w.path.substr(0, kMostText)));
    item.set("why", std::find_if(std::begin(kWords), std::end(kWords), [&](const auto& word) { return word.first == w.why; })->second);
    item.set("until_ns", w.until_ns);
    item.set("ctime_ns", w.ctime_ns);
    waiting.push(std::move(item));
  }
  d.set("waiting", std::move(waiting));
  d.set("waiting_files", s.waiting_files);
  d.set("held_back", s.held_back);
  d.set("budget_bytes", s.budget_bytes);
  d.set("budget_per_ns", s.budget_per_ns);
  d.set("budget_used", s.budget_used);
  d.set("budget_as_of_ns", s.budget_as_of_ns);
  d.set("error", mlxbase::to_utf8(s.error.substr(0, kMostText)));
  d.set("error_at_ns", s.error_at_ns);
  TRY(mlxbase::os::make_dirs(fs, home, 0700));
  return mlxbase::os::write_file_atomically(fs, state_file(home), json::dump(d, 2) + "\n", 0600);
}

Result<std::unique_ptr<mlxbase::os::Lock>> lock_watcher(mlxbase::os::FileSystem& fs, const std::string& home) {
  TRY(mlxbase::os::make_dirs(fs, home, 0700));
  auto lock = fs.try_lock(lock_file(home), 0600);
  if (lock || lock.error().code != Code::busy) return lock;
  const auto state = read_state(fs, home);
  const std::string who = state && state->pid > 0 && state->ended_at_ns == 0 ? fmt::format(" (process {})", state->pid) : std::string();
  return fail(Code::busy, fmt::format("another watcher is at work here already{}; 'mlxcache status' tells of it", who));
}

bool is_watching(mlxbase::os::FileSystem& fs, const std::string& home) {
  if (!fs.stat(lock_file(home))) return false;  // asking would make it
  const auto lock = fs.try_lock(lock_file(home), 0600);
  return !lock && lock.error().code == Code::busy;
}

}  // namespace mlxcache::watch
