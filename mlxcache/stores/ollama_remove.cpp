// A model taken out of Ollama as its server does it: the manifest, then the blobs that no other manifest names.
#include <algorithm>
#include <map>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/ollama_manifest.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::ollama {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;

constexpr std::string_view kBlobs = "blobs/";
constexpr auto kDepth = 3;  // host/namespace/model/tag

std::string sha256_of(std::string_view bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish().hex();
}

/// All manifests as they are now: whose the model's name is, and what the others need.
struct Manifests {
  std::string own;                       // path; empty: not there
  std::map<Digest, std::string> needed;  // by another model: its name
  std::string unread;                    // the first that could not be read
};

Manifests read_manifests(const Context& context, const Listing& listing, const catalog::Model& model) {
  Manifests out;
  std::vector<catalog::Problem> problems;
  WalkOptions options;
  options.cancel = context.cancel;
  const std::string folder = path::join(listing.root.path, "manifests");
  for (const Found& f : walk(context.fs, folder, problems, options)) {
    const std::string_view relative = path::relative_to(folder, f.path);
    if (std::count(relative.begin(), relative.end(), '/') != kDepth) continue;  // never looked at by the server
    const auto name = name_of_manifest_path(relative);
    const auto text = name ? read_metadata(context, listing.root.path, f.path, kManifestLimit) : Result<std::string>(fail(Code::invalid, ""));
    if (text && out.own.empty() && name->shortest() == model.id && sha256_of(*text) == model.revision) {
      out.own = f.path;
      continue;
    }
    const auto manifest = text ? parse_manifest(*text) : Result<Manifest>(fail(text.error()));
    if (!manifest) {
      if (out.unread.empty()) out.unread = f.path;
      continue;
    }
    if (manifest->config) out.needed.emplace(manifest->config->digest, name->shortest());
    for (const Layer& layer : manifest->layers) out.needed.emplace(layer.digest, name->shortest());
  }
  if (!problems.empty() && out.unread.empty()) out.unread = problems.front().path;
  return out;
}

/// A pull of one of the model's layers, by what the server leaves beside it.
mlxbase::Status refuse_if_pulled(const Context& context, const Listing& listing, const Manifest& manifest) {
  std::vector<std::string> names;
  if (manifest.config) names.push_back(blob_name(manifest.config->digest));
  for (const Layer& layer : manifest.layers) names.push_back(blob_name(layer.digest));
  for (const Entry& entry : listing.entries) {
    if (entry.role != Role::partial) continue;
    const std::string_view file = path::file_name(entry.path);
    for (const std::string& name : names) {
      if (file.starts_with(name) && file.size() > name.size()) TRY(refuse_if_written(context, entry));
    }
  }
  return {};
}

}  // namespace

Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t index) {
  const catalog::Model& model = *TRY(model_of(listing, index));
  const Manifests manifests = read_manifests(context, listing, model);
  if (manifests.own.empty()) return fail(Code::changed, "its manifest is not there any more, or is another one");
  const auto own = TRY(parse_manifest(TRY(read_metadata(context, listing.root.path, manifests.own, kManifestLimit))));
  TRY(refuse_if_pulled(context, listing, own));

  RemovalBuilder builder(context, listing, index);
  builder.take_name(manifests.own);
  for (const std::uint32_t e : model.entries) {
    const Entry& entry = listing.entries[e];
    const std::string_view relative = path::relative_to(listing.root.path, entry.path);
    const auto digest = relative.starts_with(kBlobs) ? parse_digest(relative.substr(kBlobs.size())) : std::nullopt;
    if (!digest) continue;
    if (!manifests.unread.empty()) {
      builder.keep(entry.path, "Ollama calls no blob unused while a manifest cannot be read: " + manifests.unread);
    } else if (const auto other = manifests.needed.find(*digest); other != manifests.needed.end()) {
      builder.keep(entry.path, "needed by " + other->second);
    } else {
      TRY(builder.take(e));
    }
  }
  Removal out = builder.finish();
  // The two folders that make it a store stay.
  std::erase_if(out.names, [&](const std::string& name) {
    return name == path::join(listing.root.path, "manifests") || name == path::join(listing.root.path, "blobs");
  });
  return out;
}

}  // namespace mlxcache::stores::ollama
