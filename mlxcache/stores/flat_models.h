#pragma once
// Tools that keep models as plain folders of files, or as single files: what loose folders, MLX tools and ModelScope have in common.
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mlxcache/stores/common.h"

namespace mlxcache::stores {

/// Files of one model, named relative to the model's folder.
struct FolderModel {
  std::string id;
  std::string revision;
  std::map<std::string, std::uint32_t> files;
};

/// Adds the models with their entries: partials make one incomplete, as do shards that an index or a count misses.
void add_folder_models(const Context& context, const Root& root, const std::vector<FolderModel>& models, ListingBuilder& out);

/// A model's name for a file in a folder of many models: the name without ending and without the count of a split.
std::string_view model_stem(std::string_view file_name);

}  // namespace mlxcache::stores
