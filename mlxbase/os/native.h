#pragma once
// What differs between kernels: one function each, implemented in native_linux.cpp and native_darwin.cpp and chosen by CMake.
// Used by posix_file_system.cpp only.
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxbase::os::native {

/// lstat or stat. `what` begins the error message.
Result<FileStat> stat(const std::string& path, Follow follow);
Result<FileStat> stat_descriptor(int fd);
/// lstat of a name in an open folder; nothing where that fails.
std::optional<FileStat> stat_in(int dir, const char* name);

/// Forces bytes to the medium: fsync, and F_FULLFSYNC where fsync stops at the drive's cache.
Status full_sync(int fd, const std::string& path);

/// RENAME_NOREPLACE, renamex_np(RENAME_EXCL). Errors: unsupported (this volume has no such call), invalid with EEXIST, not_found, io.
Status rename_new(const std::string& from, const std::string& to);
/// RENAME_EXCHANGE, renamex_np(RENAME_SWAP).
Status exchange(const std::string& a, const std::string& b);

/// New file `to` sharing all extents of `from` (FICLONE; clonefile).
Status clone_file(const std::string& from, const std::string& to);
/// FIDEDUPERANGE; always `unsupported` on macOS.
Result<DedupeOutcome> dedupe_range(int source, std::uint64_t source_offset, int target, std::uint64_t target_offset, std::uint64_t length);

Result<std::vector<Extent>> extents(int fd);
Result<Sharing> sharing(int fd, const FileStat& stat);

/// Extended attributes with ACLs among them, sorted. `fd` >= 0, or else the name itself (a symlink's own).
Result<std::vector<ExtendedAttribute>> attributes(int fd, const std::string& path);
/// Makes the attributes be exactly `wanted`; names what could not be set or removed.
std::vector<std::string> set_attributes(int fd, const std::string& path, const std::vector<ExtendedAttribute>& wanted);
std::uint32_t flags(int fd);  // BSD flags that chflags can set; 0 on Linux
bool set_flags(int fd, std::uint32_t flags);

Result<std::unique_ptr<WriteGuard>> guard_against_writers(int fd, const std::string& path);

/// Fills type, mount_point, network, read_only.
void describe_volume(const std::string& dir, VolumeFacts& facts);

/// fallocate; F_PREALLOCATE and ftruncate. A volume that cannot reserve is no error.
Status allocate(int fd, std::uint64_t size, const std::string& path);

void advise_sequential(int fd);
/// Starts to read these bytes into memory and does not wait for them.
void will_need(int fd, std::uint64_t offset, std::uint64_t length);
/// preadv2(RWF_NOWAIT); always false on macOS.
bool in_cache(int fd, std::uint64_t offset);
void advise_done(int fd, std::uint64_t offset, std::uint64_t length);

}  // namespace mlxbase::os::native
