#pragma once
// A journal file as bytes: header, framed records, what survives damage; and its one writer.
// Format: docs/formats/journal.md.
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mlxcache/journal/record.h"

namespace mlxcache::journal {

inline constexpr std::size_t kMagicBytes = 8;
inline constexpr std::size_t kHeaderBytes = kMagicBytes + 4 /*version*/ + 4 /*zero*/ + 8 /*salt*/ + 4 /*zero*/ + 4 /*checksum*/;
inline constexpr std::size_t kFrameBytes = 4 /*length*/ + 4 /*checksum*/;
inline constexpr std::size_t kMaxRecord = std::size_t{16} << 20U;  // a name's attributes may hold a resource fork
inline constexpr std::size_t kClosedBytes = 1 + 1 + 8 + 8 + 8;     // payload of Closed, read from the end of the file
inline constexpr std::uint32_t kVersion = 1;

/// What a journal file holds.
struct Contents {
  std::uint64_t salt = 0;
  std::vector<Record> records;
  std::uint64_t good_bytes = 0;        // up to the end of the last whole record; what lies behind is a torn tail
  std::vector<std::string> damage;     // "bytes 120 to 340 are damaged", one a place; a torn tail is the last of them
};

/// Reads the bytes of a journal. A damaged record costs itself only; a torn tail is left out.
/// Errors: corrupt (no journal, or its header is damaged), unsupported (a later version).
mlxbase::Result<Contents> parse(std::span<const std::byte> file);
mlxbase::Result<Contents> read(mlxbase::os::FileSystem& fs, const std::string& file);

/// The first record (if it is Begin) and the last (if it is Closed), without reading what lies between.
struct Ends {
  std::optional<Begin> begin;
  std::optional<Closed> closed;
};
mlxbase::Result<Ends> read_ends(mlxbase::os::FileSystem& fs, const std::string& file);

/// Appends records. One writer a file (the lock of MLXCACHE_HOME sees to it); not for use by two threads at once.
/// After a failed write or sync every further call fails: what a failed fsync kept is unknown.
class Writer {
 public:
  /// Makes `<home>/journal/<begin.id>.journal` with its first record, all of it on disk when this returns.
  /// Errors: invalid with EEXIST (the id is taken), permission, out_of_space, io.
  static mlxbase::Result<Writer> create(mlxbase::os::FileSystem& fs, const std::string& home, const Begin& begin);
  /// Opens an existing one to go on behind its last whole record; a torn tail is cut off.
  static mlxbase::Result<Writer> reopen(mlxbase::os::FileSystem& fs, const std::string& file, const Contents& contents);

  /// Adds one record. It counts as written only after sync() succeeds.
  /// Errors: invalid (over kMaxRecord bytes; the writer stays usable), what an earlier failure was.
  mlxbase::Status append(const Record& record);
  /// Writes and forces to the device what was appended; nothing if there is nothing.
  mlxbase::Status sync();
  /// Writes what was appended without forcing it: survives the process, not the power.
  mlxbase::Status flush();

 private:
  Writer(std::unique_ptr<mlxbase::os::File> file, std::uint64_t salt, std::uint64_t end) : file_(std::move(file)), salt_(salt), end_(end) {}

  std::unique_ptr<mlxbase::os::File> file_;
  std::uint64_t salt_ = 0;
  std::uint64_t end_ = 0;                // where the next byte goes
  std::vector<std::byte> waiting_;
  bool unsynced_ = false;
  std::optional<mlxbase::Error> broken_;
};

}  // namespace mlxcache::journal
