#include "mlxcache/stores/jan_model.h"

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/format/yaml.h"

namespace mlxcache::stores::jan {
namespace {

namespace path = mlxbase::path;
using mlxbase::json::Value;

void add(ModelYaml& into, const Value& yaml, std::string_view path_key, std::string_view sha_key, std::string_view size_key) {
  const std::string text = yaml[path_key].string();
  if (text.empty()) return;
  ModelFile file;
  if (path::is_absolute(text) && !text.contains('\0')) {
    file.path = path::normal(text);
  } else if (path::is_safe_relative(text)) {
    file.path = text;
  } else {
    into.refused.push_back(text);
    return;
  }
  file.sha256 = mlxbase::Digest::parse(mlxbase::Algorithm::sha256, yaml[sha_key].string());
  if (yaml[size_key].is_number()) file.size = yaml[size_key].u64();
  into.files.push_back(std::move(file));
}

}  // namespace

mlxbase::Result<ModelYaml> parse_model_yaml(std::string_view text) {
  const auto yaml = TRY(mlxbase::yaml::parse(text));
  if (!yaml.is_object()) return mlxbase::fail(mlxbase::Code::corrupt, "not a model.yml");
  ModelYaml out;
  out.name = yaml["name"].string();
  add(out, yaml, "model_path", "model_sha256", "model_size_bytes");
  add(out, yaml, "mmproj_path", "mmproj_sha256", "mmproj_size_bytes");
  // cortex, Jan's engine before: a list of paths below its models folder.
  for (const Value& file : yaml["files"].array()) {
    Value one;
    one.set("path", file);
    add(out, one, "path", "", "");
  }
  return out;
}

bool is_model_id(std::string_view id) {
  if (!path::is_safe_relative(id)) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace mlxcache::stores::jan
