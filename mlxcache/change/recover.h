#pragma once
// The beginning of every change: what an earlier run left is settled first.
#include <string>
#include <vector>

#include "mlxcache/change/change.h"

namespace mlxcache::change {

struct Recovered {
  std::vector<std::string> transactions;  // that were cut short
  std::vector<std::string> rolled_back;   // paths where the step that was cut short was taken back
  std::vector<std::string> finished;      // paths whose change was found complete
  std::vector<Skipped> left;              // could not be settled, and why (a volume not mounted): stays in the journal
};

/// Settles every transaction that was cut short, of dedup and of this room. Cheap when there is none. Errors: busy, permission, io.
mlxbase::Result<Recovered> recover(const Machinery& machinery);
/// The same, by one who holds the lock of MLXCACHE_HOME already.
mlxbase::Result<Recovered> recover_locked(const Machinery& machinery);

}  // namespace mlxcache::change
