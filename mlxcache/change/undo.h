#pragma once
// Taking a transaction back.
#include <string>
#include <vector>

#include "mlxcache/change/change.h"
#include "mlxcache/journal/log_file.h"
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

/// Takes a transaction of this room back, newest change first. What its owner has changed since is refused, file by file; the first call that
/// fails ends it, so that what still stands is always a beginning of what was done. By one who holds the lock of MLXCACHE_HOME, with nothing left to
/// recover. Errors: io (the journal), cancelled.
mlxbase::Result<Undone> undo_names(const Machinery& machinery, journal::Transaction& t, const std::string& file, const journal::Contents& contents);

/// Goes on with an undo that was cut short, of which every step is either undone or as before the undo by now: takes back what is left of it.
/// False if a call failed: then it is still to be gone on with. Errors: io (the journal).
mlxbase::Result<bool> resume_undo(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Undone& out);

}  // namespace mlxcache::change
