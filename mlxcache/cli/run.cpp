#include "mlxcache/cli/run.h"

#include <fmt/format.h>

#include <new>

#include "mlxbase/core/log.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/cli/grammar.h"
#include "mlxcache/cli/help.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace log = mlxbase::log;
using mlxbase::printable;

/// Log events as lines on standard error, for --verbose. Never tokens or contents: whoever logs sees to that.
class ErrorSink final : public log::Sink {
 public:
  explicit ErrorSink(Stream& err) : err_(err) {}
  void write(log::Level level, std::string_view event, std::initializer_list<log::Field> fields) override {
    static constexpr std::string_view kLevels[] = {"debug", "info", "warning", "error"};
    std::string line = fmt::format("{} {}", kLevels[static_cast<std::size_t>(level)], event);
    for (const log::Field& f : fields) line += fmt::format(" {}={}", f.name, printable(f.value));
    err_.write(line + "\n");
  }

 private:
  Stream& err_;
};

/// Sets the sink for one run and takes it away again.
class SinkGuard {
 public:
  explicit SinkGuard(log::Sink* sink) { log::set_sink(sink); }
  ~SinkGuard() { log::set_sink(nullptr); }
  SinkGuard(const SinkGuard&) = delete;
  SinkGuard& operator=(const SinkGuard&) = delete;
};

Exit report(World& world, const Preferences& preferences, const mlxbase::Error& error) {
  const Exit status = exit_of(error.code);
  if (preferences.json) {
    json::Value document;
    document.set("schema", "mlxcache.error/1");
    json::Value what;
    what.set("code", mlxbase::to_string(error.code));
    what.set("message", error.message);
    document.set("error", std::move(what));
    document.set("exit", static_cast<unsigned>(status));
    world.out.write(json::dump(document, 2) + "\n");
  }
  const Session voice(world, preferences, "");  // for its sense of colour
  world.err.write(fmt::format("{} {}\n", voice.error_style().red("mlxcache:"), printable(error.message)));
  if (error.code == mlxbase::Code::busy) {
    world.err.write("Another mlxcache is at work; try again when it has finished.\n");
  }
  return status;
}

std::string joined(std::span<const std::string> words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    line += word;
  }
  return line;
}

}  // namespace

Exit run(World& world, std::span<const std::string> words) {
  Invocation invocation;
  auto parsed = parse(words, invocation);
  const Arguments& globals = invocation.globals;
  const Preferences preferences{.json = globals.flag("--json"),
                                .yes = globals.flag("--yes"),
                                .quiet = globals.flag("--quiet"),
                                .verbose = globals.flag("--verbose"),
                                .colour = !globals.flag("--no-color")};
  if (!parsed) return report(world, preferences, parsed.error());

  Session session(world, preferences, joined(words));
  if (globals.flag("--version")) {
    json::Value document;
    document.set("version", kVersion);
    session.emit("mlxcache.version/1", std::move(document));
    session.say(fmt::format("mlxcache {}", kVersion));
    return Exit::ok;
  }
  if (invocation.command == nullptr) {
    // Asked for help: a result. Named nothing: a mistake that help answers.
    const bool asked = globals.flag("--help");
    (asked ? world.out : world.err).write(general_help(session.columns(), asked ? session.style() : session.error_style()));
    return asked ? Exit::ok : Exit::usage;
  }
  if (globals.flag("--help")) {
    world.out.write(help_of(*invocation.command, session.columns(), session.style()));
    return Exit::ok;
  }

  ErrorSink sink(world.err);
  const SinkGuard guard(preferences.verbose ? &sink : nullptr);
  // Shell completion asks for names alone: pressing Tab must not begin to change anything.
  if (invocation.command->settles_first && !invocation.arguments.flag("--ids")) {
    if (auto settled = session.settle_first(); !settled) return report(world, preferences, settled.error());
  }
  auto outcome = invocation.command->run(session, invocation.arguments);
  session.progress_done();
  if (!outcome) return report(world, preferences, outcome.error());
  if (!world.out.good()) {
    world.err.write("mlxcache: standard output could not be written\n");
    return Exit::failed;
  }
  return *outcome;
}

}  // namespace mlxcache::cli
