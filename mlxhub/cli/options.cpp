#include "mlxhub/cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"

namespace mlxhub::cli {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr CommandRow kCommands[] = {
    {"serve", "", "answer until SIGINT or SIGTERM, which let the requests in flight end", Command::serve},
    {"ls", "", "models that can be named, with their store and size", Command::ls},
    {"ps", "", "models that a server has loaded", Command::ps},
    {"stop", "MODEL", "let a model go that a server has loaded", Command::stop},
    {"chat", "MODEL", "talk to a model of a server: a line is a message; where there is no terminal, all of the input is one", Command::chat},
    {"man", "", "print the manual page", Command::man},
};

constexpr OptionRow kOptions[] = {
    {"--model", "NAME", "serve", "load it at once, and keep it: a name that ls shows, or a path (./, /) to a GGUF file or a folder; may be repeated"},
    {"--address", "ADDRESS", "serve", "where to listen (127.0.0.1 unless told otherwise)"},
    {"--port", "PORT", "serve", "8080 unless told otherwise; 0: one that is free"},
    {"--threads", "N", "serve", "for the arithmetic; one a core unless told otherwise"},
    {"--memory", "SIZE", "serve", "most for all models together, as 8GB; what the machine has left unless told otherwise"},
    {"--keep", "AGE", "serve", "how long a model stays that nobody asks (30m unless told otherwise; 0s: not at all; ever: for ever)"},
    {"--allow-host", "NAME", "serve", "a Host besides those of loopback; *: any; may be repeated"},
    {"--allow-origin", "ORIGIN", "serve", "pages that may ask besides those of this machine; *: any; may be repeated"},
    {"--api-key", "KEY", "serve ps stop chat", "needed from clients, as Authorization: Bearer KEY; may be repeated; MLXHUB_API_KEY does the same"},
    {"--server", "URL", "ps stop chat", "which server (http://127.0.0.1:8080 unless told otherwise)"},
    {"--json", "", "ls ps stop", "one JSON document"},
    {"--version", "", "", "print the version"},
    {"--help", "", "", "print this"},
};

bool takes(const OptionRow& row, std::string_view command) {
  if (row.where.empty()) return true;
  for (std::string_view left = row.where; !left.empty();) {
    const auto end = std::min(left.find(' '), left.size());
    if (left.substr(0, end) == command) return true;
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return false;
}

Result<std::uint64_t> number(std::string_view name, const std::string& text, std::uint64_t least, std::uint64_t most) {
  const bool digits = !text.empty() && text.size() <= 6 && text.find_first_not_of("0123456789") == std::string::npos;
  const std::uint64_t value = digits ? std::strtoull(text.c_str(), nullptr, 10) : UINT64_MAX;
  if (value < least || value > most) return fail(Code::invalid, fmt::format("{} {}: a number from {} to {} is needed", name, mlxbase::printable(text), least, most));
  return value;
}

}  // namespace

std::span<const CommandRow> command_rows() { return kCommands; }
std::span<const OptionRow> option_rows() { return kOptions; }

Result<Options> parse(std::span<const std::string> words) {
  Options options;
  const CommandRow* command = nullptr;
  std::vector<const OptionRow*> given;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string name = words[i] == "-h" ? "--help" : words[i];
    if (!name.starts_with('-')) {
      if (command != nullptr) {
        if (command->word.empty() || !options.model.empty()) return fail(Code::invalid, fmt::format("'{}' is one word too many", mlxbase::printable(name)));
        options.model = name;
        continue;
      }
      for (const CommandRow& row : kCommands) {
        if (row.name == name) command = &row;
      }
      if (name == "help") options.help = true;
      if (command == nullptr && !options.help) return fail(Code::invalid, fmt::format("unknown command '{}'", mlxbase::printable(name)));
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
    if (row == nullptr) return fail(Code::invalid, fmt::format("unknown option '{}'", mlxbase::printable(name)));
    if (row->value.empty() && has_value) return fail(Code::invalid, fmt::format("{} takes no value", name));
    if (!row->value.empty() && !has_value) {
      if (i + 1 >= words.size()) return fail(Code::invalid, fmt::format("{} needs a value: {}", name, row->value));
      value = words[++i];
    }
    given.push_back(row);
    if (name == "--help") options.help = true;
    if (name == "--version") options.version = true;
    if (name == "--json") options.json = true;
    if (name == "--server") options.server = value;
    if (name == "--model") options.models.push_back(value);
    if (name == "--address") options.address = value;
    if (name == "--api-key") options.keys.push_back(value);
    if (name == "--allow-host") options.hosts.push_back(value);
    if (name == "--allow-origin") options.origins.push_back(value);
    if (name == "--port") options.port = static_cast<std::uint16_t>(TRY(number(name, value, 0, 65535)));
    if (name == "--threads") options.threads = static_cast<unsigned>(TRY(number(name, value, 1, 1024)));
    if (name == "--memory") {
      options.memory_bytes = mlxbase::parse_bytes(value);
      if (!options.memory_bytes) return fail(Code::invalid, fmt::format("--memory {}: a size like 8GB is needed", mlxbase::printable(value)));
    }
    if (name == "--keep") {
      const auto age = mlxbase::parse_age(value);
      if (!age && value != "ever") return fail(Code::invalid, fmt::format("--keep {}: an age like 30m, or ever, is needed", mlxbase::printable(value)));
      options.keep_seconds = age ? age->count() : -1;
    }
  }
  if (options.help || options.version) return options;
  if (command == nullptr) return fail(Code::invalid, "a command is needed");
  for (const OptionRow* row : given) {
    if (!takes(*row, command->name)) return fail(Code::invalid, fmt::format("{} is no option of {}", row->name, command->name));
  }
  if (!command->word.empty() && options.model.empty()) return fail(Code::invalid, fmt::format("{} needs a {}", command->name, command->word));
  options.command = command->command;
  return options;
}

std::string help_text() {
  std::string out = "mlxhub serves the models of this machine, whatever tool they belong to, over the APIs of OpenAI, Anthropic and Ollama. It reads them where they lie.\n\nUsage:\n";
  for (const CommandRow& row : kCommands) out += fmt::format("  mlxhub {:<12} {}\n", fmt::format("{}{}{}", row.name, row.word.empty() ? "" : " ", row.word), row.help);
  for (const CommandRow& row : kCommands) {
    std::string options;
    for (const OptionRow& o : kOptions) {
      if (!o.where.empty() && takes(o, row.name)) options += fmt::format("  {:<22} {}\n", fmt::format("{} {}", o.name, o.value), o.help);
    }
    if (!options.empty()) out += fmt::format("\nOptions of {}:\n{}", row.name, options);
  }
  return out + "  --version, --help\n"
         "\nExamples:\n"
         "  mlxhub serve --model ./SmolLM2-135M-Instruct.Q4_1.gguf\n"
         "  mlxhub serve --port 1234 --api-key secret\n"
         "  mlxhub ls --json | jq -r '.models[].id'\n"
         "  mlxhub chat llama3.2:3b\n"
         "  echo 'Say hello.' | mlxhub chat llama3.2:3b\n"
         "  mlxhub stop llama3.2:3b\n"
         "\nExit codes:\n  0  done\n  2  the command line makes no sense\n  4  it failed\n";
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
  std::string out = ".TH MLXHUB 1\n.SH NAME\nmlxhub \\- models of this machine over the APIs of OpenAI, Anthropic and Ollama\n.SH SYNOPSIS\n";
  for (const CommandRow& row : kCommands) out += fmt::format(".B mlxhub {}\n{} [options]\n.br\n", row.name, row.word);
  out += ".SH DESCRIPTION\nIt reads models where they lie, in whatever tool's store, and changes nothing there.\n";
  for (const CommandRow& row : kCommands) out += fmt::format(".TP\n.B {}\n{}\n", row.name, roff(row.help));
  out += ".SH OPTIONS\n";
  for (const OptionRow& row : kOptions) {
    out += row.value.empty() ? fmt::format(".TP\n.B {}\n", roff(row.name)) : fmt::format(".TP\n.BI {} \" {}\"\n", roff(row.name), row.value);
    out += row.where.empty() ? roff(row.help) + "\n" : fmt::format("({}) {}\n", row.where, roff(row.help));
  }
  return out + ".SH EXIT STATUS\n0 done; 2 the command line makes no sense; 4 it failed.\n";
}

}  // namespace mlxhub::cli
