#include "mlxcache/fetch/registry.h"

#include <algorithm>
#include <map>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/json.h"
#include "mlxcache/fetch/header_values.h"
#include "mlxcache/fetch/hub_answers.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::net::Credential;
using mlxbase::net::Redirects;
using mlxbase::net::Request;
using mlxbase::net::Response;
using mlxbase::net::Secret;
using mlxbase::net::Url;

constexpr std::string_view kAccept =
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

/// https, but for this machine itself and registries that the person named.
Result<Url> base_of(const Endpoints& endpoints, const OllamaId& id) {
  std::string host = id.host;
  std::transform(host.begin(), host.end(), host.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const Url plain = TRY(Url::parse("http://" + host));
  const auto& named = endpoints.insecure_registries;
  const bool insecure = std::find(named.begin(), named.end(), host) != named.end() || std::find(named.begin(), named.end(), plain.host()) != named.end();
  if (plain.is_loopback() || insecure) return plain;
  return Url::parse("https://" + host);
}

/// Docker Hub alone has its tokens given out by another host.
bool may_give_tokens(const Url& realm, const Url& registry) {
  if (realm.host() == registry.host()) return realm.scheme() == "https" || registry.scheme() == "http";
  return realm.scheme() == "https" && registry.host() == "registry-1.docker.io" && realm.host() == "auth.docker.io";
}

/// A token for whoever asks, as the challenge says. It is worth nothing elsewhere.
Result<Credential> anonymous_token(Asker& asker, const Challenge& challenge, const Url& registry, const std::string& what) {
  auto realm = registry.resolve(challenge.realm);
  if (!realm) return fail(Code::corrupt, what + ": " + registry.origin() + " asks us to log in at no address");
  if (!may_give_tokens(*realm, registry)) {
    return fail(Code::permission, what + ": " + registry.origin() + " asks us to log in at " + realm->origin() + ", another host; that is not done");
  }
  std::string query = realm->query();
  const auto add = [&query](std::string_view name, const std::string& value) {
    if (!value.empty()) query += (query.empty() ? "" : "&") + std::string(name) + "=" + mlxbase::net::percent_encode(value);
  };
  add("service", challenge.service);
  add("scope", challenge.scope);
  Request request;
  request.url = TRY(Url::parse(realm->shown() + (query.empty() ? "" : "?" + query)));
  request.redirects = Redirects::same_origin;
  request.max_body = 64U << 10U;
  const Response response = TRY(asker.ask(request));
  if (response.head.status != 200) {
    if (response.head.status == 401 || response.head.status == 403) {
      return fail(Code::permission, what + ": it is private, or its registry gives nothing without an account; pull it with its own tool");
    }
    return fail(unexpected_status(response, what, nullptr));
  }
  const auto json = mlxbase::json::parse(response.body, {.bytes = 64U << 10U, .depth = 8});
  std::string token = json ? (*json)["token"].string((*json)["access_token"].string()) : "";
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (token.empty() || !visible || token.size() > (16U << 10U)) return fail(Code::corrupt, what + ": " + realm->origin() + " gave no token");
  return Credential{registry, Secret(std::move(token))};
}

Error refusal(const Response& response, const OllamaId& id, const std::string& what, const Secret* secret) {
  const std::string said = said_by_server(response, secret);
  switch (response.head.status) {
    case 404: {
      std::string out = what + ": " + response.head.url.origin() + " has no such model or tag; look at the spelling";
      if (id.host == "hf.co" || id.host == "huggingface.co") out += ", or pull hf:" + id.space + "/" + id.model + " --quant " + id.tag;
      return {Code::not_found, out, 0};
    }
    case 401:
    case 403: return {Code::permission, what + ": it is private, or its registry gives nothing without an account; pull it with its own tool", 0};
    case 412: return {Code::unsupported, what + ": " + (said.empty() ? "it needs a newer version of Ollama" : said), 0};
    default: return unexpected_status(response, what, secret);
  }
}

/// The registry's own word on the bytes, where it gives one.
mlxbase::Status check_digest(const Response& response, const std::string& what) {
  const auto header = find_header(response.head.headers, "Docker-Content-Digest");
  const auto said = header ? stores::ollama::parse_digest(*header) : std::nullopt;
  if (!said) return {};
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(std::as_bytes(std::span(response.body)));
  if (hasher.finish() != *said) return fail(Code::corrupt, what + ": the manifest's bytes are not those of its digest; something on the way changed them");
  return {};
}

}  // namespace

Result<ManifestFiles> parse_registry_manifest(std::string_view text) {
  const auto json = mlxbase::json::parse(text, {.bytes = stores::ollama::kManifestLimit, .depth = 16});
  if (!json) return fail(Code::corrupt, "the manifest is not JSON");
  ManifestFiles out;
  out.media_type = (*json)["mediaType"].string();
  if ((*json)["manifests"].is_array()) return fail(Code::unsupported, "it is an index of several variants, not a model");
  if ((*json)["schemaVersion"].u64() != 2) return fail(Code::unsupported, "its manifest is of another schema than 2");
  const stores::ollama::Manifest manifest = TRY(stores::ollama::parse_manifest(text));
  std::vector<stores::ollama::Layer> layers = manifest.layers;
  if (manifest.config) {
    layers.push_back(*manifest.config);
    layers.back().type = "config";
  }
  if (layers.empty()) return fail(Code::corrupt, "the manifest names no layers");
  std::map<mlxbase::Digest, std::uint64_t> seen;
  for (const auto& layer : layers) {
    if (layer.size > kLargestFile) return fail(Code::corrupt, "a layer of the manifest has a size beyond reason");
    const auto [at, first] = seen.emplace(layer.digest, layer.size);
    if (!first && at->second != layer.size) return fail(Code::corrupt, "the manifest gives one digest two sizes");
    if (!first) continue;
    RemoteFile file;
    file.path = stores::ollama::blob_name(layer.digest);
    file.size = layer.size;
    file.sha256 = layer.digest;
    file.media_type = layer.type.substr(0, 128);
    out.files.push_back(std::move(file));
  }
  return out;
}

Result<Resolved> resolve_registry(Asker& asker, const Endpoints& endpoints, const OllamaId& id) {
  const std::string what = shown(Id{id});
  const auto base = base_of(endpoints, id);
  if (!base) return fail(Code::invalid, what + ": '" + id.host + "' is no host");
  const std::string repo = "/v2/" + id.space + "/" + id.model;

  Request request;
  request.url = TRY(Url::parse(base->origin() + repo + "/manifests/" + id.tag));
  request.headers.push_back({"Accept", std::string(kAccept)});
  request.redirects = Redirects::any;
  request.max_body = stores::ollama::kManifestLimit;
  Response response = TRY(asker.ask(request));
  if (response.head.status == 401) {
    const auto header = find_header(response.head.headers, "WWW-Authenticate");
    const auto challenge = header ? bearer_challenge(*header) : std::nullopt;
    if (!challenge) return fail(refusal(response, id, what, nullptr));
    request.credential = TRY(anonymous_token(asker, *challenge, *base, what));
    response = TRY(asker.ask(request));
  }
  const Secret* secret = request.credential ? &request.credential->bearer : nullptr;
  if (response.head.status != 200) return fail(refusal(response, id, what, secret));
  if (auto ok = check_digest(response, what); !ok) return fail(std::move(ok).error());
  auto manifest = parse_registry_manifest(response.body);
  if (!manifest) return fail(manifest.error().code, what + ": " + manifest.error().message);

  Resolved out;
  out.id = id;
  out.files = std::move(manifest->files);
  for (RemoteFile& file : out.files) file.url = TRY(Url::parse(base->origin() + repo + "/blobs/" + file.sha256->to_string()));
  out.complete_listing = true;
  out.manifest_media_type = manifest->media_type.empty() ? find_header(response.head.headers, "Content-Type").value_or("") : manifest->media_type;
  out.manifest = std::move(response.body);
  out.credential = request.credential;
  return out;
}

}  // namespace mlxcache::fetch
