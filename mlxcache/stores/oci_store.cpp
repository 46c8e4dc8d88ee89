#include "mlxcache/stores/oci_store.h"

#include <algorithm>

#include "mlxbase/format/json.h"

namespace mlxcache::stores::docker_model_runner {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr mlxbase::json::Limits kLimits{.bytes = std::size_t{16} << 20U, .depth = 32};

Result<BlobId> id_of(const mlxbase::json::Value& value) {
  auto id = BlobId::parse(value.string());
  if (!id) return fail(Code::corrupt, "a digest that is none");
  return std::move(*id);
}

Result<Layer> layer_of(const mlxbase::json::Value& value) {
  Layer layer;
  layer.id = TRY(id_of(value["digest"]));
  layer.size = value["size"].u64();
  layer.type = value["mediaType"].string();
  constexpr std::string_view kPrefix = "application/vnd.docker.ai.";
  if (layer.type.starts_with(kPrefix)) layer.type.erase(0, kPrefix.size());
  return layer;
}

}  // namespace

std::optional<BlobId> BlobId::of(std::string_view algorithm, std::string_view hex) {
  const std::size_t digits = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  if (digits == 0 || hex.size() != digits) return std::nullopt;
  if (!std::all_of(hex.begin(), hex.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); })) return std::nullopt;
  return BlobId{std::string(algorithm), std::string(hex)};
}

std::optional<BlobId> BlobId::parse(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return of(text.substr(0, colon), text.substr(colon + 1));
}

std::optional<mlxbase::Digest> BlobId::claim() const {
  if (algorithm != "sha256") return std::nullopt;
  return mlxbase::Digest::parse(mlxbase::Algorithm::sha256, hex);
}

Result<std::vector<Record>> parse_models(std::string_view text) {
  const auto json = TRY(mlxbase::json::parse(text, kLimits));
  if (!json.is_object() || (!json["models"].is_array() && !json["models"].is_null())) return fail(Code::corrupt, "no list of models");
  std::vector<Record> out;
  for (const auto& row : json["models"].array()) {
    Record record;
    record.id = TRY(id_of(row["id"]));
    for (const auto& tag : row["tags"].array()) {
      if (const std::string* s = tag.if_string()) record.tags.push_back(shown(*s));
    }
    for (const auto& file : row["files"].array()) record.files.push_back(TRY(id_of(file)));
    out.push_back(std::move(record));
  }
  return out;
}

Result<Manifest> parse_manifest(std::string_view text) {
  const auto json = TRY(mlxbase::json::parse(text, kLimits));
  if (!json.is_object()) return fail(Code::corrupt, "a manifest that is no JSON object");
  Manifest out;
  if (json["config"].is_object()) out.layers.push_back(TRY(layer_of(json["config"])));
  for (const auto& layer : json["layers"].array()) out.layers.push_back(TRY(layer_of(layer)));
  return out;
}

std::string shown(std::string_view reference) {
  for (const std::string_view registry : {"index.docker.io/", "docker.io/"}) {
    if (reference.starts_with(registry)) return std::string(reference.substr(registry.size()));
  }
  return std::string(reference);
}

}  // namespace mlxcache::stores::docker_model_runner
