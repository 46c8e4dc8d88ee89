#pragma once
// A transaction as its records tell it: for each name what was meant, what was prepared and what became of it.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mlxcache/journal/log_file.h"

namespace mlxcache::journal {

/// Everything known of one index. A later record of a kind replaces the earlier one.
struct Step {
  std::optional<Intent> intent;
  std::optional<Staged> staged;
  std::optional<Settled> settled;        // done or rolled_back
  std::optional<UndoIntent> undo_intent; // of the last undo that came to it
  std::optional<Staged> undo_staged;
  std::optional<Settled> undo_settled;   // undone or undo_refused
  bool emptied = false;                  // what it had put into the trash is deleted, or about to be

  bool done() const { return settled && settled->outcome == Outcome::done; }
  bool undone() const { return undo_settled && undo_settled->outcome == Outcome::undone; }
  /// SHA-256 of the bytes as measured ("sha256:…"), or empty.
  std::string digest() const;
};

struct Transaction {
  Begin begin;
  std::map<std::uint32_t, Step> steps;
  std::optional<Closed> closed;    // set only if it is the last record
  bool undo_began = false;         // the last thing begun was an undo
  bool was_closed = false;         // it has run to an end once: what was cut is an undo, or the emptying of its trash
  std::vector<std::string> damage; // see Contents

  bool cut() const { return !closed; }
  /// The state to close it with, from its steps.
  Closed closing(std::int64_t now_ns, bool was_cut) const;
};

/// Methods from this one on change names (change::Kind); those below change what lies behind a name (dedup::Method).
inline constexpr std::uint8_t kFirstNameMethod = 16;
/// Whether the transaction is one of change::Kind. A transaction has steps of one sort only.
bool changes_names(const Transaction& t);

Transaction fold(const Contents& contents);

}  // namespace mlxcache::journal
