#pragma once
// Taking a transaction back.
#include <string>
#include <vector>

#include "mlxcache/change/change.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {

/// Bytes that were measured at `before` are those of `after` too: for Catalog::moved, so that nothing is hashed again for our own change.
struct Moved {
  catalog::Fingerprint before;
  catalog::Fingerprint after;
};

struct Undone {
  std::string transaction;          // whose changes were taken back
  std::vector<std::string> restored;
  std::vector<Skipped> refused;     // path, reason
  std::vector<Skipped> notes;       // restored, but this could not be set back (owner without root, …)
  std::vector<Moved> moved;
};

/// Takes a transaction of this room back, newest change first, file by file. By one who holds the lock of MLXCACHE_HOME, with nothing left to
/// recover. Errors: io (the journal), cancelled.
mlxbase::Result<Undone> undo_names(const Machinery& machinery, journal::Transaction& t, const std::string& file, const journal::Contents& contents);

}  // namespace mlxcache::change
