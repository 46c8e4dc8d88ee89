#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/abandoned.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/journal/journal.h"
#include "mlxcache/watch/state.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;

constexpr std::int64_t kTrashAgeNs = std::int64_t{14 * 86'400} * 1'000'000'000;  // as `gc` takes it if nothing else is said

struct Watched {
  std::string_view state;  // "running", "stopped", "died", "never", "unreadable"
  watch::State told;
  std::string problem;
};

Watched look_at_watcher(Session& session) {
  Watched w{.state = "never", .told = {}, .problem = {}};
  const bool running = watch::is_watching(session.fs(), session.home());
  auto told = watch::read_state(session.fs(), session.home());
  if (told) {
    w.told = std::move(*told);
    w.state = running ? "running" : w.told.ended_at_ns != 0 ? "stopped" : "died";
  } else if (told.error().code != mlxbase::Code::not_found) {
    w.state = running ? "running" : "unreadable";
    w.problem = told.error().message;
  } else if (running) {
    w.state = "running";
  }
  return w;
}

json::Value time_or_null(std::int64_t ns) { return ns > 0 ? json::Value(iso_time(ns)) : json::Value(nullptr); }

json::Value watcher_json(const Watched& w) {
  const watch::State& s = w.told;
  json::Value out{json::Object{}};
  out.set("state", w.state);
  if (!w.problem.empty()) out.set("problem", mlxbase::to_utf8(w.problem));
  if (s.pid == 0) return out;
  out.set("pid", s.pid);
  out.set("once", s.once);
  out.set("started_at", time_or_null(s.started_at_ns));
  out.set("ended_at", time_or_null(s.ended_at_ns));
  out.set("way", s.way.empty() ? json::Value(nullptr) : json::Value(s.way));
  if (!s.way_reason.empty()) out.set("way_reason", s.way_reason);
  out.set("folders", s.folders);
  out.set("looked_at", time_or_null(s.looked_at_ns));
  out.set("look_took_ms", static_cast<std::uint64_t>(std::max<std::int64_t>(s.look_took_ns, 0) / 1'000'000));
  out.set("looks", s.looks);
  out.set("files", s.files);
  out.set("bytes_freed", s.bytes_freed);
  out.set("transactions", s.transactions);
  out.set("last_transaction", s.last_transaction.empty() ? json::Value(nullptr) : json::Value(s.last_transaction));
  out.set("last_shared_at", time_or_null(s.last_shared_at_ns));
  out.set("held_back", s.held_back.empty() ? json::Value(nullptr) : json::Value(s.held_back));
  json::Value waiting{json::Array{}};
  for (const watch::Waiting& x : s.waiting) {
    json::Value item{json::Object{}};
    item.set("path", x.path);
    item.set("reason", watch::to_string(x.why));
    item.set("until", time_or_null(x.until_ns));
    waiting.push(std::move(item));
  }
  out.set("waiting", std::move(waiting));
  out.set("waiting_files", s.waiting_files);
  if (s.budget_bytes > 0) {
    json::Value budget{json::Object{}};
    budget.set("bytes", s.budget_bytes);
    budget.set("per_seconds", static_cast<std::uint64_t>(std::max<std::int64_t>(s.budget_per_ns, 0) / 1'000'000'000));
    budget.set("used", s.budget_used);
    out.set("budget", std::move(budget));
  } else {
    out.set("budget", nullptr);
  }
  out.set("error", s.error.empty() ? json::Value(nullptr) : json::Value(s.error));
  out.set("error_at", s.error.empty() ? json::Value(nullptr) : time_or_null(s.error_at_ns));
  return out;
}

/// "label      text", the text broken where the terminal ends.
void line(Session& session, std::string_view label, const std::string& text) {
  const std::string indent(11, ' ');
  std::string whole = wrap_text(text, session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0, indent);
  if (!label.empty()) whole = session.style().bold(label) + whole.substr(label.size());
  session.print(whole);
}

void say_watcher(Session& session, const Watched& w) {
  const watch::State& s = w.told;
  if (w.state == "never") {
    line(session, "Watcher", "none has run here; 'mlxcache watch --install' has new downloads shared by itself");
    return;
  }
  if (!w.problem.empty()) line(session, "Watcher", fmt::format("{}: {}", w.state == "running" ? "running" : "not running", printable(w.problem)));
  if (s.pid == 0) return;
  std::string how;
  if (w.state == "running") {
    how = fmt::format("running since {} (process {})", local_time(s.started_at_ns), s.pid);
    if (s.way == "events") how += fmt::format(", watches {}", count(s.folders, "folder"));
    if (s.way == "polling") how += fmt::format(", looks every minute ({})", printable(s.way_reason));
  } else if (w.state == "died") {
    how = fmt::format("not running: the one of {} (process {}) ended without a word", local_time(s.started_at_ns), s.pid);
  } else {
    how = fmt::format("not running; {} {}", s.once ? "last ran" : "stopped", local_time(s.ended_at_ns));
  }
  line(session, "Watcher", how);
  if (s.looked_at_ns > 0) line(session, "", fmt::format("last look {}, took {}", local_time(s.looked_at_ns), mlxbase::format_duration(std::chrono::nanoseconds(s.look_took_ns))));
  if (s.files > 0) {
    line(session, "", fmt::format("shared {} so far, {} freed; last {} (mlxcache undo {})", count(s.files, "file"), format_bytes(s.bytes_freed), local_time(s.last_shared_at_ns),
                                  printable(s.last_transaction)));
  }
  if (s.held_back == "battery") line(session, "", "waits until this machine is on power");
  if (s.held_back == "busy") line(session, "", "waits until another mlxcache is done");
  if (s.budget_bytes > 0) {
    line(session, "", fmt::format("has read {} of {} {}", format_bytes(s.budget_used), format_bytes(s.budget_bytes), s.budget_per_ns > std::int64_t{3600} * 1'000'000'000 ? "a day" : "an hour"));
  }
  constexpr std::size_t kShown = 5;
  const std::size_t shown = session.preferences().verbose ? s.waiting.size() : std::min(s.waiting.size(), kShown);
  for (std::size_t i = 0; i < shown; ++i) line(session, "", fmt::format("waits for {}: {}", session.show_path(s.waiting[i].path), watch::to_string(s.waiting[i].why)));
  if (s.waiting_files > shown) line(session, "", fmt::format("and for {} more", count(s.waiting_files - shown, "file")));
  if (!s.error.empty()) line(session, "", session.style().red(fmt::format("last error, {}: {}", local_time(s.error_at_ns), printable(s.error))));
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const Watched watcher = look_at_watcher(session);
  std::vector<std::string> problems;
  const auto transactions = TRY(journal::list(session.fs(), session.home(), problems));
  const auto trashed = TRY(change::trash(change_machinery(session)));
  const auto roots = stores::discover_all(session.context(), arguments.all("--root"));
  const auto downloads = abandoned_downloads(session, roots, INT64_MAX);
  const auto pins = keep::pins(session.fs(), session.home());
  if (!pins) problems.push_back(pins.error().message);

  json::Value document{json::Object{}};
  document.set("watcher", watcher_json(watcher));
  json::Value cut{json::Array{}};
  std::uint64_t cut_number = 0;
  for (const journal::Summary& t : transactions) {
    if (t.state != journal::State::cut) continue;
    ++cut_number;
    json::Value item{json::Object{}};
    item.set("transaction", t.id);
    item.set("started_at", iso_time(t.started_at_ns));
    item.set("command", mlxbase::to_utf8(t.command));
    cut.push(std::move(item));
  }
  document.set("recoverable", std::move(cut));
  std::uint64_t trash_bytes = 0;
  std::int64_t oldest = INT64_MAX;
  for (const change::Trashed& t : trashed) {
    trash_bytes += t.bytes;
    oldest = std::min(oldest, t.removed_at_ns);
  }
  json::Value trash{json::Object{}};
  trash.set("names", trashed.size());
  trash.set("bytes", trash_bytes);
  trash.set("expires_at", trashed.empty() ? json::Value(nullptr) : json::Value(iso_time(oldest + kTrashAgeNs)));
  document.set("trash", std::move(trash));
  std::uint64_t download_bytes = 0;
  for (const Abandoned& d : downloads) download_bytes += d.bytes;
  json::Value resumable{json::Object{}};
  resumable.set("number", downloads.size());
  resumable.set("bytes", download_bytes);
  document.set("downloads", std::move(resumable));
  json::Value pinned{json::Array{}};
  if (pins) {
    for (const std::string& p : *pins) pinned.push(mlxbase::to_utf8(p));
  }
  document.set("pins", std::move(pinned));
  json::Value bad{json::Array{}};
  for (const std::string& p : problems) bad.push(mlxbase::to_utf8(p));
  document.set("problems", std::move(bad));
  session.emit("mlxcache.status/1", std::move(document));

  say_watcher(session, watcher);
  line(session, "Changes", cut_number == 0 ? fmt::format("{} so far, none of them cut short", count(transactions.size(), "transaction"))
                                           : fmt::format("{} cut short: 'mlxcache recover' settles it, and so does the next change", count(cut_number, "transaction")));
  line(session, "Trash", trashed.empty() ? "empty" : fmt::format("{}, {}; the first may go for good ('mlxcache gc') after {}", count(trashed.size(), "name"), format_bytes(trash_bytes),
                                                                  local_time(oldest + kTrashAgeNs)));
  line(session, "Downloads", downloads.empty() ? "none cut short" : fmt::format("{} cut short ({}): the same 'mlxcache pull' takes it up again", count(downloads.size(), "download"),
                                                                                format_bytes(download_bytes)));
  if (pins) {
    std::string names;
    for (const std::string& p : *pins) names += (names.empty() ? "" : ", ") + printable(p);
    line(session, "Pins", pins->empty() ? "none" : names);
  }
  for (const std::string& p : problems) session.warn(printable(p));
  const bool wrong = cut_number > 0 || !problems.empty() || watcher.state == "died" || watcher.state == "unreadable" || (watcher.state == "running" && !watcher.told.error.empty());
  return wrong ? Exit::found : Exit::ok;
}

constexpr Option kOptions[] = {kRootOption};
constexpr Example kExamples[] = {
    {"mlxcache status", "how things are, at one look"},
    {"mlxcache status --json", "for a script or a monitor"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "all is well; also when no watcher runs"},
    {Exit::found, "a change was cut short, the watcher died or reports an error, or a file of ours cannot be read"},
};

}  // namespace

const Command kStatus{
    "status",
    "how things are: the watcher, changes cut short, trash, downloads, pins",
    Group::look,
    false,
    "Tells whether a watcher runs and what it does and waits for; whether a change was cut short and is still to be settled; what lies in the trash and until "
    "when; which downloads of 'pull' can be resumed; what is pinned. It reads small files of our own only, and changes nothing.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
