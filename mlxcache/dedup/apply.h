#pragma once
// Runs a plan through the journal, and takes transactions back. The promise and how it is kept: docs/design/safety.md.
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/dedup/plan.h"
#include "mlxcache/journal/journal.h"

namespace mlxcache::dedup {

struct Applied {
  std::string transaction;          // its id, for undo
  std::vector<Action> done;
  std::vector<Skipped> skipped;     // changed since the plan, open for writing, locked, not equal, refused by the volume
  std::uint64_t bytes_freed = 0;
};

struct Undone {
  std::vector<std::string> restored;
  std::vector<Skipped> refused;     // path, reason
  std::vector<Skipped> notes;       // restored, but this could not be set back (owner without root, …)
};

struct Recovered {
  std::vector<std::string> transactions;  // that were cut short
  std::vector<std::string> rolled_back;   // paths that have their original again
  std::vector<std::string> finished;      // paths whose change was found complete
  std::vector<Skipped> left;              // could not be settled, and why (a volume not mounted): stays in the journal
};

struct Machinery {
  const stores::Context& context;
  const std::string& home;           // MLXCACHE_HOME
  mlxbase::Clock& clock;
  mlxbase::Progress& progress;
  const mlxbase::Cancel* cancel = nullptr;
};

/// Errors: busy (another mlxcache changes this machine), io (the journal cannot be written: nothing was changed), cancelled only before
/// anything was done; a cancel in the middle ends the transaction after the current action.
mlxbase::Result<Applied> apply(const Machinery& machinery, const Plan& plan);
/// The latest transaction that is not undone if `transaction` is empty. May be run again for what was refused.
mlxbase::Result<Undone> undo(const Machinery& machinery, const std::string& transaction);
/// Settles every transaction that was cut short. Cheap when there is none.
mlxbase::Result<Recovered> recover(const Machinery& machinery);

}  // namespace mlxcache::dedup
