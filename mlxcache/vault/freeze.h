#pragma once
// Files into the vault and back. Neither takes anything away: that is a change::Plan (see take_away.h).
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/vault/vault.h"

namespace mlxcache::vault {

/// What shall be frozen: a model of some store, or a folder.
struct Subject {
  std::string name, revision, store, root;  // as FrozenModel
  std::vector<std::string> paths;           // absolute, at or below root, each once, folders before what lies in them: files, symlinks, folders
};

/// What a run needs of the machine.
struct Means {
  mlxbase::os::FileSystem& fs;
  mlxbase::Clock& clock;
  mlxbase::Progress& progress;
  const mlxbase::Cancel* cancel = nullptr;
  unsigned workers = 1;  // see usual_workers()
};
/// As many as there are cores and memory for: each holds up to four parts at a time, all of them together less than 150 MiB.
unsigned usual_workers();

/// Where the bytes of a model went, by reason.
enum class Reason : std::uint8_t { shared, rows, derived, delta, coded, plain, empty };
inline constexpr std::size_t kReasons = 7;
std::string_view to_string(Reason reason);
struct Tally {
  std::array<std::uint64_t, kReasons> bytes{};   // of the files
  std::array<std::uint64_t, kReasons> stored{};  // of the vault
  std::uint64_t all_bytes() const;
  std::uint64_t all_stored() const;
};

struct Frozen {
  FrozenModel model;
  Tally tally;
};
/// Reads every file once and puts what is new into the vault; the packs are published, the model is not yet.
/// Errors: changed (a file was written meanwhile), unsupported (a FIFO, a placeholder in a cloud), permission, out_of_space, cancelled, io.
mlxbase::Result<Frozen> freeze(Vault& vault, const Subject& subject, const Means& means);

/// Looks at a part of every file (all of it, if it is short) without keeping anything: about what freeze() would come to.
struct Estimate {
  Tally tally;                  // of the whole, reckoned from what was looked at
  std::uint64_t looked_at = 0;  // bytes
  std::int64_t took_ns = 0;
  std::int64_t whole_ns = 0;    // about what the whole will take, reading back included
};
/// `seen` holds what earlier looks of the same run came by: bytes that would be equal to theirs cost nothing.
mlxbase::Result<Estimate> estimate(Vault& vault, const Subject& subject, const Means& means, std::unordered_set<Digest>& seen);

/// Below a hole or a run of zeros the sink is called with an empty span: `length` zero bytes.
struct Piece {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool hole = false;
  std::span<const std::byte> bytes;
};
/// Makes a file's bytes anew with several threads; `sink` may be called by any of them, in no order. At the end the SHA-256 of the whole is
/// compared. Errors: corrupt (names what is damaged), not_found, cancelled, io, those of the sink.
mlxbase::Status make_file(Vault& vault, const FrozenName& name, const Means& means, const std::function<mlxbase::Status(const Piece&)>& sink);

/// Makes every file of the model anew and compares digests, without writing anything. Errors: as make_file.
mlxbase::Status read_back(Vault& vault, const FrozenModel& model, const Means& means);

/// Calls `store`, which puts what `model` is made of and reads it back. If that fails because something that the vault had already is damaged, that is forgotten
/// and `store` called once more: it puts good bytes beside the damaged ones, also for other models that need them.
mlxbase::Status twice(Vault& vault, const FrozenModel& model, const std::function<mlxbase::Status()>& store);

/// Copies a frozen model of another vault with all it is made of; every file is made anew from what was written and compared before the model counts.
/// Its id. Errors: as read_back, out_of_space.
mlxbase::Result<std::string> copy_model(Vault& to, Vault& from, const FrozenModel& model, const Means& means);

}  // namespace mlxcache::vault
