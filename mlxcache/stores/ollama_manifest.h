#pragma once
// Ollama's words, parsed: model names, digests, manifests. Sources: ollama/ollama types/model/name.go, manifest/{paths,manifest}.go.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::ollama {

/// host/namespace/model:tag, every part within Ollama's grammar: each may be a path segment.
struct Name {
  std::string host;
  std::string space;  // "library", a user, a Hugging Face organisation
  std::string model;
  std::string tag;
  friend bool operator==(const Name&, const Name&) = default;

  /// As `ollama list` prints it: the default host and namespace left out, model and tag never ("llama3.2:3b",
  /// "hf.co/org/repo:Q4_K_M").
  std::string shortest() const;
};

/// Of a manifest's path below manifests/ ("registry.ollama.ai/library/llama3.2/3b"): exactly four valid parts.
std::optional<Name> name_of_manifest_path(std::string_view relative);
/// Of what a person types; missing parts get the defaults.
std::optional<Name> parse_name(std::string_view text);

/// "sha256:" or "sha256-" and 64 hex digits; nothing else, since it becomes a file name (CVE-2024-37032).
std::optional<mlxbase::Digest> parse_digest(std::string_view text);
/// "sha256-<hex>".
std::string blob_name(const mlxbase::Digest& digest);

struct Layer {
  mlxbase::Digest digest;
  std::uint64_t size = 0;
  std::string type;  // what follows "application/vnd.ollama.image." ("model", "template", "tensor"), else the whole media type
  friend bool operator==(const Layer&, const Layer&) = default;
};

struct Manifest {
  std::optional<Layer> config;  // Ollama itself accepts one without a digest
  std::vector<Layer> layers;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// Errors: corrupt (not JSON, not a manifest, a digest that is none), invalid (larger than kManifestLimit).
mlxbase::Result<Manifest> parse_manifest(std::string_view text);

/// Models of the MLX engine have a layer a tensor: some ten thousand of 200 bytes.
inline constexpr std::uint64_t kManifestLimit = std::uint64_t{16} << 20U;

}  // namespace mlxcache::stores::ollama
