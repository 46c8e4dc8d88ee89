#pragma once
// A command as a value: its words, options, examples and exit codes. The grammar, --help, the man pages and the shell
// completions are all made from these rows, so they cannot disagree.
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/cli/exit_status.h"

namespace mlxcache::cli {

class Session;

/// What a value may be. Checked once, when the command line is read; completions offer what suits.
enum class Kind : std::uint8_t { text, folder, bytes, age, store, method, shell, model, transaction, command };

struct Option {
  std::string_view name;   // "--root"
  std::string_view value;  // "DIR"; empty: a switch
  Kind kind = Kind::text;
  bool repeated = false;
  std::string_view help;
};

/// An argument without a dash.
struct Operand {
  std::string_view name;  // "MODEL"
  Kind kind = Kind::text;
  bool required = false;
  bool repeated = false;
  std::string_view help;
};

struct Example {
  std::string_view line;  // "mlxcache dedup --apply"
  std::string_view what;
};

/// When this command ends with `status`, in its own words.
struct ExitNote {
  Exit status;
  std::string_view when;
};

/// What was given for the options and operands of one command; values are already of their Kind.
class Arguments {
 public:
  bool flag(std::string_view name) const { return values_.contains(name); }
  std::optional<std::string> one(std::string_view name) const;
  const std::vector<std::string>& all(std::string_view name) const;
  /// Of Kind::bytes.
  std::uint64_t bytes(std::string_view name, std::uint64_t otherwise) const;
  /// Of Kind::age, in nanoseconds.
  std::int64_t age_ns(std::string_view name, std::int64_t otherwise) const;
  void add(std::string_view name, std::string value) { values_[std::string(name)].push_back(std::move(value)); }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

enum class Group : std::uint8_t { look, share, add, remove, cold, check, more };
std::string_view title_of(Group group);

struct Command {
  std::string_view name;
  std::string_view summary;      // one line, for the list of commands
  Group group;
  bool settles_first;            // settles a transaction that was cut short before it looks at the stores
  std::string_view description;  // paragraphs separated by an empty line
  std::span<const Operand> operands;
  std::span<const Option> options;
  std::span<const Example> examples;
  std::span<const ExitNote> exits;
  mlxbase::Result<Exit> (*run)(Session&, const Arguments&);
};

/// The table, in the order in which help lists it.
std::span<const Command> commands();
const Command* find_command(std::string_view name);
/// Options that every command takes.
std::span<const Option> global_options();
/// Words that a value of this kind may be; empty where anything (or nothing known beforehand) goes.
std::vector<std::string_view> choices_of(Kind kind);

/// The candidate nearest to `word`, if it is near enough to be what was meant.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace mlxcache::cli
