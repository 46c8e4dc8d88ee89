#include "mlxcache/vault/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/thaw.h"

namespace mlxcache::vault {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::os::FileKind;
namespace path = mlxbase::path;

namespace {

constexpr std::string_view kFolders = "folders";

/// The parts of a name, each fit to be one of a file system's names.
std::vector<std::string> parts_of(std::string_view name) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    std::string part(name.substr(at, end - at));
    at = end + 1;
    if (part.empty()) continue;
    if (part == "." || part == "..") part = "_";
    std::replace(part.begin(), part.end(), '\0', '_');
    if (part.size() > 200) part.resize(200);
    out.push_back(std::move(part));
  }
  if (out.empty()) out.emplace_back("_");
  return out;
}

}  // namespace

Result<std::unique_ptr<FrozenTree>> FrozenTree::make(Vault& vault, Reader& reader) {
  auto tree = std::unique_ptr<FrozenTree>(new FrozenTree(vault, reader));
  tree->places_[kTop].inode = kTop;
  const std::lock_guard guard(tree->mutex_);
  TRY(tree->look());
  return tree;
}

/// Under the mutex, as everything below that says nothing else.
void FrozenTree::attach(std::uint64_t parent, const std::string& name, std::uint64_t node) {
  places_[node].parent = parent;
  places_[node].shown_as = name;
  places_[parent].names.emplace(name, node);
  places_[parent].numbers.insert(node);
}

std::uint64_t FrozenTree::add(std::uint64_t parent, const std::string& name, Place place) {
  const std::uint64_t number = places_.size();
  if (place.inode == 0) place.inode = number;
  places_.push_back(std::move(place));
  if (parent != 0) attach(parent, name, number);
  return number;
}

/// The model's own tree; its root hangs nowhere yet.
std::uint64_t FrozenTree::build(const std::shared_ptr<const FrozenModel>& model) {
  const std::size_t none = model->names.size();
  Place top;
  top.model = model;
  top.name = none;
  const std::uint64_t root = add(0, {}, std::move(top));
  const std::string strip = target_of(*model, "/").strip;
  std::map<std::string, std::uint64_t> folders{{"", root}};
  std::vector<std::uint64_t> numbers(none, 0);
  // A folder with everything above it, whether the model speaks of it or not.
  const auto folder = [&](const std::string& p) {
    std::uint64_t at = root;
    for (std::size_t end = 0; end < p.size();) {
      const std::size_t from = end == 0 ? 0 : end + 1;
      end = std::min(p.find('/', from), p.size());
      const auto [known, fresh] = folders.try_emplace(p.substr(0, end), 0);
      if (fresh) {
        Place place;
        place.model = model;
        place.name = none;
        known->second = add(at, p.substr(from, end - from), std::move(place));
      }
      at = known->second;
    }
    return at;
  };
  for (std::size_t i = 0; i < none; ++i) {
    const FrozenName& n = model->names[i];
    if (n.path.empty()) places_[root].name = i;
    if (n.path.size() <= strip.size() || !n.path.starts_with(strip)) continue;
    const std::string p = n.path.substr(strip.size());
    if (n.kind == FileKind::directory) {
      places_[folder(p)].name = i;
      continue;
    }
    const std::size_t slash = p.rfind('/');
    Place place;
    place.kind = n.kind;
    place.model = model;
    place.name = i;
    for (const Segment& s : model->names[n.same_as == 0 ? i : n.same_as - 1].segments) place.allocated_bytes += s.what == Segment::What::hole ? 0 : s.length;
    if (n.same_as != 0) place.inode = numbers[n.same_as - 1];
    numbers[i] = add(folder(slash == std::string::npos ? std::string() : p.substr(0, slash)), slash == std::string::npos ? p : p.substr(slash + 1), std::move(place));
  }
  // How many names each inode has.
  std::map<std::size_t, std::uint64_t> count;
  const auto first = [&](std::size_t i) { return model->names[i].same_as == 0 ? i : model->names[i].same_as - 1; };
  for (std::size_t i = 0; i < none; ++i) {
    if (numbers[i] != 0 && model->names[i].same_as != 0) ++count[first(i)];
  }
  for (std::size_t i = 0; i < none; ++i) {
    if (const auto more = count.find(first(i)); numbers[i] != 0 && more != count.end()) places_[numbers[i]].links = 1 + more->second;
  }
  return root;
}

/// Hangs a model's root below the folders of its store and name.
void FrozenTree::show(std::uint64_t root, const std::string& id, const FrozenModel& model) {
  std::vector<std::string> parts = parts_of(model.name);
  parts.insert(parts.begin(), model.store.empty() ? std::string(kFolders) : parts_of(model.store).front());
  std::uint64_t at = kTop;
  std::string so_far;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    so_far += parts[i] + "/";
    const auto there = places_[at].names.find(parts[i]);
    if (there != places_[at].names.end() && places_[there->second].model) {
      // Below another model: its folder is that model's own, so this one stands beside it.
      std::string leaf = parts[i];
      for (std::size_t k = i + 1; k < parts.size(); ++k) leaf += "--" + parts[k];
      parts.resize(i);
      parts.push_back(std::move(leaf));
      break;
    }
    const bool missing = there == places_[at].names.end();
    const auto [known, fresh] = above_.try_emplace(so_far, 0);
    if (fresh) known->second = add(0, {}, {});
    if (missing) attach(at, parts[i], known->second);
    at = known->second;
  }
  std::string leaf = parts.back();
  if (places_[at].names.contains(leaf)) leaf += "@" + id;
  attach(at, leaf, root);
}

Status FrozenTree::look() {
  if (const auto stat = vault_.fs().stat(path::join(vault_.dir(), "models"))) looked_at_ns_ = stat->mtime_ns;
  std::vector<Damaged> damaged;
  std::vector<std::string> ids;
  TRY(vault_.each_model([&](ModelFile& file) -> Status {
    ids.push_back(file.id);
    if (!roots_.contains(file.id)) {
      const auto model = std::make_shared<const FrozenModel>(std::move(file.model));
      roots_.emplace(file.id, build(model));
    }
    return {};
  }, damaged));
  TRY(look_at_packs());
  damaged_ = std::move(damaged);
  places_[kTop].names.clear();
  places_[kTop].numbers.clear();
  for (const auto& [p, number] : above_) {
    places_[number].names.clear();
    places_[number].numbers.clear();
  }
  shown_.clear();
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {  // the newest first
    const std::uint64_t root = roots_.at(*id);
    show(root, *id, *places_[root].model);
    shown_.insert(*id);
  }
  return {};
}

/// Holds those that came, and lets those go whose objects are in others now.
Status FrozenTree::look_at_packs() {
  if (const auto stat = vault_.fs().stat(path::join(vault_.dir(), "packs"))) packs_at_ns_ = stat->mtime_ns;
  TRY(vault_.refresh());
  vault_.hold_packs();
  return {};
}

Status FrozenTree::look_if_changed() {
  // A vault that is away for a moment shows what it had.
  const auto models = vault_.fs().stat(path::join(vault_.dir(), "models"));
  if (models && models->mtime_ns != looked_at_ns_) return look();
  const auto packs = vault_.fs().stat(path::join(vault_.dir(), "packs"));
  if (packs && packs->mtime_ns != packs_at_ns_) return look_at_packs();
  return {};
}

Result<std::uint64_t> FrozenTree::find(std::uint64_t folder, std::string_view name) {
  const std::lock_guard guard(mutex_);
  if (folder >= places_.size()) return fail(Code::not_found, "there is no such folder");
  if (!places_[folder].model) TRY(look_if_changed());
  const auto at = places_[folder].names.find(name);
  if (at == places_[folder].names.end()) return fail(Code::not_found, "there is no such name");
  return at->second;
}

Result<FrozenTree::Node> FrozenTree::node(std::uint64_t number) {
  const std::lock_guard guard(mutex_);
  if (number == 0 || number >= places_.size()) return fail(Code::not_found, "there is no such file");
  const Place& p = places_[number];
  Node n;
  n.kind = p.kind;
  n.inode = p.inode;
  n.links = p.links;
  n.mode = 0755;
  if (!p.model) {
    n.mtime_ns = looked_at_ns_;
    return n;
  }
  n.mtime_ns = p.model->frozen_at_ns;
  if (p.name >= p.model->names.size()) return n;
  const FrozenName* name = &p.model->names[p.name];
  if (name->same_as != 0) name = &p.model->names[name->same_as - 1];
  n.mode = name->metadata.mode & 0777U;
  n.mtime_ns = name->metadata.mtime_ns;
  if (p.kind == FileKind::symlink) n.size = name->link_text.size();
  if (p.kind == FileKind::regular) {
    n.size = name->size;
    n.allocated_bytes = p.allocated_bytes;
  }
  return n;
}

Result<std::uint64_t> FrozenTree::parent(std::uint64_t folder) {
  const std::lock_guard guard(mutex_);
  if (folder == 0 || folder >= places_.size() || places_[folder].kind != FileKind::directory) return fail(Code::invalid, "that is no folder");
  return places_[folder].parent;
}

Status FrozenTree::list(std::uint64_t folder, std::uint64_t after, const std::function<bool(const Name&)>& see) {
  const std::lock_guard guard(mutex_);
  if (folder == 0 || folder >= places_.size()) return fail(Code::not_found, "there is no such folder");
  if (!places_[folder].model && after == 0) TRY(look_if_changed());
  const std::set<std::uint64_t>& numbers = places_[folder].numbers;
  for (auto at = numbers.upper_bound(after); at != numbers.end(); ++at) {
    const Place& p = places_[*at];
    if (!see({p.shown_as, *at, p.kind})) break;
  }
  return {};
}

Result<std::shared_ptr<const FrozenFile>> FrozenTree::file_of(std::uint64_t number) {
  const std::lock_guard guard(mutex_);
  if (number == 0 || number >= places_.size() || places_[number].kind != FileKind::regular) return fail(Code::invalid, "that is no file");
  Place& p = places_[number];
  if (!p.file) p.file = std::make_shared<const FrozenFile>(TRY(reader_.open(p.model, p.name)));
  return p.file;
}

Result<std::size_t> FrozenTree::read(std::uint64_t number, std::uint64_t offset, std::span<std::byte> out) {
  const auto file = TRY(file_of(number));
  return file->read(offset, out);
}

void FrozenTree::expect(std::uint64_t number, std::uint64_t offset, std::uint64_t length) {
  const auto file = file_of(number);
  if (!file) return;
  // A byte of each block makes the reader keep the block.
  for (std::uint64_t at = offset; at < offset + length && at < (*file)->size(); at += codec::kBlockBytes) {
    std::byte one{};
    if (!(*file)->read(at, {&one, 1})) return;
  }
}

Result<std::string> FrozenTree::read_link(std::uint64_t number) {
  const std::lock_guard guard(mutex_);
  if (number == 0 || number >= places_.size() || places_[number].kind != FileKind::symlink) return fail(Code::invalid, "that is no symlink");
  return places_[number].model->names[places_[number].name].link_text;
}

Result<std::uint64_t> FrozenTree::seek(std::uint64_t number, std::uint64_t offset, bool data) {
  const auto file = TRY(file_of(number));
  if (offset >= file->size()) return fail(Code::not_found, "beyond the end");
  const std::uint64_t at = file->seek(offset, data);
  if (data && at >= file->size()) return fail(Code::not_found, "no data follows");
  return at;
}

Result<std::vector<mlxbase::os::ExtendedAttribute>> FrozenTree::attributes(std::uint64_t number) {
  const std::lock_guard guard(mutex_);
  if (number == 0 || number >= places_.size()) return fail(Code::not_found, "there is no such file");
  const Place& p = places_[number];
  if (!p.model || p.name >= p.model->names.size()) return std::vector<mlxbase::os::ExtendedAttribute>();
  const FrozenName& n = p.model->names[p.name];
  return n.same_as == 0 ? n.metadata.attributes : p.model->names[n.same_as - 1].metadata.attributes;
}

std::uint64_t FrozenTree::total_bytes() {
  const std::lock_guard guard(mutex_);
  std::uint64_t sum = 0;
  for (const std::string& id : shown_) sum += places_[roots_.at(id)].model->bytes;
  return sum;
}

std::size_t FrozenTree::models() {
  const std::lock_guard guard(mutex_);
  return shown_.size();
}

std::vector<Damaged> FrozenTree::damaged() {
  const std::lock_guard guard(mutex_);
  return damaged_;
}

}  // namespace mlxcache::vault
