#pragma once
// Runs a plan through the journal, and takes transactions back. The promise and how it is kept: docs/design/safety.md.
#include <string>
#include <vector>

#include "mlxcache/change/recover.h"
#include "mlxcache/change/undo.h"
#include "mlxcache/dedup/plan.h"
#include "mlxcache/journal/journal.h"

namespace mlxcache::dedup {

using change::Moved;

struct Applied {
  std::string transaction;          // its id, for undo; empty if the plan had no action
  std::vector<Action> done;         // with the method that was used in the end
  std::vector<Skipped> skipped;     // changed since the plan, open for writing, locked, not equal, refused by the volume
  std::uint64_t bytes_freed = 0;
  std::vector<Moved> moved;
};

using change::Machinery;
using change::Recovered;
using change::Undone;

/// Settles what an earlier run left first. Errors: busy (another mlxcache changes this machine), io (the journal cannot be written: nothing was
/// changed), cancelled only before anything was done; a cancel in the middle ends the transaction after the current action.
mlxbase::Result<Applied> apply(const Machinery& machinery, const Plan& plan);
/// The latest transaction with something left to undo if `transaction` is empty. May be run again for what was refused.
/// Errors: not_found (no such transaction, or none left), invalid (it is undone already), out_of_space (the bytes would not fit; nothing was
/// changed), busy, corrupt (its journal), io, cancelled.
mlxbase::Result<Undone> undo(const Machinery& machinery, const std::string& transaction);
using change::recover;

}  // namespace mlxcache::dedup
