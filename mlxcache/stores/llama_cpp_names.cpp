#include "mlxcache/stores/llama_cpp_names.h"

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"

namespace mlxcache::stores::llama_cpp {

std::optional<ManifestName> parse_manifest_name(std::string_view name) {
  constexpr std::string_view kPrefix = "manifest=";
  constexpr std::string_view kEnding = ".json";
  if (!name.starts_with(kPrefix) || !name.ends_with(kEnding) || name.size() < kPrefix.size() + kEnding.size()) return std::nullopt;
  name = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kEnding.size());
  const auto one = name.find('=');
  const auto two = one == std::string_view::npos ? one : name.find('=', one + 1);
  if (two == std::string_view::npos || name.find('=', two + 1) != std::string_view::npos) return std::nullopt;
  ManifestName out{std::string(name.substr(0, one)), std::string(name.substr(one + 1, two - one - 1)), std::string(name.substr(two + 1))};
  for (const std::string* part : {&out.owner, &out.repo, &out.tag}) {
    if (!mlxbase::path::is_safe_segment(*part)) return std::nullopt;
  }
  return out;
}

mlxbase::Result<std::vector<ManifestFile>> parse_manifest(std::string_view text) {
  const auto document = TRY(mlxbase::json::parse(text));
  if (!document.is_object()) return mlxbase::fail(mlxbase::Code::corrupt, "a manifest that is no object");
  std::vector<ManifestFile> files;
  for (const std::string_view part : {"ggufFile", "mmprojFile"}) {
    const auto& file = document[part];
    const std::string name = file["rfilename"].string();
    if (!mlxbase::path::is_safe_relative(name)) continue;
    files.push_back({name, mlxbase::Digest::parse(mlxbase::Algorithm::sha256, file["lfs"]["sha256"].string())});
  }
  return files;
}

std::string flat_name(std::string_view owner, std::string_view repo, std::string_view file) {
  std::string out = std::string(owner) + "_" + std::string(repo) + "_" + std::string(file);
  std::replace(out.begin(), out.end(), '/', '_');
  return out;
}

std::string etag_of_sidecar(std::string_view text) {
  text = text.substr(0, text.find_first_of("\r\n"));
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

std::string etag_of_json(std::string_view text) {
  const auto document = mlxbase::json::parse(text);
  return document ? etag_of_sidecar((*document)["etag"].string()) : std::string();
}

}  // namespace mlxcache::stores::llama_cpp
