#include <algorithm>
#include <map>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/common.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

/// Folders of a person's own tree may be deep; a store is looked for this far down.
constexpr int kNestedDepth = 6;

class Roots {
 public:
  explicit Roots(const Context& context) : context_(context) {}

  /// Keeps a folder once, by device and inode: a store reached by a variable and by a link is one store.
  bool keep(Root root) {
    const auto stat = context_.fs.stat(root.path, Follow::yes);
    if (!stat || stat->kind != FileKind::directory) return false;
    if (!seen_.emplace(std::pair{stat->id.device, stat->id.inode}, roots_.size()).second) return false;
    const auto real = context_.fs.real_path(root.path);
    real_.push_back(real ? *real : root.path);
    roots_.push_back(std::move(root));
    return true;
  }
  void keep_missing(Root root) {
    real_.push_back(root.path);
    roots_.push_back(std::move(root));
  }
  /// Whether the folder is a root or lies below one.
  bool covered(const std::string& folder) const {
    const auto real = context_.fs.real_path(folder);
    const std::string& where = real ? *real : folder;
    for (std::size_t i = 0; i < roots_.size(); ++i) {
      if (path::is_within(real_[i], where)) return true;
    }
    return false;
  }
  std::vector<Root> take() { return std::move(roots_); }

 private:
  const Context& context_;
  std::vector<Root> roots_;
  std::vector<std::string> real_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> seen_;
};

/// Stores inside a loose folder: a drive with an Ollama folder and a hub cache on it.
void keep_nested(const Context& context, const std::string& folder, int depth, Roots& roots) {
  if (depth > kNestedDepth || (context.cancel != nullptr && context.cancel->requested())) return;
  auto names = context.fs.list(folder);
  if (!names) return;
  std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& entry : *names) {
    const std::string child = path::join(folder, entry.name);
    if (entry.kind == FileKind::unknown) {
      const auto stat = context.fs.stat(child, Follow::no);
      if (!stat || stat->kind != FileKind::directory) continue;
    } else if (entry.kind != FileKind::directory) {
      continue;
    }
    const StoreKind kind = recognise(context.fs, child);
    if (kind != StoreKind::loose) {
      roots.keep({kind, child, "--root"});
    } else {
      keep_nested(context, child, depth + 1, roots);
    }
  }
}

}  // namespace

std::vector<Root> discover_all(const Context& context, std::span<const std::string> extra_roots) {
  Roots roots(context);
  for (const Adapter& row : adapters()) {
    for (Root& root : row.discover(context)) roots.keep(std::move(root));
  }
  for (const std::string& extra : extra_roots) {
    const std::string folder = path::normal(context.environment.absolute(extra));
    const auto stat = context.fs.stat(folder, Follow::yes);
    if (!stat || stat->kind != FileKind::directory) {
      roots.keep_missing({StoreKind::loose, folder, "--root"});  // its listing says what is wrong with it
      continue;
    }
    if (roots.covered(folder)) continue;
    const StoreKind kind = recognise(context.fs, folder);
    roots.keep({kind, folder, "--root"});
    if (kind == StoreKind::loose) keep_nested(context, folder, 1, roots);
  }
  return roots.take();
}

Listing list_store(const Context& context, const Root& root, std::span<const Root> roots) {
  Listing listing = adapter_of(root.kind).list(context, root);
  std::vector<std::string> inner;
  const auto real_root = context.fs.real_path(root.path);
  for (const Root& other : roots) {
    if (other == root) continue;
    const auto real = context.fs.real_path(other.path);
    if (!real || !real_root || *real == *real_root || !path::is_within(*real_root, *real)) continue;
    // Entries are named below root.path, which may itself be a link.
    inner.push_back(path::join(root.path, path::relative_to(*real_root, *real)));
  }
  if (inner.empty()) return listing;

  const auto elsewhere = [&](const std::string& p) {
    return std::any_of(inner.begin(), inner.end(), [&](const std::string& i) { return path::is_within(i, p); });
  };
  std::vector<std::int64_t> new_entry(listing.entries.size(), -1);
  catalog::Entries entries;
  for (std::size_t i = 0; i < listing.entries.size(); ++i) {
    if (elsewhere(listing.entries[i].path)) continue;
    new_entry[i] = static_cast<std::int64_t>(entries.size());
    entries.push_back(std::move(listing.entries[i]));
  }
  std::vector<std::int32_t> new_model(listing.models.size(), -1);
  std::vector<catalog::Model> models;
  for (std::size_t m = 0; m < listing.models.size(); ++m) {
    catalog::Model model = std::move(listing.models[m]);
    std::vector<std::uint32_t> kept;
    for (const std::uint32_t e : model.entries) {
      if (new_entry[e] >= 0) kept.push_back(static_cast<std::uint32_t>(new_entry[e]));
    }
    if (kept.empty() && !model.entries.empty()) continue;  // it belongs to the inner store altogether
    model.entries = std::move(kept);
    new_model[m] = static_cast<std::int32_t>(models.size());
    models.push_back(std::move(model));
  }
  for (Entry& entry : entries) {
    if (entry.model >= 0) entry.model = new_model[static_cast<std::size_t>(entry.model)];
  }
  std::erase_if(listing.problems, [&](const catalog::Problem& p) { return elsewhere(p.path); });
  listing.entries = std::move(entries);
  listing.models = std::move(models);
  return listing;
}

}  // namespace mlxcache::stores
