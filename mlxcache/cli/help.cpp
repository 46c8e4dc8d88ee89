#include "mlxcache/cli/help.h"

#include <fmt/format.h>

#include <algorithm>

namespace mlxcache::cli {
namespace {

constexpr std::size_t kReadable = 100;  // longer lines of prose tire the eye

std::size_t width_of(int columns) {
  return columns <= 0 ? 80 : std::min<std::size_t>(kReadable, std::max<std::size_t>(40, static_cast<std::size_t>(columns)));
}

/// "  left      right, wrapped below itself".
std::string two_columns(std::string_view left, std::string_view right, std::size_t left_width, std::size_t width, const Style& style) {
  const std::string indent(left_width + 4, ' ');
  std::string wrapped = wrap_text(right, width, indent);
  std::string out = "  " + style.bold(left);
  if (display_width(left) > left_width) {
    out += "\n";
  } else {
    out += std::string(left_width + 2 - display_width(left), ' ');
    wrapped.erase(0, indent.size());
  }
  return out + wrapped;
}

std::string options_table(std::span<const Option> options, std::size_t width, const Style& style) {
  std::size_t left = 0;
  for (const Option& o : options) left = std::max(left, signature_of(o).size());
  std::string out;
  for (const Option& o : options) {
    std::string help(o.help);
    const auto choices = choices_of(o.kind);
    if (!choices.empty() && choices.size() <= 5) help += fmt::format(" ({})", fmt::join(choices, ", "));
    out += two_columns(signature_of(o), help, left, width, style);
  }
  return out;
}

}  // namespace

std::string signature_of(const Option& option) {
  return option.value.empty() ? std::string(option.name) : fmt::format("{} {}", option.name, option.value);
}

std::string usage_of(const Command& command) {
  std::string usage = fmt::format("mlxcache {}", command.name);
  for (const Operand& o : command.operands) {
    const std::string name = fmt::format("{}{}", o.name, o.repeated ? "…" : "");
    usage += o.required ? " " + name : " [" + name + "]";
  }
  return usage + " [options]";
}

std::string general_help(int columns, const Style& style) {
  const std::size_t width = width_of(columns);
  std::string out = wrap_text(
      "mlxcache looks at the model stores that your tools keep (Hugging Face, Ollama, LM Studio, llama.cpp and more), finds what is "
      "stored twice, and lets equal files share one set of disk blocks. Nothing is changed without --apply, and every change can be "
      "taken back.",
      width, "");
  out += fmt::format("\n{} mlxcache COMMAND [options]\n", style.bold("Usage:"));
  std::size_t left = 0;
  for (const Command& c : commands()) left = std::max(left, c.name.size());
  Group group = Group::more;
  bool first = true;
  for (const Command& c : commands()) {
    if (first || c.group != group) out += fmt::format("\n{}\n", style.bold(title_of(c.group)));
    group = c.group;
    first = false;
    out += two_columns(c.name, c.summary, left, width, style);
  }
  out += fmt::format("\n{}\n", style.bold("Options of every command"));
  out += options_table(global_options(), width, style);
  out += "\n" + wrap_text("Start with 'mlxcache scan', or 'mlxcache demo' to see everything on a small made-up home first. "
                          "'mlxcache COMMAND --help' has examples and exit codes.", width, "");
  return out;
}

std::string help_of(const Command& command, int columns, const Style& style) {
  const std::size_t width = width_of(columns);
  std::string out = fmt::format("{} {}\n\n", style.bold("Usage:"), usage_of(command));
  out += wrap_text(command.description, width, "");
  if (!command.operands.empty()) {
    out += "\n";
    std::size_t left = 0;
    for (const Operand& o : command.operands) left = std::max(left, o.name.size());
    for (const Operand& o : command.operands) out += two_columns(o.name, o.help, left, width, style);
  }
  if (!command.options.empty()) out += fmt::format("\n{}\n", style.bold("Options")) + options_table(command.options, width, style);
  out += fmt::format("\n{}\n", style.bold("Options of every command")) + options_table(global_options(), width, style);
  if (!command.examples.empty()) {
    out += fmt::format("\n{}\n", style.bold("Examples"));
    for (const Example& e : command.examples) out += fmt::format("  {}\n", style.cyan(e.line)) + wrap_text(e.what, width, "      ");
  }
  out += fmt::format("\n{}\n", style.bold("Exit codes"));
  for (const ExitMeaning& m : exit_meanings()) {
    std::string_view when = m.meaning;
    bool listed = m.status == Exit::ok || m.status == Exit::usage || m.status == Exit::failed || m.status == Exit::cancelled;
    for (const ExitNote& note : command.exits) {
      if (note.status == m.status) {
        when = note.when;
        listed = true;
      }
    }
    if (listed) out += two_columns(fmt::format("{:>3}", static_cast<unsigned>(m.status)), when, 3, width, style);
  }
  return out;
}

}  // namespace mlxcache::cli
