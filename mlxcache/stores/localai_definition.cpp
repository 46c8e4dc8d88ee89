#include "mlxcache/stores/localai_definition.h"

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/format/yaml.h"

namespace mlxcache::stores::localai {
namespace {

using mlxbase::json::Value;

/// A path relative to the models folder, or text of another kind: an id on the Hub, a URI.
void add_file(Definition& into, const Value& value) {
  const std::string* text = value.if_string();
  if (text == nullptr || text->empty() || text->contains("://") || text->contains('\0')) return;
  std::string_view name = *text;
  while (name.starts_with("./")) name.remove_prefix(2);
  auto& list = mlxbase::path::is_safe_relative(name) ? into.files : into.refused;
  if (std::find(list.begin(), list.end(), name) == list.end()) list.emplace_back(name);
}

void add_records(Definition& into, const Value& files) {
  for (const Value& file : files.array()) {
    add_file(into, file["filename"]);
    const std::string name = file["filename"].string();
    const auto digest = mlxbase::Digest::parse(mlxbase::Algorithm::sha256, file["sha256"].string());
    if (digest && mlxbase::path::is_safe_relative(name)) into.sha256.insert_or_assign(name, *digest);
  }
}

Definition definition_of(const Value& value) {
  Definition out;
  out.name = value["name"].string();
  out.backend = value["backend"].string();
  add_file(out, value["parameters"]["model"]);
  for (const std::string_view key : {"mmproj", "draft_model", "lora_adapter", "model_file"}) add_file(out, value[key]);
  for (const Value& lora : value["lora_adapters"].array()) add_file(out, lora);
  add_records(out, value["download_files"]);
  add_records(out, value["files"]);  // a gallery record's
  return out;
}

}  // namespace

mlxbase::Result<std::vector<Definition>> parse_definitions(std::string_view yaml) {
  const auto document = TRY(mlxbase::yaml::parse(yaml));
  std::vector<Definition> out;
  if (document.is_object()) {
    out.push_back(definition_of(document));
  } else if (document.is_array()) {
    for (const Value& one : document.array()) {
      if (one.is_object()) out.push_back(definition_of(one));
    }
  } else if (!document.is_null()) {
    return mlxbase::fail(mlxbase::Code::corrupt, "not a model definition");
  }
  return out;
}

}  // namespace mlxcache::stores::localai
