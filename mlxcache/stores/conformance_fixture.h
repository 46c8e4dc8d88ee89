#pragma once
// What the conformance suites know of each tool: models as it would have them, and how a failing case is called. Tests only.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::catalog {

/// In "GetParam() = …" of a failing case.
inline void PrintTo(StoreKind kind, std::ostream* out) { *out << stores::adapter_of(kind).name; }

}  // namespace mlxcache::catalog

namespace mlxcache::stores {

/// What a tool's layout can hold, and models as the tool would have them.
struct Shape {
  StoreKind kind;
  std::vector<std::string> ids;
  std::vector<std::string> files;  // of each model; the first is the weights
  bool orphans = false;            // the layout knows payloads that nothing refers to
  bool claims_by_name = false;     // digests are constants of well-known files: the sample's noise cannot have them
  catalog::Links most;             // "safe links" of the matrix in docs/design/stores.md
};

inline constexpr catalog::Links kR = catalog::kReflinkOnly;
inline constexpr catalog::Links kRH = catalog::kReflinkOrHardLink;
inline constexpr catalog::Links kRHS = catalog::kAnyLink;

inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {
      {StoreKind::hf_hub, {"org/alpha", "org/beta"}, {"model.safetensors", "config.json"}, true, false, kRHS},
      {StoreKind::hf_local_dir, {"org/alpha", "org/beta"}, {"model.safetensors", "config.json"}, false, false, kR},
      {StoreKind::hf_xet, {}, {}, false, false, catalog::kNoLinks},
      {StoreKind::ollama, {"llama3.2:3b", "user/tiny:q8"}, {"model.gguf"}, true, false, kRHS},
      {StoreKind::lm_studio, {"publisher/Alpha-GGUF", "publisher/Beta-GGUF"}, {"alpha-Q4_K_M.gguf"}, false, false, kRHS},
      {StoreKind::llama_cpp, {"org/alpha-GGUF:Q4_K_M", "org/beta-GGUF:Q8_0"}, {"alpha-Q4_K_M.gguf"}, false, false, kRHS},
      {StoreKind::mlx, {"alpha-4bit", "org/beta"}, {"model.safetensors", "config.json"}, true, false, kRHS},
      {StoreKind::docker_model_runner, {"ai/alpha:latest", "ai/beta:1B-Q4"}, {"model.gguf"}, true, false, kRH},
      {StoreKind::ramalama, {"huggingface://org/alpha:latest", "ollama://library/tiny:latest"}, {"alpha.gguf"}, true, false, kRHS},
      {StoreKind::modelscope, {"owner/alpha", "owner/beta-1.5"}, {"model.safetensors", "config.json"}, false, false, kRHS},
      {StoreKind::localai, {"alpha", "beta"}, {"alpha.gguf"}, true, false, kRHS},
      {StoreKind::text_generation_webui, {"org_alpha", "org_beta"}, {"model.safetensors", "config.json"}, false, false, kRH},
      {StoreKind::gpt4all, {"alpha", "beta"}, {"alpha.gguf"}, false, false, kRHS},
      {StoreKind::jan, {"alpha", "org/beta"}, {"model.gguf"}, true, false, kRH},
      {StoreKind::foundry_local, {"alpha-generic-cpu", "beta-cuda-gpu"}, {"model.onnx", "model.onnx.data"}, false, false, kR},
      {StoreKind::comfyui, {"checkpoints/alpha", "loras/beta"}, {"alpha.safetensors"}, false, false, kRHS},
      {StoreKind::automatic1111, {"Stable-diffusion/alpha", "Lora/beta"}, {"alpha.safetensors"}, false, false, kRHS},
      {StoreKind::invokeai, {"alpha", "beta"}, {"alpha.safetensors"}, true, false, kRH},
      {StoreKind::draw_things, {"alpha_f16", "beta_q8p"}, {"alpha_f16.ckpt"}, false, false, kR},
      {StoreKind::openai_whisper, {"tiny.en", "base"}, {"tiny.en.pt"}, false, true, kRHS},
      {StoreKind::whisper_cpp, {"ggml-tiny.en", "ggml-base"}, {"ggml-tiny.en.bin"}, false, true, kRHS},
      {StoreKind::torch_hub, {"alpha", "beta"}, {"alpha.pth"}, false, false, kRHS},
      {StoreKind::keras, {"alpha", "beta"}, {"alpha.h5"}, false, false, kR},
      {StoreKind::kagglehub, {"owner/alpha/pyTorch/base/1", "owner/beta/keras/small/2"}, {"model.safetensors"}, false, false, kRHS},
      {StoreKind::tf_hub, {"alpha", "beta"}, {"saved_model.pb", "variables/variables.data-00000-of-00001"}, false, false, kRH},
      {StoreKind::loose, {"alpha", "deep/beta"}, {"model.safetensors", "config.json"}, false, false, kRH},
  };
  return all;
}

inline std::string weights(std::string_view name, std::uint64_t seed) {
  const std::size_t size = 40'000 + seed * 1000;
  return name.ends_with(".gguf") ? sample::gguf_bytes(seed, size) : sample::safetensors_bytes(seed, size);
}

inline std::vector<sample::Model> models_of(const Shape& shape) {
  std::vector<sample::Model> models;
  std::uint64_t seed = 11;
  for (const std::string& id : shape.ids) {
    sample::Model model{id, {}};
    for (const std::string& name : shape.files) {
      const bool json = name.ends_with(".json");
      model.files.push_back({name, json ? R"({"model_type":"llama","seed":)" + std::to_string(++seed) + "}" : weights(name, ++seed)});
    }
    models.push_back(std::move(model));
  }
  return models;
}

inline mlxbase::Digest digest_of(mlxbase::Algorithm algorithm, std::string_view bytes) {
  mlxbase::Hasher hasher(algorithm, bytes.size());
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish();
}

inline bool claim_is_true(const mlxbase::Digest& claim, std::string_view bytes) {
  if (claim.algorithm() == mlxbase::Algorithm::sha256_prefix) return claim.is_prefix_of(digest_of(mlxbase::Algorithm::sha256, bytes));
  if (claim.algorithm() == mlxbase::Algorithm::xet) return true;  // no pass of a hash here can tell
  return claim == digest_of(claim.algorithm(), bytes);
}

inline std::set<std::string> ids_of(const Listing& listing) {
  std::set<std::string> ids;
  for (const auto& model : listing.models) ids.insert(model.id);
  return ids;
}

inline std::string kind_name(const testing::TestParamInfo<StoreKind>& info) {
  std::string name(adapter_of(info.param).name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

inline std::vector<StoreKind> every_kind() {
  std::vector<StoreKind> kinds;
  for (const Adapter& row : adapters()) kinds.push_back(row.kind);
  return kinds;
}

}  // namespace mlxcache::stores
