#include "mlxcache/stores/ramalama_refs.h"

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxbase/format/toml.h"

namespace mlxcache::stores::ramalama {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr mlxbase::json::Limits kLimits{.bytes = std::size_t{4} << 20U, .depth = 16};

/// ":" of a digest is "-" on disk.
std::string as_file_name(std::string hash) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (hash.starts_with(kAlgorithm)) hash[kAlgorithm.size() - 1] = '-';
  return hash;
}

}  // namespace

Result<Ref> parse_ref(std::string_view text) {
  const auto json = TRY(mlxbase::json::parse(text, kLimits));
  if (!json.is_object() || !json["files"].is_array()) return fail(Code::corrupt, "a ref without files");
  Ref ref;
  ref.hash = as_file_name(json["hash"].string());
  if (!mlxbase::path::is_safe_segment(ref.hash)) return fail(Code::corrupt, "a ref whose hash is no file name");
  for (const auto& row : json["files"].array()) {
    RefFile file{as_file_name(row["hash"].string()), row["name"].string(), row["type"].string()};
    if (!mlxbase::path::is_safe_segment(file.hash)) return fail(Code::corrupt, "a ref with a hash that is no file name");
    if (!mlxbase::path::is_safe_relative(file.name)) return fail(Code::corrupt, "a ref with a name that leaves its snapshot");
    ref.files.push_back(std::move(file));
  }
  return ref;
}

std::optional<mlxbase::Digest> claim_of(std::string_view blob_name) {
  constexpr std::string_view kPrefix = "sha256-";
  if (!blob_name.starts_with(kPrefix)) return std::nullopt;
  return mlxbase::Digest::parse(mlxbase::Algorithm::sha256, blob_name.substr(kPrefix.size()));
}

Result<std::string> store_of_config(std::string_view toml) {
  const auto config = TRY(mlxbase::toml::parse(toml));
  return config["ramalama"]["store"].string();
}

}  // namespace mlxcache::stores::ramalama
