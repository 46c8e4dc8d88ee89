#include "mlxcache/fetch/ask.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/fetch/hub.h"
#include "mlxcache/fetch/hub_answers.h"
#include "mlxcache/fetch/registry.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::net::Request;
using mlxbase::net::Response;

bool is_empty(const Selection& selection) { return selection.include.empty() && selection.exclude.empty() && selection.quant.empty(); }

/// "bytes 0-0/12345": what follows the slash.
std::optional<std::uint64_t> size_of_content_range(std::string_view value) {
  const auto slash = value.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == value.size() || value.size() - slash > 20) return std::nullopt;
  std::uint64_t size = 0;
  for (const char c : value.substr(slash + 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    size = size * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return size;
}

/// A server that answers no HEAD may still tell the length with the first byte.
Result<std::uint64_t> size_of(Asker& asker, const UrlId& id) {
  const std::string what = id.url.shown();
  Request request;
  request.url = id.url;
  request.method = "HEAD";
  request.redirects = mlxbase::net::Redirects::any;
  Response response = TRY(asker.ask(request));
  if (response.head.status == 200 && response.head.content_length && *response.head.content_length > 0) return *response.head.content_length;
  if (response.head.status == 404 || response.head.status == 410) return fail(Code::not_found, what + ": there is no such file");
  request.method = "GET";
  request.range = mlxbase::net::ByteRange{0, 0};
  request.max_body = 1U << 20U;
  auto ranged = asker.ask(request);
  if (!ranged) {
    if (ranged.error().code != Code::corrupt) return fail(std::move(ranged).error());
    return fail(Code::unsupported, what + ": the server does not say how long the file is");
  }
  response = *std::move(ranged);
  if (response.head.status == 404 || response.head.status == 410) return fail(Code::not_found, what + ": there is no such file");
  if (response.head.status == 401 || response.head.status == 403) return fail(Code::permission, what + ": the server refuses without a log-in");
  if (response.head.status == 206) {
    const auto range = find_header(response.head.headers, "Content-Range");
    if (const auto size = range ? size_of_content_range(*range) : std::nullopt) return *size;
  }
  if (response.head.status == 200) return response.body.size();
  if (response.head.status != 206) return fail(unexpected_status(response, what, nullptr));
  return fail(Code::unsupported, what + ": the server does not say how long the file is");
}

Result<Resolved> resolve_url(Asker& asker, const UrlId& id) {
  RemoteFile file;
  file.path = id.file;
  file.size = TRY(size_of(asker, id));
  if (file.size > kLargestFile) return fail(Code::corrupt, id.url.shown() + ": a length beyond reason");
  file.sha256 = id.sha256;
  file.url = id.url;
  Resolved out;
  out.id = id;
  out.files.push_back(std::move(file));
  out.complete_listing = true;
  return out;
}

}  // namespace

Result<Resolved> Resolver::resolve(const Id& id, const Selection& selection) {
  if (!std::holds_alternative<HubId>(id) && !is_empty(selection)) {
    return fail(Code::invalid, shown(id) + ": --include, --exclude and --quant choose among the files of a hub's repo (hf:org/repo)");
  }
  if (endpoints_.offline) {
    return fail(Code::unsupported, shown(id) + ": offline mode is on (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE or MLXCACHE_OFFLINE), so nothing can be asked");
  }
  Asker asker(client_, clock_, retry_, cancel_);
  if (const auto* hub = std::get_if<HubId>(&id)) return resolve_hub(asker, endpoints_, *hub, selection);
  if (const auto* name = std::get_if<OllamaId>(&id)) return resolve_registry(asker, endpoints_, *name);
  return resolve_url(asker, std::get<UrlId>(id));
}

}  // namespace mlxcache::fetch
