#include "mlxbase/testing/memory_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "mlxbase/core/bytes.h"

namespace mlxbase::testing {

using os::FileKind;
using os::Follow;

namespace {
std::unexpected<Error> failed(int error, std::string_view what, std::string_view path) { return fail(errno_error(error, fmt::format("{} {}", what, path))); }
}  // namespace

Result<std::size_t> MemoryFileSystem::MemoryFile::pread(std::uint64_t offset, std::span<std::byte> out) {
  const std::string bytes = node_->content.read(offset, out.size());
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return bytes.size();
}

Status MemoryFileSystem::MemoryFile::pwrite(std::uint64_t offset, std::span<const std::byte> in) {
  if (!for_writing_) return failed(EBADF, "write", "a file opened for reading");
  return fs_.write(*node_, offset, as_text(in));
}

Status MemoryFileSystem::MemoryFile::truncate(std::uint64_t size) {
  if (!for_writing_) return failed(EBADF, "set the length of", "a file opened for reading");
  auto& c = node_->content;
  if (size < c.size && size % kBlock != 0) {
    const std::string zeros(kBlock - size % kBlock, '\0');
    if (size / kBlock < c.blocks.size() && c.blocks[size / kBlock]) TRY(fs_.write(*node_, size, zeros));
  }
  c.size = size;
  c.blocks.resize((size + kBlock - 1) / kBlock);
  node_->metadata.mtime_ns = node_->ctime_ns = fs_.tick();
  return {};
}

Status MemoryFileSystem::MemoryFile::sync() {
  node_->durable_content = node_->content;
  node_->durable_metadata = node_->metadata;
  node_->synced = true;
  return {};
}

Result<os::FileStat> MemoryFileSystem::MemoryFile::stat() { return fs_.stat_of(*node_); }
Result<os::Metadata> MemoryFileSystem::MemoryFile::metadata() { return node_->metadata; }

Result<std::vector<std::string>> MemoryFileSystem::MemoryFile::set_metadata(const os::Metadata& m) {
  std::vector<std::string> unset;
  const auto owner = node_->metadata;
  node_->metadata = m;
  if (fs_.uid != 0 && (owner.uid != m.uid || owner.gid != m.gid)) {
    node_->metadata.uid = owner.uid;
    node_->metadata.gid = owner.gid;
    unset.emplace_back("owner");
  }
  node_->ctime_ns = fs_.tick();
  return unset;
}

Result<std::vector<os::Extent>> MemoryFileSystem::MemoryFile::extents() {
  std::vector<os::Extent> out;
  for (std::size_t i = 0; i < node_->content.blocks.size(); ++i) {
    const auto& b = node_->content.blocks[i];
    if (b) out.push_back({.logical = i * kBlock, .physical = b->physical * kBlock, .length = kBlock, .shared = fs_.users_of(b.get()) > 1, .settled = true});
  }
  return out;
}

Result<os::Sharing> MemoryFileSystem::MemoryFile::sharing() {
  os::Sharing s;
  for (const auto& b : node_->content.blocks) {
    if (b) (fs_.users_of(b.get()) > 1 ? s.shared_bytes : s.private_bytes) += kBlock;
  }
  return s;
}

Result<std::vector<os::Extent>> MemoryFileSystem::MemoryFile::data_runs() {
  std::vector<os::Extent> out;
  const auto& c = node_->content;
  for (std::size_t i = 0; i < c.blocks.size(); ++i) {
    if (!c.blocks[i]) continue;
    const std::uint64_t at = i * kBlock;
    if (!out.empty() && out.back().logical + out.back().length == at) {
      out.back().length += kBlock;
    } else {
      out.push_back({.logical = at, .length = kBlock});
    }
    out.back().length = std::min(out.back().length, c.size - out.back().logical);
  }
  return out;
}

MemoryFileSystem::MemoryGuard::~MemoryGuard() {
  if (--node_->guards > 0) return;
  node_->guard_broken = false;
  // Who waited in open() goes on, with the inode it had found.
  for (const std::string& bytes : std::exchange(node_->waiting_writes, {})) (void)fs_.write(*node_, 0, bytes);
}

Result<std::unique_ptr<os::File>> MemoryFileSystem::open_read(const std::string& path, Follow follow) {
  auto node = TRY(node_at(path, follow, "open"));
  if (node->kind == FileKind::symlink) return failed(ELOOP, "open", path);
  if (node->kind != FileKind::regular) return fail(Code::invalid, fmt::format("open {}: not a regular file", path));
  if ((node->metadata.mode & 0444U) == 0 && uid != 0) return failed(EACCES, "open", path);
  return std::make_unique<MemoryFile>(*this, std::move(node), false);
}

Result<std::unique_ptr<os::File>> MemoryFileSystem::open_write(const std::string& path) {
  auto node = TRY(node_at(path, Follow::no, "open"));
  if (node->kind != FileKind::regular) return fail(Code::invalid, fmt::format("open {}: not a regular file", path));
  TRY(writable(*node, "open"));
  return std::make_unique<MemoryFile>(*this, std::move(node), true);
}

Result<std::unique_ptr<os::File>> MemoryFileSystem::create(const std::string& path, std::uint32_t mode) {
  auto place = TRY(free_place(path, "create"));
  auto node = make_node(FileKind::regular, place.dir->id.device, mode);
  node->links = 1;
  set_entry(*place.dir, place.name, node);
  return std::make_unique<MemoryFile>(*this, std::move(node), true);
}

Result<std::unique_ptr<os::Lock>> MemoryFileSystem::try_lock(const std::string& path, std::uint32_t mode) {
  auto place = TRY(find(path, Follow::no));
  if (!place.node) {
    TRY(writable(*place.dir, "open lock"));
    place.node = make_node(FileKind::regular, place.dir->id.device, mode);
    place.node->links = 1;
    set_entry(*place.dir, place.name, place.node);
  }
  if (place.node->locked) return failed(EWOULDBLOCK, "lock", path);
  return std::make_unique<MemoryLock>(std::move(place.node));
}

Result<std::unique_ptr<os::WriteGuard>> MemoryFileSystem::guard_against_writers(os::File& file, const std::string& path) {
  const auto& node = static_cast<MemoryFile&>(file).node();
  if (node->held_for_writing) return fail(Code::busy, fmt::format("{}: a program has it open for writing", path), EAGAIN);
  return std::make_unique<MemoryGuard>(*this, node);
}

}  // namespace mlxbase::testing
