#include "mlxbase/testing/memory_file_system.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/testing/memory_file.h"

namespace mlxbase::testing {

using os::FileKind;
using os::Follow;

namespace {

std::unexpected<Error> failed(int error, std::string_view what, std::string_view path) { return fail(errno_error(error, fmt::format("{} {}", what, path))); }

void must(bool ok, std::string_view what, const std::string& path) {
  if (ok) return;
  std::fprintf(stderr, "MemoryFileSystem: %.*s %s failed\n", static_cast<int>(what.size()), what.data(), path.c_str());
  std::abort();
}

}  // namespace

std::string MemoryFileSystem::Content::read(std::uint64_t offset, std::uint64_t length) const {
  std::string out;
  if (offset >= size) return out;
  length = std::min(length, size - offset);
  out.resize(length, '\0');
  for (std::uint64_t at = 0; at < length;) {
    const std::uint64_t block = (offset + at) / kBlock;
    const std::uint64_t within = (offset + at) % kBlock;
    const std::uint64_t n = std::min(kBlock - within, length - at);
    if (block < blocks.size() && blocks[block]) std::memcpy(out.data() + at, blocks[block]->bytes.data() + within, n);
    at += n;
  }
  return out;
}

MemoryFileSystem::MemoryFileSystem() {
  volumes_[1] = {};
  root_ = make_node(FileKind::directory, 1, 0755);
  root_->links = 2;
  root_->synced = true;
}
MemoryFileSystem::~MemoryFileSystem() = default;

MemoryFileSystem::Node MemoryFileSystem::make_node(FileKind kind, std::uint64_t device, std::uint32_t mode) {
  auto node = std::make_shared<Inode>();
  node->id = {device, next_inode_++};
  node->kind = kind;
  node->metadata.mode = mode;
  node->metadata.uid = node->metadata.gid = uid;
  node->metadata.atime_ns = node->metadata.mtime_ns = node->ctime_ns = tick();
  return node;
}

void MemoryFileSystem::set_entry(Inode& dir, const std::string& name, Node node) {
  dir.unsynced_entries[name].push_back(node);
  if (node) {
    dir.entries[name] = std::move(node);
  } else {
    dir.entries.erase(name);
  }
  dir.metadata.mtime_ns = dir.ctime_ns = tick();
}

Result<MemoryFileSystem::Place> MemoryFileSystem::find(const std::string& path, Follow follow, std::string* real, int depth) {
  if (path.empty() || path.front() != '/' || path.contains('\0')) return failed(EINVAL, "find", path);
  if (depth > 40) return failed(ELOOP, "find", path);
  Node at = root_;
  std::string so_far;
  std::string_view rest(path);
  while (!rest.empty() && rest.front() == '/') rest.remove_prefix(1);
  if (rest.empty()) {
    if (real != nullptr) *real = "/";
    return Place{root_, "", root_};
  }
  while (true) {
    const auto slash = rest.find('/');
    const std::string name(rest.substr(0, slash));
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash);
    while (!rest.empty() && rest.front() == '/') rest.remove_prefix(1);
    if (name.size() > 255) return failed(ENAMETOOLONG, "find", path);
    if (at->kind != FileKind::directory) return failed(ENOTDIR, "find", path);
    const auto it = at->entries.find(name);
    const Node next = it == at->entries.end() ? nullptr : it->second;
    const bool last = rest.empty();
    if (next && next->kind == FileKind::symlink && (!last || follow == Follow::yes)) {
      const std::string target = path::join(so_far.empty() ? "/" : so_far, next->link_text);
      return find(path::normal(rest.empty() ? target : path::join(target, rest)), follow, real, depth + 1);
    }
    if (last) {
      if (real != nullptr) *real = so_far + "/" + name;
      return Place{at, name, next};
    }
    if (!next) return failed(ENOENT, "find", path);
    so_far += "/" + name;
    at = next;
  }
}

Result<MemoryFileSystem::Node> MemoryFileSystem::node_at(const std::string& path, Follow follow, std::string_view what) {
  auto place = TRY(find(path, follow));
  if (!place.node) return failed(ENOENT, what, path);
  return place.node;
}

Result<MemoryFileSystem::Place> MemoryFileSystem::free_place(const std::string& path, std::string_view what) {
  auto place = TRY(find(path, Follow::no));
  if (place.node) return failed(EEXIST, what, path);
  if (place.dir->kind != FileKind::directory) return failed(ENOTDIR, what, path);
  TRY(writable(*place.dir, what));
  return place;
}

Status MemoryFileSystem::writable(const Inode& inode, std::string_view what) {
  if (volumes_[inode.id.device].read_only) return failed(EROFS, what, "a read-only volume");
  return {};
}

Status MemoryFileSystem::write(Inode& inode, std::uint64_t offset, std::string_view bytes) {
  auto& volume = volumes_[inode.id.device];
  for (std::uint64_t at = 0; at < bytes.size();) {
    const std::uint64_t block = (offset + at) / kBlock;
    const std::uint64_t within = (offset + at) % kBlock;
    const std::uint64_t n = std::min<std::uint64_t>(kBlock - within, bytes.size() - at);
    if (inode.content.blocks.size() <= block) inode.content.blocks.resize(block + 1);
    auto& slot = inode.content.blocks[block];
    if (volume.free_bytes < kBlock) return failed(ENOSPC, "write", "a full volume");
    if (!slot) volume.free_bytes -= kBlock;
    auto fresh = std::make_shared<Block>();
    fresh->physical = next_block_++;
    fresh->bytes = slot ? slot->bytes : std::string(kBlock, '\0');
    std::memcpy(fresh->bytes.data() + within, bytes.data() + at, n);
    slot = std::move(fresh);
    at += n;
  }
  inode.content.size = std::max<std::uint64_t>(inode.content.size, offset + bytes.size());
  inode.metadata.mtime_ns = inode.ctime_ns = tick();
  return {};
}

os::FileStat MemoryFileSystem::stat_of(const Inode& inode) const {
  os::FileStat s;
  s.id = inode.id;
  s.kind = inode.kind;
  s.mode = inode.metadata.mode;
  s.uid = inode.metadata.uid;
  s.gid = inode.metadata.gid;
  s.links = inode.links;
  s.size = inode.kind == FileKind::symlink ? inode.link_text.size() : inode.content.size;
  for (const auto& b : inode.content.blocks) s.allocated_bytes += b ? kBlock : 0;
  s.atime_ns = inode.metadata.atime_ns;
  s.mtime_ns = inode.metadata.mtime_ns;
  s.ctime_ns = inode.ctime_ns;
  return s;
}

void MemoryFileSystem::for_each_inode(const std::function<void(Inode&)>& body) const {
  std::set<const Inode*> seen;
  const std::function<void(const Node&)> visit = [&](const Node& node) {
    if (!node || !seen.insert(node.get()).second) return;
    body(*node);
    for (const auto& [name, child] : node->entries) visit(child);
  };
  visit(root_);
}

std::uint64_t MemoryFileSystem::users_of(const Block* block) const {
  std::uint64_t users = 0;
  for_each_inode([&](const Inode& inode) {
    for (const auto& b : inode.content.blocks) users += b.get() == block ? 1 : 0;
  });
  return users;
}

Result<os::FileStat> MemoryFileSystem::stat(const std::string& path, Follow follow) { return stat_of(*TRY(node_at(path, follow, "look at"))); }

Result<std::vector<os::DirEntry>> MemoryFileSystem::list(const std::string& dir) {
  const auto node = TRY(node_at(dir, Follow::yes, "list"));
  if (node->kind != FileKind::directory) return failed(ENOTDIR, "list", dir);
  std::vector<os::DirEntry> out;
  for (const auto& [name, child] : node->entries) out.push_back({name, child->kind});
  return out;
}

Result<std::string> MemoryFileSystem::read_link(const std::string& path) {
  const auto node = TRY(node_at(path, Follow::no, "read link"));
  if (node->kind != FileKind::symlink) return failed(EINVAL, "read link", path);
  return node->link_text;
}

Result<std::string> MemoryFileSystem::real_path(const std::string& path) {
  std::string real;
  if (!TRY(find(path, Follow::yes, &real)).node) return failed(ENOENT, "resolve", path);
  return real;
}

Status MemoryFileSystem::make_dir(const std::string& path, std::uint32_t mode) {
  auto place = TRY(free_place(path, "make folder"));
  auto node = make_node(FileKind::directory, place.dir->id.device, mode);
  node->links = 2;
  set_entry(*place.dir, place.name, node);
  return {};
}

Status MemoryFileSystem::remove_dir(const std::string& path) {
  auto place = TRY(find(path, Follow::no));
  if (!place.node) return failed(ENOENT, "remove folder", path);
  if (place.node->kind != FileKind::directory) return failed(ENOTDIR, "remove folder", path);
  if (!place.node->entries.empty()) return failed(ENOTEMPTY, "remove folder", path);
  set_entry(*place.dir, place.name, nullptr);
  return {};
}

Status MemoryFileSystem::unlink(const std::string& path) {
  auto place = TRY(find(path, Follow::no));
  if (!place.node) return failed(ENOENT, "remove", path);
  if (place.node->kind == FileKind::directory) return failed(EISDIR, "remove", path);
  TRY(writable(*place.dir, "remove"));
  --place.node->links;
  place.node->ctime_ns = tick();
  set_entry(*place.dir, place.name, nullptr);
  return {};
}

Status MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  auto a = TRY(find(from, Follow::no));
  if (!a.node) return failed(ENOENT, "rename", from);
  auto b = TRY(find(to, Follow::no));
  TRY(writable(*b.dir, "rename"));
  if (a.dir->id.device != b.dir->id.device) return failed(EXDEV, "rename", to);
  if (a.node == b.node) return {};  // two names of one inode: POSIX says that nothing happens
  if (b.node && b.node->kind == FileKind::directory) return failed(EISDIR, "rename", to);
  if (b.node) {
    --b.node->links;
    b.node->ctime_ns = tick();
  }
  set_entry(*a.dir, a.name, nullptr);
  set_entry(*b.dir, b.name, a.node);
  a.node->ctime_ns = tick();
  return {};
}

Status MemoryFileSystem::rename_new(const std::string& from, const std::string& to) {
  auto a = TRY(find(from, Follow::no));
  if (!a.node) return failed(ENOENT, "rename", from);
  auto b = TRY(free_place(to, "rename"));
  if (a.dir->id.device != b.dir->id.device) return failed(EXDEV, "rename", to);
  if (!volumes_[a.dir->id.device].rename_new) return FileSystem::rename_new(from, to);
  set_entry(*a.dir, a.name, nullptr);
  set_entry(*b.dir, b.name, a.node);
  a.node->ctime_ns = tick();
  return {};
}

Status MemoryFileSystem::exchange(const std::string& x, const std::string& y) {
  auto a = TRY(find(x, Follow::no));
  auto b = TRY(find(y, Follow::no));
  if (!a.node) return failed(ENOENT, "swap", x);
  if (!b.node) return failed(ENOENT, "swap", y);
  TRY(writable(*b.dir, "swap"));
  if (a.dir->id.device != b.dir->id.device) return failed(EXDEV, "swap", y);
  if (!volumes_[a.dir->id.device].exchange) return fail(Code::unsupported, fmt::format("swap {} and {}: this volume cannot", x, y), EINVAL);
  set_entry(*a.dir, a.name, b.node);
  set_entry(*b.dir, b.name, a.node);
  a.node->ctime_ns = b.node->ctime_ns = tick();
  return {};
}

Status MemoryFileSystem::hard_link(const std::string& from, const std::string& to) {
  const auto node = TRY(node_at(from, Follow::no, "hard link"));
  auto place = TRY(free_place(to, "hard link"));
  if (node->kind == FileKind::directory) return failed(EPERM, "hard link", from);
  if (node->id.device != place.dir->id.device) return failed(EXDEV, "hard link", to);
  const auto& volume = volumes_[node->id.device];
  if (!volume.hard_links) return failed(EOPNOTSUPP, "hard link", to);
  if (node->links >= volume.max_links) return failed(EMLINK, "hard link", to);
  ++node->links;
  node->ctime_ns = tick();
  set_entry(*place.dir, place.name, node);
  return {};
}

Status MemoryFileSystem::make_symlink(const std::string& text, const std::string& path) {
  auto place = TRY(free_place(path, "make symlink"));
  if (!volumes_[place.dir->id.device].symlinks) return failed(EOPNOTSUPP, "make symlink", path);
  auto node = make_node(FileKind::symlink, place.dir->id.device, 0777);
  node->link_text = text;
  node->links = 1;
  set_entry(*place.dir, place.name, node);
  return {};
}

Status MemoryFileSystem::clone_file(const std::string& from, const std::string& to) {
  const auto node = TRY(node_at(from, Follow::no, "clone"));
  if (node->kind != FileKind::regular) return failed(EINVAL, "clone", from);
  auto place = TRY(free_place(to, "clone"));
  if (!volumes_[node->id.device].clone) return fail(Code::unsupported, fmt::format("clone {}: this volume cannot", from), EOPNOTSUPP);
  if (node->id.device != place.dir->id.device) return failed(EXDEV, "clone", to);
  auto clone = make_node(FileKind::regular, place.dir->id.device, 0600);
  clone->content = node->content;
  clone->links = 1;
  set_entry(*place.dir, place.name, clone);
  return {};
}

Result<os::DedupeOutcome> MemoryFileSystem::dedupe_range(os::File& source, std::uint64_t source_offset, os::File& target, std::uint64_t target_offset,
                                                         std::uint64_t length) {
  auto& a = *static_cast<MemoryFile&>(source).node();
  auto& b = *static_cast<MemoryFile&>(target).node();
  if (a.id.device != b.id.device) return failed(EXDEV, "share extents", "");
  if (!volumes_[a.id.device].dedupe) return fail(Code::unsupported, "share extents: this volume cannot", EOPNOTSUPP);
  if (b.metadata.uid != uid && uid != 0) return failed(EPERM, "share extents", "a foreign file");
  if (source_offset % kBlock != 0 || target_offset % kBlock != 0) return fail(Code::unsupported, "share extents: not aligned", EINVAL);
  length = std::min<std::uint64_t>(length, 2 * kBlock);  // so that callers have to loop
  if (a.content.read(source_offset, length) != b.content.read(target_offset, length)) return os::DedupeOutcome{.bytes = 0, .differs = true};
  if (source_offset + length > a.content.size || target_offset + length > b.content.size) return fail(Code::unsupported, "share extents: beyond the end", EINVAL);
  for (std::uint64_t at = 0; at < length; at += kBlock) b.content.blocks[(target_offset + at) / kBlock] = a.content.blocks[(source_offset + at) / kBlock];
  return os::DedupeOutcome{.bytes = length, .differs = false};
}

Result<os::Metadata> MemoryFileSystem::metadata(const std::string& path) { return TRY(node_at(path, Follow::no, "look at"))->metadata; }

Result<std::vector<std::string>> MemoryFileSystem::set_link_metadata(const std::string& path, const os::Metadata& m) {
  const auto node = TRY(node_at(path, Follow::no, "set the times of"));
  node->metadata.atime_ns = m.atime_ns;
  node->metadata.mtime_ns = m.mtime_ns;
  node->ctime_ns = tick();
  return std::vector<std::string>{};
}

Status MemoryFileSystem::set_times(const std::string& path, std::int64_t atime_ns, std::int64_t mtime_ns) {
  const auto node = TRY(node_at(path, Follow::no, "set the times of"));
  node->metadata.atime_ns = atime_ns;
  node->metadata.mtime_ns = mtime_ns;
  node->ctime_ns = tick();
  return {};
}

Status MemoryFileSystem::sync_dir(const std::string& dir) {
  const auto node = TRY(node_at(dir, Follow::yes, "sync"));
  if (node->kind != FileKind::directory) return failed(ENOTDIR, "sync", dir);
  node->durable_entries = node->entries;
  node->unsynced_entries.clear();
  node->synced = true;
  return {};
}

Result<os::VolumeFacts> MemoryFileSystem::volume(const std::string& dir, bool) {
  const auto node = TRY(node_at(dir, Follow::yes, "look at the volume of"));
  const auto& v = volumes_[node->id.device];
  os::VolumeFacts f;
  f.device = node->id.device;
  f.type = "memory";
  f.total_bytes = std::uint64_t{1} << 40U;
  f.free_bytes = v.free_bytes;
  f.block_bytes = kBlock;
  f.read_only = v.read_only;
  f.clone = v.clone;
  f.dedupe = v.dedupe;
  f.exchange = v.exchange;
  f.hard_links = v.hard_links;
  f.symlinks = v.symlinks;
  f.case_sensitive = true;
  return f;
}

// What the test or the owner of the files does.

void MemoryFileSystem::mount(const std::string& path, std::uint64_t device) {
  must(make_dir(path, 0755).has_value(), "mount at", path);
  volumes_[device];
  TRY_OR_DIE(node_at(path, Follow::no, "mount"))->id.device = device;
}

void MemoryFileSystem::put(const std::string& path, std::string_view bytes) {
  must(os::make_dirs(*this, std::string(path::parent(path))).has_value(), "make the folder of", path);
  auto place = TRY_OR_DIE(find(path, Follow::no));
  if (!place.node) {
    place.node = make_node(FileKind::regular, place.dir->id.device, 0644);
    place.node->links = 1;
    set_entry(*place.dir, place.name, place.node);
  }
  place.node->content = {};
  must(write(*place.node, 0, bytes).has_value(), "write", path);
}

std::string MemoryFileSystem::content(const std::string& path) {
  auto node = TRY_OR_DIE(node_at(path, Follow::yes, "read"));
  return node->content.read(0, node->content.size);
}

bool MemoryFileSystem::exists(const std::string& path) { return stat(path, Follow::no).has_value(); }

std::vector<std::string> MemoryFileSystem::names_below(const std::string& dir) {
  std::vector<std::string> out;
  const auto entries = list(dir);
  if (!entries) return out;
  for (const auto& e : *entries) {
    const std::string path = path::join(dir, e.name);
    if (e.kind != FileKind::directory) {
      out.push_back(path);
    } else {
      auto below = names_below(path);
      out.insert(out.end(), below.begin(), below.end());
    }
  }
  return out;
}

void MemoryFileSystem::owner_writes_in_place(const std::string& path, std::string_view bytes) {
  auto node = TRY_OR_DIE(node_at(path, Follow::yes, "write"));
  if (node->guards > 0 && volumes_[node->id.device].kernel_leases) {
    node->guard_broken = true;
    node->waiting_writes.emplace_back(bytes);
    return;
  }
  must(write(*node, 0, bytes).has_value(), "write", path);
}

void MemoryFileSystem::owner_holds_for_writing(const std::string& path, bool holds) {
  auto node = TRY_OR_DIE(node_at(path, Follow::yes, "open"));
  node->held_for_writing = holds;
  if (holds && node->guards > 0) node->guard_broken = true;
}

void MemoryFileSystem::owner_replaces(const std::string& path, std::string_view bytes) {
  put(path + ".download", bytes);
  must(rename(path + ".download", path).has_value(), "replace", path);
}

void MemoryFileSystem::give_to(const std::string& path, std::uint32_t owner) {
  auto node = TRY_OR_DIE(node_at(path, Follow::no, "give away"));
  node->metadata.uid = node->metadata.gid = owner;
}

}  // namespace mlxbase::testing
