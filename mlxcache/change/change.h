#pragma once
// Changes of names in stores (publish, remove, clean up) as values, carried out through the journal: all of them or none,
// recovered after a kill at any call, and taken back exactly. dedup changes what lies behind a name; this room makes names come and go.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/store.h"
#include "mlxcache/journal/journal.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::change {

/// The numbers are journal::Intent::method; dedup's own end below 16.
enum class Kind : std::uint8_t {
  make_folder = 16,  // a folder that is not there yet (one already there is no error and not ours to remove)
  place = 17,        // a new name; a name already there is an error (`changed`), unless it holds the very same bytes: then nothing is done
  replace = 18,      // a file of a store gets new content (a text, or `adopt`: a whole file of ours, with its digest); the old inode goes into the trash
  remove = 19,       // a name (file or symlink) goes into the trash, a folder is removed if it is empty by then
};

/// How a placed name comes by its bytes.
enum class How : std::uint8_t {
  text,       // `content` is the whole file
  link_text,  // a symlink with the text `content`
  clone,      // shares the extents of `source`
  hard_link,  // a second name of `source`
  symlink,    // a symlink to `source` (absolute)
  copy,       // own bytes: never without `source_digest` compared on the way
  adopt,      // `source` is a file of ours (a finished download on the same volume) and is moved here
};

struct Change {
  Kind kind{};
  std::string path;                               // absolute, below `root`
  catalog::Root root;                             // the store that it belongs to: its locks, its temporary names
  // place and replace
  std::vector<How> ways;                          // tried in this order; the next only where the volume refuses one
  std::string content;
  std::string source;
  std::optional<catalog::Fingerprint> source_state;  // anything else at that moment: `changed`
  std::optional<mlxbase::Digest> source_digest;
  std::uint32_t mode = 0644;
  std::optional<std::int64_t> mtime_ns;           // else now
  // replace and remove: the state in which the name was seen; anything else: `changed`
  std::optional<catalog::Fingerprint> expected;
  std::uint64_t bytes = 0;                        // remove: freed once the trash is emptied; place: newly taken (copies)
};

struct Plan {
  std::vector<Change> changes;    // in this order; a removal of metadata before that of payloads, an addition the other way round
  bool whole = true;              // false: a change that fails is left out and listed, the others go on (gc)
};

struct Skipped {
  std::string path;
  std::string reason;
  bool for_now = false;  // somebody is at it: later it may be otherwise
};

struct Done {
  std::string transaction;        // empty if there was nothing to do
  std::vector<Change> done;       // with the one way that was used
  std::vector<Skipped> skipped;
  std::uint64_t bytes_freed = 0;  // when the trash is emptied
};

/// What carrying out needs; the same for dedup (dedup::Machinery is this type).
struct Machinery {
  const stores::Context& context;
  const std::string& home;           // MLXCACHE_HOME
  mlxbase::Clock& clock;
  mlxbase::Progress& progress;
  const mlxbase::Cancel* cancel = nullptr;
  std::string command;               // as typed, for `history`
};

/// Settles what an earlier run left, then does the plan under the home lock and the stores' locks. With `whole`, the first failure takes
/// everything back and is the error returned. Errors: busy, changed, permission, out_of_space, io, cancelled (nothing was changed).
mlxbase::Result<Done> carry_out(const Machinery& machinery, const Plan& plan);

/// One thing in the trash of some transaction.
struct Trashed {
  std::string transaction;
  std::string path;             // where it was
  std::string trash_path;       // where it lies now
  std::uint64_t bytes = 0;      // freed by emptying: blocks that nothing else refers to
  std::int64_t removed_at_ns = 0;
};
mlxbase::Result<std::vector<Trashed>> trash(const Machinery& machinery);
/// Deletes for good what was removed before `older_than_ns` (all: INT64_MAX) by `transaction` (empty: any). Those transactions cannot be undone after.
mlxbase::Result<std::vector<Trashed>> empty_trash(const Machinery& machinery, const std::string& transaction, std::int64_t older_than_ns);

}  // namespace mlxcache::change
