#pragma once
// Runs a plan through the journal, and takes transactions back. The promise and how it is kept: docs/design/safety.md.
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/dedup/plan.h"
#include "mlxcache/journal/journal.h"

namespace mlxcache::dedup {

/// Bytes that were measured at `before` are those of `after` too: for Catalog::moved, so that nothing is hashed again for our own change.
struct Moved {
  catalog::Fingerprint before;
  catalog::Fingerprint after;
};

struct Applied {
  std::string transaction;          // its id, for undo; empty if the plan had no action
  std::vector<Action> done;         // with the method that was used in the end
  std::vector<Skipped> skipped;     // changed since the plan, open for writing, locked, not equal, refused by the volume
  std::uint64_t bytes_freed = 0;
  std::vector<Moved> moved;
};

struct Undone {
  std::string transaction;          // whose changes were taken back
  std::vector<std::string> restored;
  std::vector<Skipped> refused;     // path, reason
  std::vector<Skipped> notes;       // restored, but this could not be set back (owner without root, …)
  std::vector<Moved> moved;
};

struct Recovered {
  std::vector<std::string> transactions;  // that were cut short
  std::vector<std::string> rolled_back;   // paths where the step that was cut short was taken back
  std::vector<std::string> finished;      // paths whose change was found complete
  std::vector<Skipped> left;              // could not be settled, and why (a volume not mounted): stays in the journal
};

struct Machinery {
  const stores::Context& context;
  const std::string& home;           // MLXCACHE_HOME
  mlxbase::Clock& clock;
  mlxbase::Progress& progress;
  const mlxbase::Cancel* cancel = nullptr;
  std::string command;               // as typed, for `history`; "dedup" if empty
};

/// Settles what an earlier run left first. Errors: busy (another mlxcache changes this machine), io (the journal cannot be written: nothing was
/// changed), cancelled only before anything was done; a cancel in the middle ends the transaction after the current action.
mlxbase::Result<Applied> apply(const Machinery& machinery, const Plan& plan);
/// The latest transaction with something left to undo if `transaction` is empty. May be run again for what was refused.
/// Errors: not_found (no such transaction, or none left), invalid (it is undone already), out_of_space (the bytes would not fit; nothing was
/// changed), busy, corrupt (its journal), io, cancelled.
mlxbase::Result<Undone> undo(const Machinery& machinery, const std::string& transaction);
/// Settles every transaction that was cut short. Cheap when there is none. Errors: busy, permission, io.
mlxbase::Result<Recovered> recover(const Machinery& machinery);

}  // namespace mlxcache::dedup
