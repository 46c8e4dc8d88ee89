#pragma once
// LocalAI's model definitions and gallery records, parsed. Source: mudler/LocalAI core/config, core/gallery/models.go.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::localai {

/// One YAML file of a models folder.
struct Definition {
  std::string name;                // empty: named by its file
  std::string backend;
  std::vector<std::string> files;  // safe paths relative to the models folder, each once
  std::vector<std::string> refused;  // paths that leave the folder
  std::map<std::string, mlxbase::Digest, std::less<>> sha256;  // by such a path, where the file says so
};
/// A file may hold one definition or a list of them. Errors: corrupt (not YAML, neither mapping nor list), invalid (too large).
mlxbase::Result<std::vector<Definition>> parse_definitions(std::string_view yaml);

}  // namespace mlxcache::stores::localai
