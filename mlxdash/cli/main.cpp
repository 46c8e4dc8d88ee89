// mlxdash: parses, wires real parts together, runs.
#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxdash/cli/export.h"
#include "mlxdash/cli/options.h"
#include "mlxdash/cli/serve.h"
#include "mlxdash/collect/board.h"
#include "mlxdash/history/recorder.h"
#include "mlxdash/sample/alerts.h"
#include "mlxdash/sample/derive.h"
#include "mlxdash/sample/json.h"
#include "mlxdash/sample/series.h"
#include "mlxdash/term/live.h"
#include "mlxdash/view/paint.h"

namespace {

namespace cli = mlxdash::cli;
namespace collect = mlxdash::collect;
namespace term = mlxdash::term;
namespace view = mlxdash::view;

constexpr int kUsage = 2;
constexpr int kFailed = 4;
constexpr std::uint32_t kOnceMs = 6000;  // the slowest source is not waited for longer

/// Writes all of it; a reader that went away is no failure.
int print(const std::string& text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (errno == EPIPE) return 0;
      std::fputs("mlxdash: standard output could not be written\n", stderr);
      return kFailed;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

int fail(int status, const mlxbase::Error& error) {
  std::fputs(("mlxdash: " + mlxbase::printable(error.message) + "\n").c_str(), stderr);
  return status;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

int width_of_output() {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) return std::max<int>(window.ws_col, 40);
  return 100;
}

/// Two looks, so that rates are known too.
mlxdash::Snapshot look_once(collect::Board& board) {
  board.start();
  board.wait_settled(2, kOnceMs);
  mlxdash::Snapshot snapshot = board.snapshot();
  mlxdash::derive(snapshot, nullptr);  // a forecast needs more than one look
  return snapshot;
}

int run_export(const cli::Options& options, const mlxbase::os::Environment& environment) {
  const std::string path = mlxbase::path::join(mlxdash::history::state_home(environment), "history.sqlite");
  if (!mlxbase::os::real_file_system().stat(path)) {
    return fail(kFailed, {mlxbase::Code::not_found, "nothing was kept so far: history is written while mlxdash is on a terminal"});
  }
  auto history = mlxdash::history::History::open(path);
  if (!history) return fail(kFailed, history.error());
  const std::int64_t now = mlxbase::system_clock().wall_ns() / 1'000'000'000;
  int status = 0;
  const auto write = [&](const std::string& text) { status = status != 0 ? status : print(text); };
  const auto done = options.csv ? cli::export_csv(*history, now - options.since_s, now, write) : cli::export_json(*history, now - options.since_s, now, write);
  return done ? status : fail(kFailed, done.error());
}

int run_web(const cli::Options& options, collect::Board& board, mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment, const sigset_t& ends) {
  auto key = cli::key_of(options, fs, environment);
  if (!key) return fail(key.error().code == mlxbase::Code::invalid ? kUsage : kFailed, key.error());
  cli::ServeParts parts{.key = std::move(*key), .host = host_name()};
  parts.say = [](const std::string& text) { std::fputs(("mlxdash: " + mlxbase::printable(text) + "\n").c_str(), stderr); };
  std::unique_ptr<mlxdash::history::Recorder> recorder;
  if (options.history) {
    const std::string home = mlxdash::history::state_home(environment);
    // Where another mlxdash keeps it, its history is shown all the same.
    auto started = mlxdash::history::Recorder::start(fs, home);
    if (started) recorder = std::move(*started);
    if (started || started.error().code == mlxbase::Code::busy) parts.history = mlxbase::path::join(home, "history.sqlite");
    if (!started && started.error().code != mlxbase::Code::busy) parts.say("no history is kept: " + started.error().message);
  }
  mlxdash::Alerts alerts;
  parts.on_sample = [&](const mlxdash::Snapshot& snapshot) {
    for (const mlxdash::Alert& alert : alerts.add(snapshot, mlxbase::system_clock().steady_ns())) {
      parts.say(fmt::format("{}{}: {}", alert.over ? "over, " : "", mlxdash::to_string(alert.severity), alert.text));
    }
    if (recorder != nullptr) recorder->add(snapshot);
  };
  const auto done = cli::serve(board, options, parts, ends);
  return done ? 0 : fail(kFailed, done.error());
}

int run(const cli::Options& options, const mlxbase::os::Environment& environment) {
  sigset_t ends{};
  if (options.command == cli::Command::web) ends = cli::hold_back_ends();  // before any thread starts
  if (options.command == cli::Command::export_values && !options.prometheus) return run_export(options, environment);
  collect::Parts parts{.fs = mlxbase::os::real_file_system(), .environment = environment, .clock = mlxbase::system_clock()};
  parts.engine_urls = options.engines;
  parts.find_engines = options.find_engines;
  collect::Board board(parts, collect::sources(), {.interval_ms = options.interval_ms, .host = host_name()});
  if (options.command == cli::Command::web) return run_web(options, board, parts.fs, environment, ends);
  if (options.command == cli::Command::export_values) return print(mlxdash::prometheus_text(look_once(board)));
  if (options.json) return print(mlxbase::json::dump(mlxdash::to_json(look_once(board)), 2) + "\n");
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (options.once || !terminal) {
    const view::Traces none;
    return print(view::report(width_of_output(), look_once(board), none, options.ascii).text());
  }
  const term::Depth depth = options.colour ? term::depth_of(environment) : term::Depth::none;
  // Where nothing can be kept (another mlxdash does, or the folder cannot be written), watching goes on all the same.
  std::unique_ptr<mlxdash::history::Recorder> recorder;
  if (options.history) {
    if (auto started = mlxdash::history::Recorder::start(parts.fs, mlxdash::history::state_home(environment))) recorder = std::move(*started);
  }
  const auto keep = [&](const mlxdash::Snapshot& snapshot) {
    if (recorder != nullptr) recorder->add(snapshot);
  };
  auto done = term::run_live(board, {.interval_ms = options.interval_ms, .ascii = options.ascii, .depth = depth, .on_sample = keep});
  return done ? 0 : fail(kFailed, done.error());
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto options = cli::parse(words);
  if (!options) return fail(kUsage, options.error());
  if (options->help) return print(cli::help_text());
  if (options->command == cli::Command::man) return print(cli::man_page());
  if (options->version) return print(fmt::format("mlxdash {}\n", cli::kVersion));
  static const mlxbase::os::Environment environment = mlxbase::os::real_environment();  // outlives every thread
  const int status = run(*options, environment);
  // A source that hangs may still be looking: nothing static may be destroyed under it, here or in a library.
  std::fflush(nullptr);
  ::_exit(status);
}
