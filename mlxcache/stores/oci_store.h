#pragma once
// What Docker Model Runner writes, parsed: models.json, OCI manifests, digests. Source: docker/model-runner pkg/distribution.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::docker_model_runner {

/// A digest as a path: only sha256 with 64 and sha512 with 128 lower-case hex digits become one.
struct BlobId {
  std::string algorithm;
  std::string hex;
  friend bool operator==(const BlobId&, const BlobId&) = default;
  friend auto operator<=>(const BlobId&, const BlobId&) = default;

  static std::optional<BlobId> parse(std::string_view text);  // "sha256:<hex>"
  static std::optional<BlobId> of(std::string_view algorithm, std::string_view hex);
  /// What the name claims of the bytes; empty for sha512, which nothing here computes.
  std::optional<mlxbase::Digest> claim() const;
  std::string text() const { return algorithm + ":" + hex; }
};

/// One row of models.json.
struct Record {
  BlobId id;                      // of its manifest
  std::vector<std::string> tags;  // as the tool shows them: "ai/smollm2:latest"
  std::vector<BlobId> files;
};
/// Errors: corrupt (not JSON, a digest that is none).
mlxbase::Result<std::vector<Record>> parse_models(std::string_view text);

struct Layer {
  BlobId id;
  std::uint64_t size = 0;
  std::string type;  // what follows "application/vnd.docker.ai.", else the whole media type
};
struct Manifest {
  std::vector<Layer> layers;  // the config among them, of type "model.config…"
};
/// Errors: corrupt (not JSON, a digest that is none).
mlxbase::Result<Manifest> parse_manifest(std::string_view text);

/// A reference as people see it: the default registry left out ("index.docker.io/ai/smollm2:latest" → "ai/smollm2:latest").
std::string shown(std::string_view reference);

}  // namespace mlxcache::stores::docker_model_runner
