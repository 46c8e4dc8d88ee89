#include "mlxcache/stores/flat_models.h"

#include "mlxbase/core/path.h"
#include "mlxcache/stores/completeness.h"

namespace mlxcache::stores {

void add_folder_models(const Context& context, const Root& root, const std::vector<FolderModel>& models, ListingBuilder& out) {
  for (const FolderModel& m : models) {
    if (m.files.empty()) continue;
    const std::uint32_t model = out.model({.id = m.id, .revision = m.revision});
    std::vector<ViewedFile> view;
    for (const auto& [name, e] : m.files) {
      out.join(model, e);
      switch (out.at(e).role) {
        case Role::payload:
        case Role::link:
          view.push_back({name, out.at(e).path});
          break;
        case Role::partial:
        case Role::broken:
          out.model_at(model).incomplete = true;
          break;
        default:
          break;
      }
    }
    if (lacks_indexed_shard(context, root.path, view, out.problems())) out.model_at(model).incomplete = true;
  }
}

std::string_view model_stem(std::string_view file_name) {
  constexpr std::string_view kCount = "-00001-of-00001";
  std::string_view stem = mlxbase::path::stem(file_name);
  if (is_split_part(file_name)) stem.remove_suffix(kCount.size());
  return stem;
}

}  // namespace mlxcache::stores
