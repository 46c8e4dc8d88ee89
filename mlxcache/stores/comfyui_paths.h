#pragma once
// ComfyUI's extra_model_paths.yaml: folders of models outside its own tree.
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"

namespace mlxcache::stores::comfyui {

struct ExtraFolder {
  std::string category;  // "checkpoints", "loras", …
  std::string path;      // absolute, normal
  friend bool operator==(const ExtraFolder&, const ExtraFolder&) = default;
};

/// As ComfyUI's utils/extra_config.py reads it: groups with an optional base_path (`~` and variables expanded, relative to the yaml's own folder)
/// and category: folders, one a line. Folders of code (custom_nodes) are left out, as are paths that cannot be one.
/// Errors: corrupt, invalid (too large).
mlxbase::Result<std::vector<ExtraFolder>> parse_extra_paths(std::string_view yaml, std::string_view yaml_dir, const mlxbase::os::Environment& environment);

}  // namespace mlxcache::stores::comfyui
