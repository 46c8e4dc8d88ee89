// Folders of MLX models: oMLX's and exo's. Each folder with a config.json is a model; one or two levels down, as the tools look.
#include <algorithm>
#include <set>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/flat_models.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::mlx {
namespace {

namespace path = mlxbase::path;

constexpr std::string_view kWritesInPlace = "a folder that training, fusing or conversion writes in place";
constexpr std::string_view kRefreshedInPlace = "a download folder that a refresh rewrites in place";

/// What makes a folder the output of a tool that truncates and rewrites (mx.save_safetensors), rather than a download.
bool is_output(std::string_view folder_name, const std::map<std::string, std::uint32_t>& files) {
  for (const std::string_view name : {"mlx_model", "fused_model", "adapters"}) {
    if (folder_name == name) return true;
  }
  return std::any_of(files.begin(), files.end(), [](const auto& f) {
    const std::string_view name = path::file_name(f.first);
    return name == "adapter_config.json" || name.ends_with("adapters.safetensors") || name == "optimizer.safetensors";
  });
}

bool is_download(const std::map<std::string, std::uint32_t>& files) {
  const auto at = files.lower_bound(".cache/huggingface/");
  return at != files.end() && at->first.starts_with(".cache/huggingface/");
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  const std::string& home = context.environment.home;
  add_root(context, roots, StoreKind::mlx, path::join(home, ".omlx/models"), "default");
  if (const auto exo = context.environment.get_nonempty("EXO_HOME")) {
    add_root(context, roots, StoreKind::mlx, path::join(context.environment.expand(*exo), "models"), "EXO_HOME");
  }
  add_root(context, roots, StoreKind::mlx, path::join(home, ".exo/models"), "default");
  add_root(context, roots, StoreKind::mlx, path::join(xdg_data(context.environment), "exo/models"), "default");
  for (const RedirectedHome& other : redirected_homes(context)) {
    add_root(context, roots, StoreKind::mlx, path::join(other.path, ".omlx/models"), other.origin);
  }
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::mlx));
  const auto found = walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel});
  std::set<std::string> configured;  // folders, relative to the root
  for (const Found& f : found) {
    if (path::file_name(f.path) == "config.json") configured.emplace(path::relative_to(root.path, path::parent(f.path)));
  }
  std::map<std::string, FolderModel> models;
  for (const Found& f : found) {
    const std::string_view rel = path::relative_to(root.path, f.path);
    // The outermost folder with a config is the model (its subfolders may have configs of their own: a pipeline); without any, the first
    // folder.
    std::string owner;
    for (auto slash = rel.find('/'); slash != std::string_view::npos; slash = rel.find('/', slash + 1)) {
      const std::string up(rel.substr(0, slash));
      if (owner.empty()) owner = up;
      if (configured.contains(up)) {
        owner = up;
        break;
      }
    }
    const std::uint32_t e = out.add(f);
    Entry& entry = out.at(e);
    if (owner.empty() || path::file_name(rel).starts_with('.')) {  // loose at the top, or hidden: no tool lists it
      if (entry.role == Role::payload) entry.role = owner.empty() && is_weights(rel) ? Role::orphan : Role::metadata;
      if (entry.role != Role::orphan) entry.links = catalog::kNoLinks;
      if (owner.empty()) continue;
    }
    FolderModel& model = models[owner];
    model.id = owner;
    model.files.emplace(rel.substr(owner.size() + 1), e);
  }
  std::vector<FolderModel> all;
  for (auto& [owner, model] : models) {
    const bool output = is_output(path::file_name(owner), model.files);
    const bool download = is_download(model.files);
    for (const auto& [name, e] : model.files) {
      Entry& entry = out.at(e);
      if (name.starts_with(".cache/") && entry.role == Role::payload) {
        entry.role = Role::metadata;
        entry.links = catalog::kNoLinks;
      }
      if ((output || download) && entry.role == Role::payload) {
        entry.links = entry.links & catalog::kReflinkOnly;
        entry.links_reason = std::string(output ? kWritesInPlace : kRefreshedInPlace);
      }
    }
    all.push_back(std::move(model));
  }
  add_folder_models(context, root, all, out);
  return out.finish();
}

std::string staging(const Root&, const std::string& target, std::string_view token) {
  // Loaders take model*.safetensors and skip hidden names.
  return staging_beside_target(target, token);
}

std::vector<LockFile> locks(const Root&, const Entry&) { return {}; }

}  // namespace mlxcache::stores::mlx
