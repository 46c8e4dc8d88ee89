#pragma once
// Bytes from a server into a file of ours, in parallel ranges, hashed on the way, resumable after Ctrl-C, kill -9 and power loss.
// State format: docs/formats/download.md. A download lies at `<folder>/<key>.part` with `<key>.state` beside it, where `key` is the digest's
// hex, and gets the name `<folder>/<key>` when its digest is confirmed; `<key>.lock` lets one process at a time work on it, and stays.
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/format/sha256_chain.h"
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
  bool locked = false;                     // the caller holds lock_of() by the time its BeforeFile says `now`
};
/// What one process at a time holds while it works on a download.
std::string lock_of(const Wanted& wanted);

struct Downloaded {
  std::string path;                        // whole, on disk (synced), its digest confirmed
  mlxbase::Digest sha256;                  // measured on the way, whatever algorithm was wanted
  std::vector<mlxbase::ChainLink> links;   // see mlxbase::Chain: the catalog keeps them for repair
  std::uint64_t bytes_transferred = 0;     // by this run
};
inline constexpr std::uint64_t kPieceBytes = std::uint64_t{8} << 20U;

/// One of several files that come side by side.
struct Part {
  std::string_view name;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

struct DownloadOptions {
  std::uint32_t connections = 8;           // in all
  std::uint64_t range_bytes = std::uint64_t{64} << 20U;
  mlxbase::net::RetryPolicy retry;
  unsigned hash_threads = 0;               // 0: one a core
  bool pieces = true;                      // a record that is kept on the way has digests of pieces, a second hash of these bytes; without them a
                                           // damaged piece of an earlier run is found only at the end, and everything is fetched again
  std::function<void(std::span<const Part>)> on_parts;  // all that come now, several times a second
  std::function<void(std::uint64_t)> on_resumed;        // so many bytes of what progress counts were here: no part of a rate
};

/// Called as each file is whole, from the thread that called download(), still under its lock; it may move the file away. An error ends the
/// whole download (what is there stays resumable). Of several that want the same digest in the same folder only the first is told.
using OnFile = std::function<mlxbase::Status(std::size_t index, Downloaded&&)>;

enum class Begin : std::uint8_t {
  now,
  later,  // somebody else is at it: asked again in a moment, and the others go on
  never,  // it is not wanted any more; on_file is not called for it
};
/// Asked before a file is begun, from the thread that called download(). An error ends the whole download.
using BeforeFile = std::function<mlxbase::Result<Begin>(std::size_t index)>;

/// Gets all of them, several at a time. One file's failure lets the others finish and is reported after; Errors: the first failure (not_found,
/// permission, corrupt: the digest differs, naming the range where that is known; changed: another ETag between ranges, twice; out_of_space, io, busy: the
/// server asks for more patience than options.retry has), cancelled (resumable). While another process downloads a file, this one waits (progress.item says so).
mlxbase::Status download(mlxbase::os::FileSystem& fs, mlxbase::net::Client& client, mlxbase::Clock& clock, const std::vector<Wanted>& wanted,
                         const DownloadOptions& options, mlxbase::Progress& progress, const mlxbase::Cancel* cancel, const OnFile& on_file,
                         const BeforeFile& before_file = {});

/// Bytes [offset, offset + length) of one file, straight into memory: for repair. Same errors.
mlxbase::Result<std::vector<std::byte>> fetch_range(mlxbase::net::Client& client, const Wanted& wanted, std::uint64_t offset, std::uint64_t length,
                                                    const mlxbase::net::RetryPolicy& retry, const mlxbase::Cancel* cancel);

}  // namespace mlxcache::fetch
