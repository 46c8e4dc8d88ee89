#include "mlxcache/stores/ollama_manifest.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "mlxbase/format/json.h"

namespace mlxcache::stores::ollama {
namespace {

using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;

constexpr std::string_view kDefaultHost = "registry.ollama.ai";
constexpr std::string_view kDefaultSpace = "library";
constexpr std::string_view kDefaultTag = "latest";

enum class Part : std::uint8_t { host, space, model, tag };

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_valid(Part part, std::string_view text) {
  const std::size_t longest = part == Part::host ? 350 : 80;
  if (text.empty() || text.size() > longest) return false;
  if (!is_alphanumeric(text.front()) && text.front() != '_') return false;
  return std::all_of(text.begin() + 1, text.end(), [part](char c) {
    if (is_alphanumeric(c) || c == '-' || c == '_') return true;
    if (c == '.') return part != Part::space;
    return c == ':' && part == Part::host;
  });
}

std::optional<Name> checked(Name name) {
  if (is_valid(Part::host, name.host) && is_valid(Part::space, name.space) && is_valid(Part::model, name.model) && is_valid(Part::tag, name.tag)) {
    return name;
  }
  return std::nullopt;
}

bool equal_fold(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

Result<Layer> layer_of(const mlxbase::json::Value& value) {
  const std::string text = value["digest"].string();
  const auto digest = parse_digest(text);
  if (!digest) return fail(Code::corrupt, "a manifest with a digest that is none");
  std::string type = value["mediaType"].string();
  constexpr std::string_view kPrefix = "application/vnd.ollama.image.";
  if (type.starts_with(kPrefix)) type.erase(0, kPrefix.size());
  return Layer{.digest = *digest, .size = value["size"].u64(), .type = std::move(type)};
}

}  // namespace

std::string Name::shortest() const {
  std::string out;
  if (!equal_fold(host, kDefaultHost)) {
    out = host + "/" + space + "/";
  } else if (!equal_fold(space, kDefaultSpace)) {
    out = space + "/";
  }
  return out + model + ":" + tag;
}

std::optional<Name> name_of_manifest_path(std::string_view relative) {
  std::array<std::string, 4> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto slash = relative.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == parts.size())) return std::nullopt;
    parts[i] = relative.substr(0, slash);
    relative = slash == std::string_view::npos ? std::string_view{} : relative.substr(slash + 1);
  }
  return checked({parts[0], parts[1], parts[2], parts[3]});
}

std::optional<Name> parse_name(std::string_view text) {
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) text = text.substr(scheme + 3);
  Name name{std::string(kDefaultHost), std::string(kDefaultSpace), {}, std::string(kDefaultTag)};
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos && !text.substr(colon).contains('/')) {
    name.tag = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  const auto last = text.rfind('/');
  name.model = last == std::string_view::npos ? text : text.substr(last + 1);
  if (last != std::string_view::npos) {
    text = text.substr(0, last);
    const auto first = text.rfind('/');
    name.space = first == std::string_view::npos ? text : text.substr(first + 1);
    if (first != std::string_view::npos) name.host = text.substr(0, first);
  }
  return checked(std::move(name));
}

std::optional<Digest> parse_digest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256";
  if (!text.starts_with(kAlgorithm)) return std::nullopt;
  text.remove_prefix(kAlgorithm.size());
  if (text.empty() || (text.front() != ':' && text.front() != '-')) return std::nullopt;
  return Digest::parse(mlxbase::Algorithm::sha256, text.substr(1));
}

std::string blob_name(const Digest& digest) { return "sha256-" + digest.hex(); }

Result<Manifest> parse_manifest(std::string_view text) {
  const auto json = TRY(mlxbase::json::parse(text, {.bytes = kManifestLimit, .depth = 16}));
  if (!json.is_object()) return fail(Code::corrupt, "a manifest that is no JSON object");
  if (!json["layers"].is_array() && !json["layers"].is_null()) return fail(Code::corrupt, "a manifest whose layers are no list");
  Manifest out;
  if (json["config"].is_object() && !json["config"]["digest"].string().empty()) out.config = TRY(layer_of(json["config"]));
  for (const auto& layer : json["layers"].array()) out.layers.push_back(TRY(layer_of(layer)));
  return out;
}

}  // namespace mlxcache::stores::ollama
