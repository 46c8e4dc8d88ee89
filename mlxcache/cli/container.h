#pragma once
// What a weight file says of itself, for `show`.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxcache::cli {

struct ContainerFacts {
  std::string container;                                       // "safetensors", "gguf"
  std::vector<std::pair<std::string, std::string>> facts;      // name (as in JSON), value; foreign text
  std::string problem;                                         // why its header is not to be trusted; then `facts` may be empty
};

/// Looks at the first bytes to tell which container it is, whatever the name; empty optional for any other file and for
/// cloud placeholders (reading those would download them). Reads the header only.
std::optional<ContainerFacts> container_facts(mlxbase::os::FileSystem& fs, const std::string& path);

}  // namespace mlxcache::cli
