#pragma once
// Builds small, true-to-life stores of every kind: for `mlxcache demo`, the conformance suite and tests. Layouts as the tools
// write them (docs/design/stores.md); contents are seeded noise in valid containers.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
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

/// Writes a store of `kind` at the tool's default place below `home` on `platform` (this machine's, if none is given), or at `at`,
/// and returns its root. Errors: invalid (an id the tool could not have, a file that exists already), io, out_of_space.
mlxbase::Result<catalog::Root> build(catalog::StoreKind kind, const std::string& home, const std::vector<Model>& models,
                                     const Extras& extras = {}, const std::string& at = {},
                                     std::optional<mlxbase::os::Platform> platform = {});

/// A valid safetensors file: `tensors` BF16 tensors of noise from `seed`, about `bytes` long.
std::string safetensors_bytes(std::uint64_t seed, std::size_t bytes, std::size_t tensors = 4);
/// A valid GGUF v3 file with an architecture, a name and one F16 tensor of noise, about `bytes` long.
std::string gguf_bytes(std::uint64_t seed, std::size_t bytes);

}  // namespace mlxcache::sample
