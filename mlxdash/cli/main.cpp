// mlxdash: parses, wires real parts together, runs.
#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "mlxbase/core/printable.h"
#include "mlxdash/cli/options.h"
#include "mlxdash/collect/board.h"
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
  return board.snapshot();
}

int run(const cli::Options& options, const mlxbase::os::Environment& environment) {
  collect::Parts parts{.fs = mlxbase::os::real_file_system(), .environment = environment, .clock = mlxbase::system_clock()};
  parts.engine_urls = options.engines;
  parts.find_engines = options.find_engines;
  collect::Board board(parts, collect::sources(), {.interval_ms = options.interval_ms, .host = host_name()});
  if (options.command == cli::Command::export_values) return print(mlxdash::prometheus_text(look_once(board)));
  if (options.json) return print(mlxbase::json::dump(mlxdash::to_json(look_once(board)), 2) + "\n");
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (options.once || !terminal) {
    const view::Traces none;
    return print(view::report(width_of_output(), look_once(board), none, options.ascii).text());
  }
  const term::Depth depth = options.colour ? term::depth_of(environment) : term::Depth::none;
  auto done = term::run_live(board, {.interval_ms = options.interval_ms, .ascii = options.ascii, .depth = depth, .on_sample = {}});
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
  return run(*options, environment);
}
