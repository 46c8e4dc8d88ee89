#pragma once
// Whether a model's shards are all there.
#include <string>
#include <vector>

#include "mlxcache/stores/common.h"

namespace mlxcache::stores {

/// A file of a model as its loader sees it: `name` relative to the model's folder, `path` where the bytes can be opened.
struct ViewedFile {
  std::string name;
  std::string path;
};

/// Whether an index names a safetensors file that is not in the view. Names that carry their count (…-00001-of-00003) answer without
/// reading; otherwise *.safetensors.index.json files are read, and what is wrong with one goes to `problems`.
bool lacks_indexed_shard(const Context& context, const std::string& root, const std::vector<ViewedFile>& files,
                         std::vector<catalog::Problem>& problems);

}  // namespace mlxcache::stores
