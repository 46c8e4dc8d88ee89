#pragma once
// Intent log: one file a transaction, `<home>/journal/<id>.journal`. Format: docs/formats/journal.md.
// What is written here lets a change cut short be finished or rolled back, and a finished one be taken back.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::journal {

/// Everything needed to put a name back as it was.
struct Before {
  mlxbase::os::FileKind kind = mlxbase::os::FileKind::regular;
  mlxbase::os::FileId id;
  std::uint64_t size = 0;
  std::uint64_t links = 1;
  std::int64_t ctime_ns = 0;
  mlxbase::os::Metadata metadata;
  std::string link_text;  // if it was a symlink
  std::vector<std::string> other_names;  // of the same inode, as far as the plan knew them
  std::vector<mlxbase::os::Extent> holes;  // runs of a sparse file that were holes (logical and length count)
};

/// What is about to be done to one name; on disk before it is done.
struct Intent {
  std::uint32_t index = 0;      // within the transaction
  std::uint8_t method = 0;      // dedup::Method
  std::string source;
  std::string target;
  std::string staging;          // the temporary name, if the method needs one
  std::string keep;             // a second temporary name: of the old inode, on volumes that cannot swap two names
  std::uint8_t source_kind = 0; // catalog::StoreKind
  std::uint8_t target_kind = 0;
  std::string source_root;
  std::string target_root;
  mlxbase::os::FileId source_id;
  std::uint64_t size = 0;
  std::uint64_t bytes = 0;      // freed, as planned
  std::string digest;           // "sha256:…" of the bytes where known, else empty
  Before before;
};

enum class Outcome : std::uint8_t { done, rolled_back, undone, undo_refused, emptied /* from the trash, for good */ };

/// What became of an intent. May be missing after a crash: the disk then says.
struct Settled {
  std::uint32_t index = 0;
  Outcome outcome{};
  mlxbase::os::FileId after_id;      // the name's inode afterwards
  std::int64_t after_mtime_ns = 0;
  std::uint64_t after_size = 0;
  std::string digest;                // measured while comparing
  std::string reason;                // for rolled_back and undo_refused
};

enum class State : std::uint8_t {
  complete,        // ran to its end
  cut,             // neither complete nor settled: recover() will look at it
  recovered,       // was cut; recover() settled it
  undone,          // everything restored
  partly_undone,   // some files were refused
};
std::string_view to_string(State state);

/// One transaction, for `history` and `undo`.
struct Summary {
  std::string id;               // sorts by time: "20261123T042027-3fa9"
  std::int64_t started_at_ns = 0;
  std::string command;          // "dedup --apply --store ollama"
  State state{};
  std::uint64_t actions = 0;    // done, and not undone
  std::uint64_t files = 0;      // done, whatever became of them later
  std::uint64_t bytes_freed = 0;
};

/// All transactions, newest first. A damaged file is listed in `problems` ("path: why") and the rest goes on.
/// Reads only the first and the last record of those that are closed and were never undone.
mlxbase::Result<std::vector<Summary>> list(mlxbase::os::FileSystem& fs, const std::string& home, std::vector<std::string>& problems);

/// `<home>/journal` and `<home>/journal/<id>.journal`.
std::string folder(const std::string& home);
std::string file_of(const std::string& home, std::string_view id);

}  // namespace mlxcache::journal
