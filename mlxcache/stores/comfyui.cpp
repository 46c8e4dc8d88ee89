// ComfyUI: a tree of categories, named by relative path in people's workflows. Facts: docs/design/stores.md, ComfyUI.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/comfyui_paths.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/file_tree.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/sidecars.h"

namespace mlxcache::stores::comfyui {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::uint64_t kConfigLimit = 1 << 20;

bool is_file(const Context& context, const std::string& p) {
  const auto stat = context.fs.stat(p, Follow::yes);
  return stat && stat->kind == FileKind::regular;
}

/// A checkout of the program, rather than its models folder.
bool is_install(const Context& context, const std::string& folder) { return is_file(context, path::join(folder, "folder_paths.py")); }

class Finder {
 public:
  explicit Finder(const Context& context) : context_(context) {}

  /// An install, or a base directory: <base>/models, what the yaml beside it adds.
  void base(const std::string& folder, std::string_view origin) {
    add(path::join(folder, "models"), origin);
    extra(path::join(folder, "extra_model_paths.yaml"));
  }
  void extra(const std::string& yaml) {
    const auto text = mlxbase::os::read_small_file(context_.fs, yaml, kConfigLimit);
    if (!text) return;
    const auto folders = parse_extra_paths(*text, path::parent(yaml), context_.environment);
    if (!folders) return;
    for (const ExtraFolder& folder : *folders) add(folder.path, path::file_name(yaml));
  }
  std::vector<Root> take() { return std::move(roots_); }

 private:
  void add(const std::string& folder, std::string_view origin) {
    for (const Root& root : roots_) {
      if (path::is_within(root.path, folder)) return;  // listed with that one
    }
    add_root(context_, roots_, StoreKind::comfyui, folder, origin);
    for (const std::string& linked : linked_folders(context_, folder)) {
      add_root(context_, roots_, StoreKind::comfyui, linked, "link in " + folder);
    }
  }
  const Context& context_;
  std::vector<Root> roots_;
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& environment = context.environment;
  Finder finder(context);
  if (const auto install = environment.get_nonempty("COMFYUI_PATH")) finder.base(environment.absolute(environment.expand(*install)), "COMFYUI_PATH");
  // A person's own checkout, comfy-cli's workspaces, and the folder that the desktop app proposes.
  for (const std::string_view place : {"ComfyUI", "comfy/ComfyUI", "Documents/comfy/ComfyUI", "Documents/ComfyUI"}) {
    finder.base(path::join(environment.home, place), "default");
  }
  const std::string desktop = environment.platform == mlxbase::os::Platform::macos ? path::join(environment.home, "Library/Application Support/ComfyUI")
                                                                                     : path::join(xdg_config(environment), "ComfyUI");
  if (const auto text = mlxbase::os::read_small_file(context.fs, path::join(desktop, "config.json"), kConfigLimit)) {
    if (const auto config = mlxbase::json::parse(*text)) {
      const std::string base = (*config)["basePath"].string();
      if (path::is_absolute(base)) finder.base(base, "ComfyUI/config.json");
    }
  }
  finder.extra(path::join(desktop, "extra_models_config.yaml"));
  return finder.take();
}

Listing list(const Context& context, const Root& root) {
  FileTree tree;
  tree.claim = [&](const Found& weight) { return sidecar_claim(context, root, weight.path, weight.stat); };
  const bool install = is_install(context, root.path);  // given by --root
  if (install) tree.named_from = path::join(root.path, "models");
  tree.enter = [&root, install](const std::string& dir) {
    const std::string_view below = path::relative_to(root.path, dir);
    return !is_code_folder(path::file_name(dir)) && !(install && (below == "output" || below == "input" || below == "temp" || below == "user"));
  };
  return list_file_tree(context, root, tree);
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::comfyui
