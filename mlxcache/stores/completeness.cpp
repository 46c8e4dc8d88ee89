#include "mlxcache/stores/completeness.h"

#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::stores {

bool lacks_indexed_shard(const Context& context, const std::string& root, const std::vector<ViewedFile>& files,
                         std::vector<catalog::Problem>& problems) {
  constexpr std::string_view kIndex = ".safetensors.index.json";
  std::set<std::string> names;
  for (const ViewedFile& f : files) names.insert(f.name);
  for (const ViewedFile& f : files) {
    if (!f.name.ends_with(kIndex)) continue;
    const std::string folder = f.name.contains('/') ? std::string(mlxbase::path::parent(f.name)) : std::string();
    bool counted = false;
    for (const std::string& name : names) {
      if (mlxbase::path::parent(name) == mlxbase::path::parent(f.name) && is_split_part(name) && name.ends_with(".safetensors"))
        counted = true;
    }
    if (counted) continue;  // has_missing_split() tells from the names
    const auto text = read_metadata(context, root, f.path);
    if (!text) {
      problems.push_back({f.path, text.error()});
      continue;
    }
    const auto wanted = hf::parse_safetensors_index(*text);
    if (!wanted) {
      problems.push_back({f.path, wanted.error()});
      continue;
    }
    for (const std::string& file : *wanted) {
      if (!names.contains(mlxbase::path::join(folder, file))) return true;
    }
  }
  return false;
}

}  // namespace mlxcache::stores
