#include "mlxbase/os/file_system.h"

#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxbase::os {

std::string_view to_string(FileKind kind) {
  switch (kind) {
    case FileKind::regular: return "regular file";
    case FileKind::directory: return "folder";
    case FileKind::symlink: return "symlink";
    case FileKind::fifo: return "FIFO";
    case FileKind::socket: return "socket";
    case FileKind::block_device: return "block device";
    case FileKind::character_device: return "character device";
    case FileKind::unknown: return "unknown";
  }
  return "unknown";
}

Status FileSystem::rename_new(const std::string& from, const std::string& to) {
  TRY(hard_link(from, to));
  auto removed = unlink(from);
  if (!removed) (void)unlink(to);  // one name, as before
  return removed;
}

Result<std::string> read_small_file(FileSystem& fs, const std::string& path, std::uint64_t limit, Follow follow) {
  auto file = TRY(fs.open_read(path, follow));
  const FileStat stat = TRY(file->stat());
  if (stat.size > limit) {
    return fail(Code::invalid, fmt::format("read {}: it has {} bytes, and more than {} are not expected here", printable(path), stat.size, limit));
  }
  std::string text(stat.size, '\0');
  const std::size_t got = TRY(file->pread(0, std::as_writable_bytes(std::span{text.data(), text.size()})));
  text.resize(got);
  return text;
}

Status write_file_atomically(FileSystem& fs, const std::string& path, std::string_view content, std::uint32_t mode) {
  const std::string temporary = path + ".new";
  if (auto removed = fs.unlink(temporary); !removed && removed.error().code != Code::not_found) return removed;
  {
    auto file = TRY(fs.create(temporary, mode));
    TRY(file->pwrite(0, as_bytes(content)));
    TRY(file->sync());
  }
  TRY(fs.rename(temporary, path));
  return fs.sync_dir(std::string(path::parent(path)));
}

Status make_dirs(FileSystem& fs, const std::string& path, std::uint32_t mode) {
  if (auto made = fs.make_dir(path, mode); made || made.error().os_errno == EEXIST) {
    return {};
  } else if (made.error().code != Code::not_found || path == "/" || path::parent(path) == path) {
    return made;
  }
  TRY(make_dirs(fs, std::string(path::parent(path)), mode));
  auto made = fs.make_dir(path, mode);
  if (!made && made.error().os_errno == EEXIST) return {};
  return made;
}

}  // namespace mlxbase::os
