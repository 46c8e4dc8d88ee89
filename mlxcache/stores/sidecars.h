#pragma once
// Digests that model managers of image tools leave beside a weight file: `<name>.metadata.json` (Lora-Manager),
// `<name>.civitai.info` (CivitAI helpers), `<name>.sha256`.
#include <cstdint>
#include <optional>
#include <string_view>

#include "mlxbase/core/digest.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::stores {

// Each gives the SHA-256 only if the record is about a file of exactly `size` bytes: a model that was replaced keeps its old sidecar.

/// Lora-Manager: {"sha256", "size"}.
std::optional<mlxbase::Digest> claim_of_lora_manager(std::string_view json, std::uint64_t size);
/// A CivitAI model version: {"files": [{"sizeKB", "hashes": {"SHA256"}}]}; empty too if two files of that size disagree.
std::optional<mlxbase::Digest> claim_of_civitai(std::string_view json, std::uint64_t size);
/// `sha256sum`'s line or the bare hex. It has no size, so the caller has to judge by times.
std::optional<mlxbase::Digest> claim_of_sha256_file(std::string_view text);

/// Looks at the three for a weight file, in that order of trust. `weight` and what lies beside it must be below the root.
/// A `.sha256` counts only if it is not older than the weights.
std::optional<mlxbase::Digest> sidecar_claim(const Context& context, const Root& root, const std::string& weight, const mlxbase::os::FileStat& stat);

}  // namespace mlxcache::stores
