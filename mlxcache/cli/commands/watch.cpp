#include <fmt/format.h>
#include <unistd.h>

#include <charconv>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/os/background.h"
#include "mlxbase/os/folder_watch.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/plan_text.h"
#include "mlxcache/watch/pace.h"
#include "mlxcache/watch/unit.h"
#include "mlxcache/watch/watch.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace os = mlxbase::os;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;

constexpr Option kOptions[] = {
    {"--once", "", Kind::text, false, "look once, share what is ready, and end: for cron"},
    {"--dry-run", "", Kind::text, false, "say what would be shared; nothing is changed"},
    {"--quiet-for", "AGE", Kind::age, false, "leave a file alone that changed within this time (30s if not given)"},
    {"--since", "AGE", Kind::age, false, "take for new what changed within this time (if not given: since the last watcher looked, at first 1d)"},
    {"--min-size", "SIZE", Kind::bytes, false, "leave files smaller than this alone (1M if not given)"},
    {"--store", "NAME", Kind::store, true, "only change new files of this kind of store (may be given several times)"},
    {"--method", "HOW", Kind::method, false, "how to share; only reflink if not given, since nobody is there to be asked"},
    {"--max-read", "LIMIT", Kind::text, false, "read no more than this, as 20G/day or 5G/hour (no limit if not given)"},
    {"--max-cpu", "PERCENT", Kind::text, false, "while working, use no more than this part of one processor, 1 to 100"},
    {"--only-on-power", "", Kind::text, false, "wait while this machine runs from its battery"},
    {"--install", "", Kind::text, false, "write the service that starts it at login, with these options, and say how to start it now"},
    {"--uninstall", "", Kind::text, false, "remove that service"},
    kRootOption,
};

/// One line an event: text to standard error, or with --json a document to standard output.
void tell(Session& session, bool once, const watch::Event& event) {
  const std::int64_t now = session.world().clock.wall_ns();
  if (session.preferences().json) {
    json::Value line{json::Object{}};
    line.set("schema", "mlxcache.watch/1");
    line.set("event", event.name);
    line.set("time", iso_time(now));
    for (const auto& [name, value] : event.words) {
      if (name == "path" || name == "source") {
        set_path(line, name, value);
      } else {
        line.set(name, mlxbase::to_utf8(value));
      }
    }
    for (const auto& [name, value] : event.numbers) line.set(name, value);
    session.world().out.write(json::dump(line) + "\n");
    return;
  }
  const bool matters = event.name == "error" || event.name == "warning";
  if (session.preferences().quiet && !matters) return;
  if (once && event.name == "done") return;  // the result says it
  session.world().err.write(once ? event.text + "\n" : fmt::format("{} {}\n", iso_time(now), event.text));
}

Result<watch::Settings> settings_of(const Arguments& arguments) {
  watch::Settings s;
  if (const auto method = arguments.one("--method")) {
    s.method = *method == "hardlink"  ? dedup::MethodChoice::hard_link
               : *method == "symlink" ? dedup::MethodChoice::symlink
               : *method == "reflink" ? dedup::MethodChoice::reflink
                                      : dedup::MethodChoice::automatic;
  }
  s.stores = kinds_of(arguments.all("--store"));
  s.extra_roots = arguments.all("--root");
  s.min_size = arguments.bytes("--min-size", s.min_size);
  s.quiet_ns = arguments.age_ns("--quiet-for", s.quiet_ns);
  if (arguments.flag("--since")) s.since_ns = arguments.age_ns("--since", 0);
  if (const auto limit = arguments.one("--max-read")) {
    s.max_read = watch::parse_read_limit(*limit);
    if (!s.max_read) return fail(Code::invalid, fmt::format("--max-read: '{}' is not a limit; write it as 20G/day or 5G/hour", printable(*limit)));
  }
  s.only_on_power = arguments.flag("--only-on-power");
  s.once = arguments.flag("--once");
  s.dry_run = arguments.flag("--dry-run");
  return s;
}

/// 0 if there is no limit.
Result<unsigned> percent_of(const Arguments& arguments) {
  const auto text = arguments.one("--max-cpu");
  if (!text) return 0U;
  std::string_view digits = *text;
  if (digits.ends_with('%')) digits.remove_suffix(1);
  unsigned percent = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), percent);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || percent < 1 || percent > 100) {
    return fail(Code::invalid, fmt::format("--max-cpu: '{}' is not a number from 1 to 100", printable(*text)));
  }
  return percent;
}

Result<Exit> install(Session& session, const Arguments& arguments) {
  std::vector<std::string> words{TRY(os::executable_path()), "watch"};
  for (const Option& option : kOptions) {
    if (option.name == "--install" || option.name == "--uninstall" || option.name == "--once" || option.name == "--dry-run" || !arguments.flag(option.name)) continue;
    if (option.value.empty()) words.emplace_back(option.name);
    if (option.value.empty()) continue;
    for (const std::string& value : arguments.all(option.name)) {
      words.emplace_back(option.name);
      words.push_back(option.kind == Kind::folder ? session.environment().absolute(value) : value);
    }
  }
  if (session.preferences().yes) words.emplace_back("--yes");
  const watch::Unit unit = TRY(watch::unit_for(session.environment(), words));
  TRY(os::make_dirs(session.fs(), std::string(mlxbase::path::parent(unit.path)), 0755));
  TRY(os::write_file_atomically(session.fs(), unit.path, unit.text, 0644));
  json::Value commands{json::Array{}};
  for (const std::string& line : unit.enable) commands.push(mlxbase::to_utf8(line));
  json::Value document{json::Object{}};
  document.set("event", "installed");
  document.set("time", iso_time(session.world().clock.wall_ns()));
  set_path(document, "path", unit.path);
  document.set("commands", std::move(commands));
  session.emit("mlxcache.watch/1", std::move(document));
  session.say(fmt::format("Written: {}", session.show_path(unit.path)));
  session.say("To start it now and at every login:");
  for (const std::string& line : unit.enable) session.say("  " + printable(line));
  return Exit::ok;
}

Result<Exit> uninstall(Session& session) {
  const watch::Unit unit = TRY(watch::unit_for(session.environment(), {}));
  const auto removed = session.fs().unlink(unit.path);
  if (!removed && removed.error().code != Code::not_found) return fail(removed.error());
  json::Value commands{json::Array{}};
  for (const std::string& line : unit.disable) commands.push(mlxbase::to_utf8(line));
  json::Value document{json::Object{}};
  document.set("event", removed ? "uninstalled" : "not_installed");
  document.set("time", iso_time(session.world().clock.wall_ns()));
  set_path(document, "path", unit.path);
  document.set("commands", std::move(commands));
  session.emit("mlxcache.watch/1", std::move(document));
  if (!removed) {
    session.say(fmt::format("There is no {}.", session.show_path(unit.path)));
    return Exit::ok;
  }
  session.say(fmt::format("Removed: {}", session.show_path(unit.path)));
  session.say("To stop the one that runs:");
  for (const std::string& line : unit.disable) session.say("  " + printable(line));
  return Exit::ok;
}

void say_result(Session& session, const watch::Settings& settings, const watch::Outcome& outcome) {
  std::uint64_t freed = 0;
  for (const dedup::Action& a : outcome.actions) freed += a.bytes;
  const std::string waiting = outcome.state.waiting_files == 0 ? std::string() : fmt::format(" {} not ready yet.", count(outcome.state.waiting_files, "file is", "files are"));
  if (settings.dry_run) {
    session.say_wrapped(fmt::format("Would share {}, which frees {}.{}", count(outcome.actions.size(), "new file"), format_bytes(freed), waiting));
  } else if (outcome.actions.empty()) {
    session.say_wrapped(fmt::format("Nothing new to share.{}", waiting));
  } else {
    session.say_wrapped(fmt::format("{} {} share their bytes now; {} freed.{}", session.style().green("Done:"), count(outcome.actions.size(), "new file"), format_bytes(freed), waiting));
    session.note(fmt::format("To take it back: mlxcache undo {}", outcome.state.last_transaction));
  }
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  watch::Settings settings = TRY(settings_of(arguments));
  settings.merges_metadata = session.preferences().yes;
  const unsigned percent = TRY(percent_of(arguments));
  if (arguments.flag("--install") && arguments.flag("--uninstall")) return fail(Code::invalid, "--install and --uninstall exclude each other");
  if (arguments.flag("--install")) return install(session, arguments);
  if (arguments.flag("--uninstall")) return uninstall(session);

  if (auto polite = os::work_in_background(); !polite && !session.preferences().json) {
    session.note(fmt::format("works with ordinary priority: {}", printable(polite.error().message)));
  }
  catalog::Catalog* catalog = TRY(session.open_catalog());
  const auto folders = os::watch_folders();
  watch::Pace pace(mlxbase::no_progress(), session.world().clock, session.world().cancel, percent, &os::process_cpu_ns, &os::pause_for);
  const watch::Machine machine{
      .context = session.context(),
      .home = session.home(),
      .catalog = *catalog,
      .clock = session.world().clock,
      .progress = pace,
      .cancel = session.world().cancel,
      .folders = *folders,
      .on_battery = [&] { return os::on_battery(session.fs(), session.environment().root); },
      .tell = [&](const watch::Event& event) { tell(session, settings.once, event); },
      .resting = [&] { os::release_memory(), pace.begin(); },
      .command = session.command_line(),
      .pid = static_cast<std::int64_t>(::getpid()),
  };
  const watch::Outcome outcome = TRY(watch::run(machine, settings));
  if (!settings.once) return Exit::ok;  // a watcher that was told to stop has done what it was told
  say_result(session, settings, outcome);
  return outcome.cancelled ? Exit::cancelled : Exit::ok;
}

constexpr Example kExamples[] = {
    {"mlxcache watch", "share new downloads as they come, until Ctrl-C"},
    {"mlxcache watch --once --dry-run --since 30d", "what of the last month's downloads would be shared"},
    {"mlxcache watch --max-read 50G/day --max-cpu 20 --only-on-power --install", "write a service with these limits"},
    {"mlxcache watch --once --json", "for cron and scripts: one event a line"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "it was told to end (Ctrl-C, SIGTERM), or with --once has looked; what is not ready yet is no error"},
    {Exit::busy, "another watcher is at work"},
    {Exit::cancelled, "with --once: cancelled; what was done until then is complete and can be undone"},
};

}  // namespace

const Command kWatch{
    "watch",
    "share new downloads soon after they finish",
    Group::share,
    true,
    "Stays in the foreground and waits, without using the processor, until something changes in a model store. When a new file has been left alone for a "
    "while (--quiet-for), is no partial download, belongs to a complete model, is not open for writing and no tool holds its lock, it is compared with "
    "files of its size and, where one is equal, made to share its blocks: by the same plan, journal and checks as 'dedup', so 'undo' takes it back. Only "
    "new files are changed, and what you took back with 'undo' is left alone. What was there before is for 'dedup'.\n\n"
    "It shares by reflink only, unless --method says otherwise; where a volume cannot do that nothing happens. It works with the lowest priority of "
    "processor and disk. A file larger than all of --max-read waits until nothing of it is used, and then uses it up for longer.\n\n"
    "Events go to standard error, one a line; with --json to standard output, one document a line. 'mlxcache status' tells how it is doing.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
