#include "mlxcache/stores/comfyui_paths.h"

#include "mlxbase/core/path.h"
#include "mlxbase/format/yaml.h"

namespace mlxcache::stores::comfyui {
namespace {

namespace path = mlxbase::path;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

constexpr std::size_t kMaxFolders = 10'000;  // a bound, not a rule

}  // namespace

mlxbase::Result<std::vector<ExtraFolder>> parse_extra_paths(std::string_view yaml, std::string_view yaml_dir, const mlxbase::os::Environment& environment) {
  const auto document = TRY(mlxbase::yaml::parse(yaml));
  std::vector<ExtraFolder> out;
  for (const auto& [group, entries] : document.object()) {
    std::string base = environment.expand(entries["base_path"].string());
    if (!base.empty() && !path::is_absolute(base)) base = path::join(yaml_dir, base);
    for (const auto& [category, value] : entries.object()) {
      if (category == "base_path" || category == "is_default" || category == "custom_nodes") continue;
      const std::string folders = value.string();
      std::string_view left = folders;
      while (!left.empty() && out.size() < kMaxFolders) {
        const std::size_t end = left.find('\n');
        const std::string_view line = trimmed(left.substr(0, end));
        left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
        if (line.empty() || line.contains('\0')) continue;
        out.push_back({category, path::normal(path::join(base.empty() ? std::string(yaml_dir) : base, line))});
      }
    }
  }
  return out;
}

}  // namespace mlxcache::stores::comfyui
