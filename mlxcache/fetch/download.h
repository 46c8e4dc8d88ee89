#pragma once
// Bytes from a server into a file of ours, in parallel ranges, hashed on the way, resumable after Ctrl-C, kill -9 and power loss.
// State format: docs/formats/download.md. A download lies at `<folder>/<key>.part` with `<key>.state` beside it, where `key` is the digest's
// hex, so that two names of the same bytes are downloaded once, and a lock file that lets one process at a time work on it.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/net/http.h"
#include "mlxbase/net/retry.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::fetch {

struct Wanted {
  std::string name;                        // for people
  std::vector<mlxbase::net::Url> urls;     // equal sources, tried in this order (mirrors); a signed address that expired is asked for again
  std::optional<mlxbase::net::Credential> credential;
  std::uint64_t size = 0;                  // a body of another length is refused
  mlxbase::Digest digest;                  // sha256 or git_sha1: what must come out
  std::string folder;                      // on the volume where the file shall end up; made if missing
};

struct Downloaded {
  std::string path;                        // whole, on disk (synced), its digest confirmed
  mlxbase::Digest sha256;                  // measured on the way, whatever algorithm was wanted
  std::vector<mlxbase::Digest> pieces;     // SHA-256 of each kPieceBytes piece: the catalog keeps them for repair
  std::uint64_t bytes_transferred = 0;     // by this run
};
inline constexpr std::uint64_t kPieceBytes = std::uint64_t{8} << 20U;

struct DownloadOptions {
  std::uint32_t connections = 8;           // in all
  std::uint64_t range_bytes = std::uint64_t{32} << 20U;
  mlxbase::net::RetryPolicy retry;
  unsigned hash_threads = 0;               // 0: one a core
};

/// Called as each file is whole, from the thread that called download(). An error ends the whole download (what is there stays resumable).
using OnFile = std::function<mlxbase::Status(std::size_t index, Downloaded&&)>;

/// Gets all of them, several at a time. One file's failure lets the others finish and is reported after; Errors: the first failure (not_found,
/// permission, corrupt: the digest differs, naming the range where that is known; changed: another ETag between ranges; out_of_space, io, busy: another
/// process downloads it), cancelled (resumable).
mlxbase::Status download(mlxbase::os::FileSystem& fs, mlxbase::net::Client& client, mlxbase::Clock& clock, const std::vector<Wanted>& wanted,
                         const DownloadOptions& options, mlxbase::Progress& progress, const mlxbase::Cancel* cancel, const OnFile& on_file);

/// Bytes [offset, offset + length) of one file, straight into memory: for repair. Same errors.
mlxbase::Result<std::vector<std::byte>> fetch_range(mlxbase::net::Client& client, const Wanted& wanted, std::uint64_t offset, std::uint64_t length,
                                                    const mlxbase::net::RetryPolicy& retry, const mlxbase::Cancel* cancel);

}  // namespace mlxcache::fetch
