#pragma once
// An Ollama (or other OCI) registry's control plane: a name to a manifest and its layers.
#include <string_view>
#include <vector>

#include "mlxcache/fetch/ask.h"
#include "mlxcache/fetch/fetch.h"

namespace mlxcache::fetch {

struct ManifestFiles {
  std::string media_type;         // as the manifest says; may be empty
  std::vector<RemoteFile> files;  // config and layers, each digest once; no URLs yet; path is the blob's name in Ollama's store
};
/// A manifest's bytes. Errors: corrupt (not a manifest, a digest that is none, a size beyond reason, one digest with two sizes), unsupported (an index of
/// variants, another schema).
mlxbase::Result<ManifestFiles> parse_registry_manifest(std::string_view text);

/// Errors: as Resolver::resolve.
mlxbase::Result<Resolved> resolve_registry(Asker& asker, const Endpoints& endpoints, const OllamaId& id);

}  // namespace mlxcache::fetch
