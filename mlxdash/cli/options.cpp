#include "mlxdash/cli/options.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"

namespace mlxdash::cli {
namespace {

using mlxbase::Code;

constexpr OptionRow kOptions[] = {
    {"--once", "", "print the state of the machine as text and end"},
    {"--json", "", "print it as one JSON document and end; with export: what was kept"},
    {"--interval", "SECONDS", "how often to look (0.25 to 60; 1 unless told otherwise)"},
    {"--engine", "URL", "a server to ask besides those that are found; may be repeated"},
    {"--no-find", "", "ask only the servers that --engine names"},
    {"--ascii", "", "draw with letters and signs of ASCII alone"},
    {"--no-color", "", "no colours; so does the variable NO_COLOR"},
    {"--no-history", "", "keep nothing of what is seen"},
    {"--prometheus", "", "with export: the values of this moment, in the text format of Prometheus"},
    {"--csv", "", "with export: what was kept, as lines of time, series, mean, least, greatest"},
    {"--since", "AGE", "with export: how far back (90s, 30m, 12h, 60d; 1h unless told otherwise)"},
    {"--address", "ADDRESS", "with web: where it listens (127.0.0.1 unless told otherwise; any other address needs a key)"},
    {"--port", "NUMBER", "with web: the port (4280 unless told otherwise; 0: one that is free)"},
    {"--key-file", "FILE", "with web: the key that is asked for, alone on a line; the variable MLXDASH_KEY does the same"},
    {"--allow-host", "NAME", "with web: a name by which others may reach it; may be repeated"},
    {"--allow-origin", "ORIGIN", "with web: a web page of elsewhere that may ask; may be repeated"},
    {"--always", "", "with web: look, and keep what is seen, also while nobody watches"},
    {"--version", "", "print the version"},
    {"--help", "", "print this"},
};

constexpr CommandRow kCommands[] = {
    {"", "watch this machine in the terminal (printed once where there is no terminal)", Command::watch},
    {"web", "show it in a browser, to Prometheus and to scripts: a server on this machine, http://127.0.0.1:4280", Command::web},
    {"export", "print values for other programs: --prometheus, --csv or --json", Command::export_values},
    {"man", "print the manual page", Command::man},
};

mlxbase::Result<std::uint32_t> interval_of(const std::string& text) {
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(seconds >= 0.25 && seconds <= 60)) {
    return mlxbase::fail(Code::invalid, fmt::format("--interval {}: a number of seconds from 0.25 to 60 is needed", mlxbase::printable(text)));
  }
  return static_cast<std::uint32_t>(std::lround(seconds * 1000));
}

mlxbase::Result<std::uint16_t> port_of(const std::string& text) {
  char* end = nullptr;
  const long port = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || port < 0 || port > 65535) return mlxbase::fail(Code::invalid, fmt::format("--port {}: a number up to 65535 is needed", mlxbase::printable(text)));
  return static_cast<std::uint16_t>(port);
}

}  // namespace

std::span<const OptionRow> option_rows() { return kOptions; }
std::span<const CommandRow> command_rows() { return kCommands; }

mlxbase::Result<Options> parse(std::span<const std::string> words) {
  Options options;
  bool command_seen = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string name = words[i];
    if (!name.starts_with('-')) {
      bool known = false;
      for (const CommandRow& row : kCommands) {
        if (row.name != name || command_seen) continue;
        options.command = row.command;
        known = command_seen = true;
      }
      if (!known) return mlxbase::fail(Code::invalid, fmt::format("unknown command '{}'; mlxdash --help lists them", mlxbase::printable(name)));
      continue;
    }
    std::string value;
    bool has_value = false;
    if (const auto equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.erase(equals);
      has_value = true;
    }
    const OptionRow* row = nullptr;
    for (const OptionRow& r : kOptions) {
      if (r.name == name) row = &r;
    }
    if (row == nullptr) return mlxbase::fail(Code::invalid, fmt::format("unknown option '{}'; mlxdash --help lists them", mlxbase::printable(name)));
    if (row->value.empty() == has_value) {
      if (has_value) return mlxbase::fail(Code::invalid, fmt::format("{} takes no value", name));
      if (i + 1 >= words.size()) return mlxbase::fail(Code::invalid, fmt::format("{} needs a value: {}", name, row->value));
      value = words[++i];
    }
    if (name == "--once") options.once = true;
    if (name == "--json") options.json = true;
    if (name == "--prometheus") options.prometheus = true;
    if (name == "--csv") options.csv = true;
    if (name == "--no-history") options.history = false;
    if (name == "--since") {
      const auto age = mlxbase::parse_age(value);
      if (!age) return mlxbase::fail(Code::invalid, fmt::format("--since {}: an age such as 90s, 30m, 12h or 60d is needed", mlxbase::printable(value)));
      options.since_s = age->count();
    }
    if (name == "--ascii") options.ascii = true;
    if (name == "--no-color") options.colour = false;
    if (name == "--no-find") options.find_engines = false;
    if (name == "--version") options.version = true;
    if (name == "--help") options.help = true;
    if (name == "--engine") options.engines.push_back(value);
    if (name == "--address") options.address = value;
    if (name == "--port") options.port = TRY(port_of(value));
    if (name == "--key-file") options.key_file = value;
    if (name == "--allow-host") options.hosts.push_back(value);
    if (name == "--allow-origin") options.origins.push_back(value);
    if (name == "--always") options.always = true;
    if (name == "--interval") options.interval_ms = TRY(interval_of(value));
  }
  if (options.command == Command::export_values && options.prometheus + options.csv + options.json != 1 && !options.help) {
    return mlxbase::fail(Code::invalid, "export needs one format: --prometheus, --csv or --json");
  }
  return options;
}

std::string help_text() {
  std::string out = "mlxdash shows this machine, its servers of models and its model stores on one screen. It looks and changes nothing.\n\nUsage:\n";
  for (const CommandRow& row : kCommands) out += fmt::format("  mlxdash {:<10} {}\n", row.name, row.help);
  out += "\nOptions:\n";
  for (const OptionRow& row : kOptions) out += fmt::format("  {:<22} {}\n", fmt::format("{} {}", row.name, row.value), row.help);
  out += "\nExamples:\n"
         "  mlxdash                                      watch; q ends, ? explains the keys\n"
         "  mlxdash --once                               the same as text\n"
         "  mlxdash --json | jq .engines                 for scripts\n"
         "  mlxdash --engine http://gpu-box:8000         a server on another machine besides\n"
         "  mlxdash web                                  the same in a browser, and http://127.0.0.1:4280/metrics\n"
         "  mlxdash web --address 0.0.0.0 --key-file k   for other machines too; k holds the key\n"
         "  mlxdash export --prometheus                  for a text-file collector\n"
         "  mlxdash export --csv --since 12h             what was kept of the last twelve hours\n"
         "\nExit codes:\n  0  done\n  2  the command line makes no sense\n  4  it failed\n";
  return out;
}

std::string man_page() {
  const auto roff = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '-' || c == '\\') out += '\\';
      out += c;
    }
    return out;
  };
  std::string out = ".TH MLXDASH 1\n.SH NAME\nmlxdash \\- machine, servers of models and disk on one screen\n.SH SYNOPSIS\n";
  for (const CommandRow& row : kCommands) out += fmt::format(".B mlxdash {}\n[options]\n.br\n", row.name);
  out += ".SH DESCRIPTION\nIt looks and changes nothing. Servers are asked read-only calls that neither load a model nor wake one up.\n";
  for (const CommandRow& row : kCommands) out += fmt::format(".TP\n.B {}\n{}\n", row.name.empty() ? "(no command)" : row.name, roff(row.help));
  out += ".SH OPTIONS\n";
  for (const OptionRow& row : kOptions) {
    out += row.value.empty() ? fmt::format(".TP\n.B {}\n", roff(row.name)) : fmt::format(".TP\n.BI {} \" {}\"\n", roff(row.name), row.value);
    out += roff(row.help) + "\n";
  }
  out += ".SH EXIT STATUS\n0 done; 2 the command line makes no sense; 4 it failed.\n";
  return out;
}

}  // namespace mlxdash::cli
