// Any folder that the person names with --root: each folder with weights in it is a model, save that GGUF files and checkpoints are models
// of their own. Files of folders without weights are somebody's work: counted, never shared.
#include <set>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/flat_models.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::loose {
namespace {

namespace path = mlxbase::path;

bool stands_alone(std::string_view file_name) {
  const std::string_view format = format_of(file_name);
  return format == "gguf" || format == "ggml" || format == "tflite" || path::extension(file_name) == ".ckpt";
}

}  // namespace

/// Loose folders are found by nothing but --root.
std::vector<Root> discover(const Context&) { return {}; }

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::loose));
  {
    auto found = walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel});
    for (; !found.empty(); found.pop_front()) out.add(std::move(found.front()));
  }
  std::set<std::string_view> with_weights;
  for (const Entry& entry : out.entries()) {
    const std::string_view folder = path::parent(entry.path);
    if (with_weights.contains(folder)) continue;
    if (is_weights(entry.path) && !stands_alone(path::file_name(entry.path))) with_weights.insert(folder);
  }
  std::map<std::string, FolderModel> models;
  for (std::uint32_t e = 0; e < out.entries().size(); ++e) {
    Entry& entry = out.at(e);
    const std::string_view rel = path::relative_to(root.path, entry.path);
    const std::string_view name = path::file_name(rel);
    const bool alone = stands_alone(name);
    if (!alone && !with_weights.contains(path::parent(entry.path)) && (entry.role == Role::payload || entry.role == Role::link)) {
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      continue;
    }
    if (entry.role == Role::foreign || entry.role == Role::lock) continue;
    const std::string folder(rel.contains('/') ? path::parent(rel) : std::string_view{});
    // A folder and a file in it may share a name: the slash at the end tells their keys apart.
    FolderModel& model = models[alone ? folder + "/" + std::string(model_stem(name)) + "/" : folder];
    model.id = alone ? path::join(folder, model_stem(name)) : folder.empty() ? std::string(path::file_name(root.path)) : folder;
    model.files.emplace(std::string(name), e);
  }
  std::vector<FolderModel> all;
  for (auto& [key, model] : models) all.push_back(std::move(model));
  add_folder_models(context, root, all, out);
  return out.finish();
}

std::string staging(const Root&, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root&, const Entry&) { return {}; }

}  // namespace mlxcache::stores::loose
