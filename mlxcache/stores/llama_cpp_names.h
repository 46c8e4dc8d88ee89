#pragma once
// Names and sidecars of llama.cpp's flat cache.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::llama_cpp {

/// "manifest=owner=repo=tag.json".
struct ManifestName {
  std::string owner, repo, tag;
};
std::optional<ManifestName> parse_manifest_name(std::string_view name);

/// A file that a server's manifest names.
struct ManifestFile {
  std::string name;  // path in the repo
  std::optional<mlxbase::Digest> sha256;
};
/// ggufFile and mmprojFile. Errors: corrupt.
mlxbase::Result<std::vector<ManifestFile>> parse_manifest(std::string_view text);

/// How the flat cache names a repo's file: all slashes become "_".
std::string flat_name(std::string_view owner, std::string_view repo, std::string_view file);

/// The ETag in a .etag sidecar (one line) or an older .json one; without quotes and "W/". Empty if there is none.
std::string etag_of_sidecar(std::string_view text);
std::string etag_of_json(std::string_view text);

}  // namespace mlxcache::stores::llama_cpp
