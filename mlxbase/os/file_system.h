#pragma once
// The one seam to the disk. Product code sees only these interfaces; the real one is real_file_system(), tests
// stack others on top (mlxbase/testing). Paths are byte strings and go to the kernel as they are. Nothing here follows a
// symlink in the last component unless the name or a Follow says so.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxbase::os {

enum class FileKind : std::uint8_t { regular, directory, symlink, fifo, socket, block_device, character_device, unknown };
std::string_view to_string(FileKind kind);

/// Identity of an inode, as long as somebody holds it.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
  friend auto operator<=>(const FileId&, const FileId&) = default;
};

struct FileStat {
  FileId id;
  FileKind kind = FileKind::unknown;
  bool dataless = false;   // a cloud placeholder: reading would download it (macOS SF_DATALESS)
  bool immutable = false;  // cannot be replaced (macOS UF_IMMUTABLE, SF_IMMUTABLE; Linux: statx attribute)
  std::uint32_t mode = 0;  // permission bits with setuid, setgid, sticky (07777)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t links = 0;
  std::uint64_t size = 0;             // bytes it seems to have
  std::uint64_t allocated_bytes = 0;  // bytes of blocks it refers to, shared ones counted whole
  std::int64_t atime_ns = 0;          // nanoseconds since 1970
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
};

struct DirEntry {
  std::string name;
  FileKind kind = FileKind::unknown;  // `unknown` where the file system does not say: stat it
  std::optional<FileStat> stat;       // of the name itself; only list_with_stats() fills it
};

struct ExtendedAttribute {
  std::string name;
  std::string value;
  friend bool operator==(const ExtendedAttribute&, const ExtendedAttribute&) = default;
};

/// What belongs to an inode besides its bytes. ACLs travel as the extended attributes system.posix_acl_* on Linux and as
/// the pseudo attribute "mlxcache.acl" (text form) on macOS; BSD flags on macOS in `flags`, elsewhere 0.
struct Metadata {
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t atime_ns = 0;
  std::int64_t mtime_ns = 0;
  std::uint32_t flags = 0;
  std::vector<ExtendedAttribute> attributes;  // sorted by name
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

/// A run of disk blocks.
struct Extent {
  std::uint64_t logical = 0;   // offset in the file
  std::uint64_t physical = 0;  // offset on the volume; comparable between files of one volume
  std::uint64_t length = 0;
  bool shared = false;    // some other file (or snapshot) refers to these blocks too
  bool settled = true;    // false: not yet written out, inline or unknown, so `physical` means nothing
  bool written = true;    // false: reserved only (preallocation): freed with the file, not by sharing its bytes in place
};

/// How much of a file is its own. On Linux summed from extents; on macOS from getattrlist.
struct Sharing {
  std::uint64_t private_bytes = 0;       // would be freed if this inode went away now
  std::uint64_t shared_bytes = 0;        // referred to by others as well
  std::uint64_t clone_id = 0;            // macOS: equal for clones of one another; 0 where unknown
};

struct DedupeOutcome {
  std::uint64_t bytes = 0;  // how many were compared equal and are shared now
  bool differs = false;     // the bytes are not equal; nothing was shared by this call
};

/// An open file. Closes itself. Not for two threads at once, except pread.
class File {
 public:
  virtual ~File() = default;
  /// Reads up to out.size() bytes at `offset`; fewer only at the end of the file.
  virtual Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) = 0;
  /// Writes all of `in` at `offset`.
  virtual Status pwrite(std::uint64_t offset, std::span<const std::byte> in) = 0;
  virtual Status truncate(std::uint64_t size) = 0;
  /// Reserves the blocks of the first `size` bytes, and makes the file that long, where the volume can; elsewhere does nothing.
  /// Errors: out_of_space, io.
  virtual Status allocate(std::uint64_t /*size*/) { return {}; }
  /// Forces bytes and metadata to the device (F_FULLFSYNC on macOS).
  virtual Status sync() = 0;
  virtual Result<FileStat> stat() = 0;
  virtual Result<Metadata> metadata() = 0;
  /// Applies owner (where this process may), attributes, mode, flags, times, in that order. What the process may not set is
  /// named in the returned list ("owner", "user.xdg.origin.url", …) and is not an error.
  virtual Result<std::vector<std::string>> set_metadata(const Metadata& metadata) = 0;
  virtual Result<std::vector<Extent>> extents() = 0;
  virtual Result<Sharing> sharing() = 0;
  /// Runs of the file that hold data, as [offset, length); the rest are holes. A file system that cannot tell gives one run.
  virtual Result<std::vector<Extent>> data_runs() = 0;
  /// Tells the kernel that the file will be read once from front to back (read-ahead); `done` that its pages may go.
  virtual void advise_sequential() {}
  virtual void advise_done(std::uint64_t /*offset*/, std::uint64_t /*length*/) {}
  /// Whether the byte at `offset` can be read without waiting for the device. False where that cannot be told: a hint only.
  virtual bool in_cache(std::uint64_t /*offset*/) { return false; }
  /// The descriptor, for calls that need one; -1 for a fake.
  virtual int descriptor() const { return -1; }
};

/// Holds off writers while a file is compared and replaced. Ends with its life.
class WriteGuard {
 public:
  virtual ~WriteGuard() = default;
  /// Whether somebody has come to write (or may have come: no kernel help was available) since the guard was taken.
  virtual bool broken() = 0;
  /// Whether the kernel holds writers back (a lease), rather than our having looked once.
  virtual bool held_by_kernel() const = 0;
};

/// A held advisory lock (flock). Ends with its life.
class Lock {
 public:
  virtual ~Lock() = default;
};

enum class Follow : std::uint8_t { no, yes };

/// What one folder's volume can do, found by trying (in that folder) where trying is needed.
struct VolumeFacts {
  std::uint64_t device = 0;
  std::string type;          // "btrfs", "apfs", …: for people; decisions use the facts below
  std::string mount_point;   // may be empty
  std::string pool;          // where several devices share one pool of blocks (Btrfs subvolumes): its id; else empty
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;   // to this user
  std::uint64_t block_bytes = 0;  // granularity of sharing
  bool read_only = false;
  bool network = false;
  std::optional<bool> clone;          // new file by FICLONE or clonefile
  std::optional<bool> dedupe;         // share in place, compared by the kernel
  std::optional<bool> hard_links;
  std::optional<bool> symlinks;
  std::optional<bool> exchange;       // swap two names atomically
  std::optional<bool> case_sensitive; // "a" and "A" are two files
  std::string why_not_probed;         // empty if probed: "permission denied", "read-only volume", …
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<FileStat> stat(const std::string& path, Follow follow = Follow::no) = 0;
  /// Names in a folder, without "." and "..", in no order. Errors: not_found, permission, io.
  virtual Result<std::vector<DirEntry>> list(const std::string& dir) = 0;
  /// The same, with `stat` filled for names that are no folders where that costs less than asking for each by its path (the
  /// kernel need not resolve the path again). An entry without it is asked by stat() as ever.
  virtual Result<std::vector<DirEntry>> list_with_stats(const std::string& dir) { return list(dir); }
  virtual Result<std::string> read_link(const std::string& path) = 0;
  /// The path with every symlink resolved. Errors: not_found, invalid (a loop).
  virtual Result<std::string> real_path(const std::string& path) = 0;

  /// Opens a regular file for reading; anything else (folder, FIFO, device) is `invalid` and is never blocked on.
  virtual Result<std::unique_ptr<File>> open_read(const std::string& path, Follow follow = Follow::no) = 0;
  /// Opens an existing regular file for reading and writing.
  virtual Result<std::unique_ptr<File>> open_write(const std::string& path) = 0;
  /// Makes a new file; `invalid` with EEXIST if the name is taken.
  virtual Result<std::unique_ptr<File>> create(const std::string& path, std::uint32_t mode) = 0;

  virtual Status make_dir(const std::string& path, std::uint32_t mode) = 0;
  virtual Status remove_dir(const std::string& path) = 0;
  virtual Status unlink(const std::string& path) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// Renames in one step, and only if nothing has the name `to` yet: `invalid` with EEXIST otherwise. Where the volume has no such call: a second
  /// name, then the first goes. Errors: unsupported (neither is possible), not_found, io.
  virtual Status rename_new(const std::string& from, const std::string& to);
  /// Swaps two names in one step. Errors: unsupported (then use rename), not_found, io.
  virtual Status exchange(const std::string& a, const std::string& b) = 0;
  /// A second name for the same inode; a symlink is linked itself, not its target. Errors: unsupported (EXDEV, EMLINK), …
  virtual Status hard_link(const std::string& from, const std::string& to) = 0;
  virtual Status make_symlink(const std::string& text, const std::string& path) = 0;
  /// Makes the new file `to` share the extents of `from`. Only bytes are promised; set metadata afterwards.
  /// Errors: unsupported (the volume cannot), not_found, out_of_space, io.
  virtual Status clone_file(const std::string& from, const std::string& to) = 0;
  /// Makes up to `length` bytes of `target` share the extents of `source` if they are equal, compared by the kernel under
  /// its lock. Target keeps inode, times and mode. May do less than asked: loop. Offsets are multiples of the block size.
  /// Errors: unsupported, permission (neither owner nor writable), io.
  virtual Result<DedupeOutcome> dedupe_range(File& source, std::uint64_t source_offset, File& target,
                                             std::uint64_t target_offset, std::uint64_t length) = 0;
  /// Metadata of the name itself (of the link, if it is a symlink).
  virtual Result<Metadata> metadata(const std::string& path) = 0;
  /// Sets what can be set on a symlink itself: owner and times. Unsettable parts are named in the result.
  virtual Result<std::vector<std::string>> set_link_metadata(const std::string& path, const Metadata& metadata) = 0;
  /// Sets a folder's times back after its contents changed.
  virtual Status set_times(const std::string& path, std::int64_t atime_ns, std::int64_t mtime_ns) = 0;
  /// Forces a folder's names to the device.
  virtual Status sync_dir(const std::string& dir) = 0;

  /// Takes the flock on an existing or new lock file (mode as given, O_NOFOLLOW) without waiting. Errors: busy, permission, io.
  virtual Result<std::unique_ptr<Lock>> try_lock(const std::string& path, std::uint32_t mode) = 0;
  /// Starts to hold writers off `path`, which is open as `file`. Errors: busy (it is open for writing), io.
  virtual Result<std::unique_ptr<WriteGuard>> guard_against_writers(File& file, const std::string& path) = 0;

  /// Facts of the volume of `dir`. With `probe`, tries links and clones with small hidden files that it removes again, in
  /// `dir`; without, leaves the optional facts empty.
  virtual Result<VolumeFacts> volume(const std::string& dir, bool probe) = 0;
};

FileSystem& real_file_system();

// Helpers built on the seam.

/// Reads a small file whole; `invalid` if it is larger than `limit` (nothing is read then).
Result<std::string> read_small_file(FileSystem& fs, const std::string& path, std::uint64_t limit, Follow follow = Follow::yes);
/// Writes beside the file, syncs, renames over it, syncs the folder.
Status write_file_atomically(FileSystem& fs, const std::string& path, std::string_view content, std::uint32_t mode);
/// mkdir -p for what is missing.
Status make_dirs(FileSystem& fs, const std::string& path, std::uint32_t mode = 0755);

}  // namespace mlxbase::os
