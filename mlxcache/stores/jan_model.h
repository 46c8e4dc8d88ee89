#pragma once
// Jan's model.yml, parsed. Source: janhq/jan extensions/llamacpp-extension/src/index.ts.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::jan {

/// One file that a model.yml names.
struct ModelFile {
  std::string path;  // relative to the data folder and safe, or absolute and normal
  std::optional<mlxbase::Digest> sha256;
  std::optional<std::uint64_t> size;
};
struct ModelYaml {
  std::string name;
  std::vector<ModelFile> files;      // model first, then projector
  std::vector<std::string> refused;  // paths that leave the data folder
};
/// Errors: corrupt (not YAML, no mapping), invalid (too large).
mlxbase::Result<ModelYaml> parse_model_yaml(std::string_view text);

/// Whether it may be a model's id: letters, digits and "/_-." in parts that are not empty, "." or "..".
bool is_model_id(std::string_view id);

}  // namespace mlxcache::stores::jan
