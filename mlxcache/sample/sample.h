#pragma once
// Builds small, true-to-life stores of every kind: for `mlxcache demo`, the conformance suite and tests. Layouts as the tools
// write them (docs/design/stores.md); contents are seeded noise in valid containers.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/catalog/store.h"

namespace mlxcache::sample {

struct File {
  std::string name;   // relative to the model: "model.safetensors", "onnx/model.onnx"
  std::string bytes;
};

struct Model {
  std::string id;     // in the words of the tool: "org/name", "llama3.2:3b", "ggml-tiny.en"
  std::vector<File> files;
};

struct Extras {
  bool partial = false;  // a download in progress
  bool orphan = false;   // a payload that nothing refers to
  bool broken = false;   // a symlink whose target is missing, where the layout has symlinks
};

/// Writes a store of `kind` at the tool's default place below `home` (or at `at`, if given) and returns its root.
mlxbase::Result<catalog::Root> build(catalog::StoreKind kind, const std::string& home, const std::vector<Model>& models,
                                     const Extras& extras = {}, const std::string& at = {});

/// A valid safetensors file: `tensors` BF16 tensors of noise from `seed`, about `bytes` long.
std::string safetensors_bytes(std::uint64_t seed, std::size_t bytes);
/// A valid GGUF v3 file with an architecture, a name and one F16 tensor of noise, about `bytes` long.
std::string gguf_bytes(std::uint64_t seed, std::size_t bytes);

}  // namespace mlxcache::sample
