#include "mlxcache/stores/file_tree.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/flat_models.h"
#include "mlxcache/stores/names.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;

class Lister {
 public:
  Lister(const Context& context, const Root& root, const FileTree& tree)
      : context_(context), root_(root), tree_(tree), builder_(root, adapter_of(root.kind)) {}

  Listing run() {
    WalkOptions options;
    options.cancel = context_.cancel;
    options.enter = tree_.enter;
    found_ = walk(context_.fs, root_.path, builder_.problems(), options);
    mark_folders();
    std::vector<std::uint32_t> companions;
    std::vector<std::pair<const Found*, std::uint32_t>> vaes;
    for (const Found& f : found_) {
      const std::uint32_t e = builder_.add(f);
      if (const std::string_view folder = folder_of(f.path); !folder.empty()) {
        if (takes_part(f)) {
          builder_.join(model(folder), e);
          if (tree_.is_weight(f.path)) claim(f, e);
        }
      } else if (takes_part(f) && tree_.is_weight(f.path)) {
        if (lower(path::stem(f.path)).ends_with(".vae")) {
          vaes.emplace_back(&f, e);
        } else {
          single(f, e);
        }
      } else {
        companions.push_back(e);
      }
    }
    for (const auto& [f, e] : vaes) vae(*f, e);
    for (const std::uint32_t e : companions) companion(e);
    return builder_.finish();
  }

 private:
  /// Folders that an index file makes one model; of nested ones the outermost.
  void mark_folders() {
    std::unordered_set<std::string_view> with_weights;
    for (const Found& f : found_) {
      if (tree_.is_weight(f.path)) with_weights.insert(path::parent(f.path));
    }
    for (const Found& f : found_) {
      const std::string_view name = path::file_name(f.path);
      const std::string_view dir = path::parent(f.path);
      if (dir == root_.path) continue;
      if (name == "model_index.json" || (name == "config.json" && with_weights.contains(dir))) marked_.insert(dir);
    }
  }
  /// The outermost marked folder that the path lies in; empty if none.
  std::string_view folder_of(std::string_view file) const {
    std::string_view out;
    for (std::string_view dir = path::parent(file); dir.size() > root_.path.size(); dir = path::parent(dir)) {
      if (marked_.contains(dir)) out = dir;
    }
    return out;
  }
  static bool takes_part(const Found& f) {
    return (f.stat.kind == FileKind::regular || (f.link_resolves && f.target_kind == FileKind::regular)) && !is_partial_name(path::file_name(f.path)) &&
           !is_staging_name(path::file_name(f.path));
  }

  /// The model whose name is that path below the root, or below where names begin.
  std::uint32_t model(std::string_view p) {
    const auto [it, added] = models_.try_emplace(std::string(p), 0);
    if (added) {
      catalog::Model made;
      made.id = path::relative_to(!tree_.named_from.empty() && path::is_within(tree_.named_from, p) ? tree_.named_from : root_.path, p);
      it->second = builder_.model(std::move(made));
    }
    return it->second;
  }

  void single(const Found& f, std::uint32_t e) {
    const std::string key = path::join(path::parent(f.path), model_stem(path::file_name(f.path)));
    const auto known = by_stem_.find(key);
    // x.safetensors and x.ckpt are two models; parts of a split are one.
    if (known != by_stem_.end() && is_split_part(f.path)) {
      builder_.join(known->second, e);
    } else {
      const bool taken = known != by_stem_.end() || models_.contains(key);  // x.ckpt beside x.safetensors keeps its ending
      const std::uint32_t m = model(taken ? f.path : key);
      by_stem_.emplace(key, m);
      builder_.join(m, e);
    }
    claim(f, e);
  }

  /// "x.vae.pt" is not a model but the VAE of x, if x is there.
  void vae(const Found& f, std::uint32_t e) {
    const auto base = by_stem_.find(path::join(path::parent(f.path), path::stem(path::stem(f.path))));
    if (base == by_stem_.end()) return single(f, e);
    builder_.join(base->second, e);
    claim(f, e);
  }

  void claim(const Found& f, std::uint32_t e) {
    if (tree_.claim && f.stat.kind == FileKind::regular) builder_.at(e).claim = tree_.claim(f);
  }

  /// Not a weight: metadata, and part of the model of the same stem, if there is one.
  void companion(std::uint32_t e) {
    Entry& entry = builder_.at(e);
    if (entry.role == Role::payload) {
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
    }
    if (entry.role != Role::metadata && entry.role != Role::link) return;
    const std::string_view dir = path::parent(entry.path);
    std::string_view name = path::file_name(entry.path);
    for (std::size_t dot = name.rfind('.'); dot != std::string_view::npos && dot > 0; dot = name.rfind('.')) {
      name = name.substr(0, dot);
      const auto it = by_stem_.find(path::join(dir, name));
      if (it == by_stem_.end()) continue;
      builder_.join(it->second, e);
      return;
    }
  }

  const Context& context_;
  const Root& root_;
  const FileTree& tree_;
  ListingBuilder builder_;
  Finds found_;
  std::unordered_set<std::string_view> marked_;              // into found_'s paths
  std::unordered_map<std::string, std::uint32_t> models_;    // by path
  std::unordered_map<std::string, std::uint32_t> by_stem_;   // folder and stem → first model of that stem
};

}  // namespace

bool is_image_weight(std::string_view file_name) {
  static constexpr std::array<std::string_view, 13> kEndings = {".safetensors", ".ckpt", ".pt",   ".pth",       ".pt2",      ".bin", ".pkl",
                                                                ".sft",         ".gguf", ".onnx", ".onnx_data", ".onnx.data", ".ort"};
  const std::string name = lower(path::file_name(file_name));
  return std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view ending) { return name.ends_with(ending); });
}

bool is_code_folder(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kNames = {".git", ".venv", "venv", "__pycache__", "node_modules", "python_embeded", "site-packages"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Listing list_file_tree(const Context& context, const Root& root, const FileTree& tree) { return Lister(context, root, tree).run(); }

std::vector<std::string> linked_folders(const Context& context, const std::string& root) {
  std::vector<std::string> out;
  auto names = context.fs.list(root);
  if (!names) return out;
  for (const auto& entry : *names) {
    if (entry.kind != FileKind::symlink && entry.kind != FileKind::unknown) continue;
    const std::string p = path::join(root, entry.name);
    const auto self = context.fs.stat(p);
    if (self && self->kind == FileKind::symlink) out.push_back(p);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace mlxcache::stores
