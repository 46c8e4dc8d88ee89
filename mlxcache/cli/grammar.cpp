#include "mlxcache/cli/grammar.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <deque>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"

namespace mlxcache::cli {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Status;

/// What CLI11 fills for one row.
struct Slot {
  std::string_view name;
  Kind kind{};
  bool repeated = false;
  bool given = false;
  std::vector<std::string> values;
  CLI::Option* option = nullptr;
};

void add_option(CLI::App& app, const Option& row, std::deque<Slot>& slots) {
  Slot& slot = slots.emplace_back();
  slot.name = row.name;
  slot.kind = row.kind;
  slot.repeated = row.repeated;
  if (row.value.empty()) {
    slot.option = app.add_flag(std::string(row.name), slot.given)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    return;
  }
  // One value for each time it is named: "--root a b" leaves b to the operands.
  slot.option = app.add_option(std::string(row.name), slot.values)->type_size(1)->expected(1)->allow_extra_args(false);
  slot.option->multi_option_policy(row.repeated ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
  if (row.repeated) slot.option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args(false);
}

void add_operand(CLI::App& app, const Operand& row, std::deque<Slot>& slots) {
  Slot& slot = slots.emplace_back();
  slot.name = row.name;
  slot.kind = row.kind;
  slot.option = app.add_option(std::string(row.name), slot.values);
  slot.option->expected(0, CLI::detail::expected_max_vector_size);  // too many are told of in our own words
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  const auto near = nearest(word, candidates);
  return near ? fmt::format("; did you mean '{}'?", *near) : std::string();
}

/// Letters and digits alone: "LM-Studio" and "lmstudio" are one.
std::string bare(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

/// Names of stores may be given with commas between, and as people write them.
void settle_stores(Slot& slot) {
  if (slot.kind != Kind::store) return;
  std::vector<std::string> values;
  for (const std::string& value : slot.values) {
    for (std::size_t begin = 0; begin <= value.size();) {
      const std::size_t end = slot.repeated ? std::min(value.find(',', begin), value.size()) : value.size();
      std::string word = value.substr(begin, end - begin);
      for (const std::string_view choice : choices_of(Kind::store)) {
        if (!bare(word).empty() && bare(choice) == bare(word)) word = choice;
      }
      values.push_back(std::move(word));
      begin = end + 1;
    }
  }
  slot.values = std::move(values);
}

Status check_value(const Slot& slot, const std::string& value) {
  if (value.empty()) return fail(Code::invalid, fmt::format("{}: the value is empty", slot.name));
  switch (slot.kind) {
    case Kind::bytes:
      if (!mlxbase::parse_bytes(value)) {
        return fail(Code::invalid, fmt::format("{}: '{}' is not a size; write it as 500M, 1.5GB or 4GiB", slot.name, printable(value)));
      }
      break;
    case Kind::age:
      if (!mlxbase::parse_age(value)) {
        return fail(Code::invalid, fmt::format("{}: '{}' is not a time; write it as 60d, 2w or 12h", slot.name, printable(value)));
      }
      break;
    case Kind::store:
    case Kind::method:
    case Kind::shell:
    case Kind::command: {
      const auto choices = choices_of(slot.kind);
      if (std::find(choices.begin(), choices.end(), value) != choices.end()) break;
      std::string message = fmt::format("{}: '{}' is not one of them", slot.name, printable(value));
      if (const auto near = nearest(value, choices)) {
        message += fmt::format("; did you mean '{}'?", *near);
      } else {
        message += fmt::format(": {}", fmt::join(choices, ", "));
      }
      return fail(Code::invalid, std::move(message));
    }
    case Kind::text:
    case Kind::folder:
    case Kind::model:
    case Kind::transaction: break;
  }
  return {};
}

/// A word that nothing took: which, and what may have been meant.
Status unexpected_word(const Command* command, const std::string& word) {
  const bool dashed = word.size() > 1 && word[0] == '-';
  if (dashed) {
    std::vector<std::string_view> known;
    if (command != nullptr) {
      for (const Option& o : command->options) known.push_back(o.name);
    }
    for (const Option& o : global_options()) known.push_back(o.name);
    const std::string bare = word.substr(0, word.find('='));
    // An option of another command is a likelier mistake than a slip of the finger.
    if (command != nullptr && std::find(known.begin(), known.end(), bare) == known.end()) {
      for (const Command& other : commands()) {
        for (const Option& o : other.options) {
          if (o.name == bare && &other != command) {
            return fail(Code::invalid, fmt::format("'{}' takes no {} ('{}' does); see 'mlxcache {} --help'", command->name,
                                                   printable(bare), other.name, command->name));
          }
        }
      }
    }
    return fail(Code::invalid,
                fmt::format("unknown option '{}'{}", printable(bare), suggestion(bare, known).empty()
                                                                          ? fmt::format("; see 'mlxcache {}--help'",
                                                                                        command != nullptr ? std::string(command->name) + " " : "")
                                                                          : suggestion(bare, known)));
  }
  if (command == nullptr) {
    const auto names = choices_of(Kind::command);
    auto hint = suggestion(word, names);
    if (hint.empty()) hint = "; 'mlxcache --help' lists the commands";
    return fail(Code::invalid, fmt::format("unknown command '{}'{}", printable(word), hint));
  }
  return fail(Code::invalid, fmt::format("'{}' has no use for '{}'; see 'mlxcache {} --help'", command->name,
                                         printable(word), command->name));
}

void collect(const std::deque<Slot>& slots, Arguments& into) {
  for (const Slot& slot : slots) {
    if (slot.given) into.add(slot.name, "");
    for (const std::string& value : slot.values) into.add(slot.name, value);
  }
}

/// "--root DIR" if the last word of the line, or one before another option, names an option that takes a value; else empty.
std::string option_without_value(std::span<const std::string> words, const Command* command) {
  if (command == nullptr) return {};
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (const Option& o : command->options) {
      if (words[i] == o.name && !o.value.empty() && (i + 1 == words.size() || words[i + 1].starts_with("--"))) {
        return fmt::format("{} {}", o.name, o.value);
      }
    }
  }
  return {};
}

/// Global switches named before anything went wrong are kept, so that an error is told in the form that was asked for.
void salvage_globals(std::span<const std::string> words, Arguments& globals) {
  for (const std::string& word : words) {
    if (word == "--") break;
    for (const Option& o : global_options()) {
      if (word == o.name && !globals.flag(o.name)) globals.add(o.name, "");
    }
  }
}

}  // namespace

Status parse(std::span<const std::string> words, Invocation& invocation) {
  CLI::App app{"mlxcache"};
  app.set_help_flag("");
  app.allow_extras();
  app.require_subcommand(0, 1);
  std::deque<Slot> globals;
  for (const Option& row : global_options()) add_option(app, row, globals);

  struct Parsed {
    const Command* command;
    CLI::App* app;
    std::deque<Slot> slots;
  };
  std::deque<Parsed> all;
  for (const Command& command : commands()) {
    Parsed& parsed = all.emplace_back(Parsed{&command, app.add_subcommand(std::string(command.name)), {}});
    parsed.app->set_help_flag("");
    parsed.app->allow_extras();
    parsed.app->fallthrough();  // global options may stand anywhere
    for (const Option& row : command.options) add_option(*parsed.app, row, parsed.slots);
    for (const Operand& row : command.operands) add_operand(*parsed.app, row, parsed.slots);
  }

  std::vector<std::string> reversed(words.rbegin(), words.rend());  // CLI11 takes them from the back
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    salvage_globals(words, invocation.globals);
    for (const Parsed& parsed : all) {
      if (parsed.app->parsed()) invocation.command = parsed.command;
    }
    const std::string way_out = invocation.command != nullptr ? fmt::format("; see 'mlxcache {} --help'", invocation.command->name) : "";
    if (const auto missing = option_without_value(words, invocation.command); !missing.empty()) {
      return fail(Code::invalid, fmt::format("{} needs a value{}", missing, way_out));
    }
    return fail(Code::invalid, printable(error.what()) + way_out);
  }

  salvage_globals(words, invocation.globals);
  Parsed* chosen = nullptr;
  for (Parsed& parsed : all) {
    if (parsed.app->parsed()) chosen = &parsed;
  }
  invocation.command = chosen != nullptr ? chosen->command : nullptr;
  std::vector<std::string> left = app.remaining(true);
  std::erase(left, "--");
  if (!left.empty()) return unexpected_word(invocation.command, left.front());
  collect(globals, invocation.globals);
  if (chosen == nullptr) return {};

  for (Slot& slot : chosen->slots) {
    settle_stores(slot);
    for (const std::string& value : slot.values) {
      if (auto good = check_value(slot, value); !good) return good;
    }
  }
  collect(chosen->slots, invocation.arguments);
  if (invocation.globals.flag("--help")) return {};  // help needs no operands
  for (const Operand& row : invocation.command->operands) {
    if (!row.repeated && invocation.arguments.all(row.name).size() > 1) {
      return unexpected_word(invocation.command, invocation.arguments.all(row.name)[1]);
    }
    if (row.required && invocation.arguments.all(row.name).empty()) {
      return fail(Code::invalid, fmt::format("'{}' needs {} ({}); see 'mlxcache {} --help'", invocation.command->name, row.name, row.help,
                                             invocation.command->name));
    }
  }
  return {};
}

}  // namespace mlxcache::cli
