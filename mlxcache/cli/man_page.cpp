#include "mlxcache/cli/man_page.h"

#include <fmt/format.h>

#include "mlxcache/cli/help.h"

namespace mlxcache::cli {
namespace {

/// Text for roff: its own signs escaped, ASCII only.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  while (!text.empty()) {
    if (text.starts_with("…")) {
      out += "...";
      text.remove_prefix(std::string_view("…").size());
      continue;
    }
    const char c = text.front();
    text.remove_prefix(1);
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    line_start = c == '\n';
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '\'': out += "\\(aq"; break;
      case '"': out += "\\(dq"; break;
      case '~': out += "\\(ti"; break;
      default: out += c;
    }
  }
  return out;
}

std::string paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto gap = text.find("\n\n");
    if (!out.empty()) out += ".PP\n";
    out += roff(text.substr(0, gap)) + "\n";
    text.remove_prefix(gap == std::string_view::npos ? text.size() : gap + 2);
  }
  return out;
}

std::string header(std::string_view name, std::string_view summary) {
  std::string upper(name);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c;
  return fmt::format(".\\\" Made by: mlxcache man\n.TH {} 1 \"\" \"mlxcache {}\" \"MLX Infrastructure Suite\"\n.SH NAME\n{} \\- {}\n", roff(upper),
                     kVersion, roff(name), roff(summary));
}

std::string option_list(std::span<const Option> options) {
  std::string out;
  for (const Option& o : options) {
    out += fmt::format(".TP\n.B {}", roff(o.name));
    out += o.value.empty() ? "\n" : fmt::format(" \\fI{}\\fR\n", roff(o.value));
    std::string help(o.help);
    if (const auto choices = choices_of(o.kind); !choices.empty()) help += fmt::format(" ({})", fmt::join(choices, ", "));
    out += roff(help) + ".\n";
  }
  return out;
}

constexpr std::string_view kEnvironment =
    ".SH ENVIRONMENT\n"
    ".TP\n.B MLXCACHE_HOME\nWhere mlxcache keeps its own state: the catalog of measurements and the journal. Without it:\n"
    "\\fI$XDG_DATA_HOME/mlxcache\\fR or \\fI\\(ti/.local/share/mlxcache\\fR on Linux,\n"
    "\\fI\\(ti/Library/Application Support/mlxcache\\fR on macOS.\n"
    ".TP\n.B NO_COLOR\nNo colours.\n"
    ".PP\nThe variables by which each tool finds its own models (HF_HOME, OLLAMA_MODELS and so on) are honoured as the tool does.\n";

}  // namespace

std::string man_page() {
  std::string out = header("mlxcache", "see every model store, share what is equal, take it back");
  out += ".SH SYNOPSIS\n.B mlxcache\n.I COMMAND\n[options]\n.SH DESCRIPTION\n";
  out += paragraphs(
      "mlxcache looks at the model stores that tools for local AI keep (Hugging Face, Ollama, LM Studio, llama.cpp and more), finds files "
      "that are stored more than once, and lets equal files share one set of disk blocks. The stores stay where they are and every tool keeps "
      "working.\n\n"
      "Nothing is changed without --apply. A change is first a plan that is printed; the very same plan is written to a journal and done; "
      "killed at any moment, every file still has its bytes; and 'mlxcache undo' brings back exactly what was there.");
  out += ".SH COMMANDS\n";
  Group group = Group::more;
  bool first = true;
  for (const Command& c : commands()) {
    if (first || c.group != group) out += fmt::format(".SS {}\n", roff(title_of(c.group)));
    group = c.group;
    first = false;
    out += fmt::format(".TP\n.BR mlxcache\\-{} (1)\n{}\n", roff(c.name), roff(c.summary));
  }
  out += ".SH OPTIONS\nThese go with every command.\n" + option_list(global_options());
  out += ".SH EXIT STATUS\n";
  for (const ExitMeaning& m : exit_meanings()) out += fmt::format(".TP\n.B {}\n{}\n", static_cast<unsigned>(m.status), roff(m.meaning));
  out += kEnvironment;
  return out;
}

std::string man_page_of(const Command& command) {
  const std::string name = fmt::format("mlxcache-{}", command.name);
  std::string out = header(name, command.summary);
  out += fmt::format(".SH SYNOPSIS\n.B mlxcache {}\n", roff(command.name));
  for (const Operand& o : command.operands) {
    const std::string text = fmt::format("\\fI{}\\fR{}", roff(o.name), o.repeated ? "..." : "");
    out += o.required ? text + "\n" : "[" + text + "]\n";
  }
  out += "[options]\n.SH DESCRIPTION\n" + paragraphs(command.description);
  if (!command.operands.empty() || !command.options.empty()) out += ".SH OPTIONS\n";
  for (const Operand& o : command.operands) out += fmt::format(".TP\n.I {}\n{}.\n", roff(o.name), roff(o.help));
  out += option_list(command.options);
  out += ".PP\nOptions of every command, and the environment: see\n.BR mlxcache (1).\n";
  if (!command.examples.empty()) out += ".SH EXAMPLES\n";
  for (const Example& e : command.examples) out += fmt::format(".TP\n.B {}\n{}.\n", roff(e.line), roff(e.what));
  out += ".SH EXIT STATUS\n";
  for (const ExitMeaning& m : exit_meanings()) {
    std::string_view when = m.meaning;
    bool listed = m.status == Exit::ok || m.status == Exit::usage || m.status == Exit::failed || m.status == Exit::cancelled;
    for (const ExitNote& note : command.exits) {
      if (note.status == m.status) {
        when = note.when;
        listed = true;
      }
    }
    if (listed) out += fmt::format(".TP\n.B {}\n{}.\n", static_cast<unsigned>(m.status), roff(when));
  }
  out += ".SH SEE ALSO\n.BR mlxcache (1)\n";
  return out;
}

}  // namespace mlxcache::cli
