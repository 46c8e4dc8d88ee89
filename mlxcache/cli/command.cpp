#include "mlxcache/cli/command.h"

#include <algorithm>

#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::cli {
namespace {

// Global options are few on purpose; what only some commands understand belongs to their rows.
constexpr Option kGlobalOptions[] = {
    {"--json", "", Kind::text, false, "print one JSON document instead of text (docs/formats/json.md)"},
    {"--yes", "", Kind::text, false, "answer yes to every question"},
    {"--quiet", "", Kind::text, false, "no progress and no hints; results and errors only"},
    {"--verbose", "", Kind::text, false, "say more: log events on standard error, every file in lists"},
    {"--no-color", "", Kind::text, false, "no colours (as does the variable NO_COLOR)"},
    {"--help", "", Kind::text, false, "help for the command, with examples and exit codes"},
    {"--version", "", Kind::text, false, "print the version"},
};

std::span<const Command> table() {
  // Copied once: the rows live in their own files, and a table of values is what everybody iterates over.
  static const Command kCommands[] = {
      kScan, kLs, kShow, kDups, kDu, kStatus, kDedup, kWatch, kUndo, kHistory, kRecover, kPull, kPublish, kUnpublish, kRm, kRestore, kGc, kPrune, kPin, kUnpin, kFreeze, kThaw, kMount, kVault, kVerify, kRepair, kDoctor, kDemo, kCompletions, kMan, kHelp,
  };
  return kCommands;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<std::string> Arguments::one(std::string_view name) const {
  const auto it = values_.find(name);
  if (it == values_.end() || it->second.empty()) return std::nullopt;
  return it->second.back();
}

const std::vector<std::string>& Arguments::all(std::string_view name) const {
  static const std::vector<std::string> kNone;
  const auto it = values_.find(name);
  return it == values_.end() ? kNone : it->second;
}

std::uint64_t Arguments::bytes(std::string_view name, std::uint64_t otherwise) const {
  const auto text = one(name);
  return text ? mlxbase::parse_bytes(*text).value_or(otherwise) : otherwise;
}

std::int64_t Arguments::age_ns(std::string_view name, std::int64_t otherwise) const {
  const auto text = one(name);
  const auto age = text ? mlxbase::parse_age(*text) : std::nullopt;
  return age ? std::chrono::nanoseconds(*age).count() : otherwise;
}

std::string_view title_of(Group group) {
  switch (group) {
    case Group::look: return "See what is there";
    case Group::share: return "Share, and take it back";
    case Group::add: return "Get models, and show them to other tools";
    case Group::remove: return "Remove, and keep";
    case Group::cold: return "Cold models, kept small";
    case Group::check: return "Check";
    case Group::more: return "More";
  }
  return {};
}

std::span<const Command> commands() { return table(); }

const Command* find_command(std::string_view name) {
  for (const Command& command : commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

std::span<const Option> global_options() { return kGlobalOptions; }

std::vector<std::string_view> choices_of(Kind kind) {
  switch (kind) {
    case Kind::store: {
      std::vector<std::string_view> names;
      for (const stores::Adapter& adapter : stores::adapters()) names.push_back(adapter.name);
      return names;
    }
    case Kind::method: return {"auto", "reflink", "hardlink", "symlink"};
    case Kind::shell: return {"bash", "zsh", "fish"};
    case Kind::command: {
      std::vector<std::string_view> names;
      for (const Command& command : commands()) names.push_back(command.name);
      return names;
    }
    case Kind::text:
    case Kind::folder:
    case Kind::bytes:
    case Kind::age:
    case Kind::model:
    case Kind::transaction: break;
  }
  return {};
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  if (word.size() > 100) return best;  // foreign text may be long; nobody mistypes a word of a hundred letters
  for (std::string_view candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    if (word.size() >= 2 && candidate.starts_with(word)) distance = 1;
    if (distance < best_distance && distance < candidate.size()) {
      best_distance = distance;
      best = std::string(candidate);
    }
  }
  return best;
}

}  // namespace mlxcache::cli
