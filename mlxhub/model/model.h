#pragma once
// A language model as it lies on disk, opened and not copied: one description of its decoder, whatever the file's format; its weights, mapped;
// its tokeniser and chat template. What the description cannot say is refused by name: a tensor that nothing uses is an error, never ignored.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/os/mapping.h"
#include "mlxhub/model/matrix.h"
#include "mlxhub/text/tokenizer.h"

namespace mlxhub::model {

using Floats = std::vector<float>;

/// One layer: x += attention(norm(x)); x += feed_forward(norm(x)). Vectors that a family does not have are empty.
struct Layer {
  Matrix query, key, value, attention_out;
  Matrix gate, up, down;
  Floats attention_norm, feed_norm;
  Floats query_bias, key_bias, value_bias;
  Floats query_norm, key_norm;  // over each head's values, before rope
  bool rope = true;             // smollm3 leaves some layers without
};

/// The one parametric decoder: llama and its relatives.
struct Decoder {
  std::string family;  // "llama", "qwen2", …
  std::size_t hidden = 0, heads = 0, kv_heads = 0, head_size = 0, feed = 0, vocabulary = 0, context = 0;
  std::size_t rotated = 0;    // of a head's values, how many rope turns
  bool neighbours = false;    // rope turns values (2i, 2i+1); else (i, i + rotated/2)
  float norm_epsilon = 1e-5F;
  Floats rope_frequencies;    // radians a position, rotated/2 of them, scaling included
  float rope_amplitude = 1;   // of cosine and sine (yarn)
  float embedding_scale = 1, residual_scale = 1, logit_scale = 1;  // granite
  float attention_scale = 0;  // of query times key
  Matrix embedding, output;   // often the same
  Floats output_norm;
  std::vector<Layer> layers;
};

struct Model {
  std::string name;  // of the file or folder: for people
  Decoder decoder;
  text::Tokenizer tokenizer;
  std::string chat_template;  // empty: it has none
  std::string bos, eos;       // as text, for the template
  std::vector<text::TokenId> ends;  // tokens that end an answer
  std::uint64_t weight_bytes = 0;
  std::vector<mlxbase::os::Mapping> mappings;  // what the matrices point into
};

/// Opens a GGUF file, or a folder with config.json, tokenizer.json and safetensors (MLX's quantised ones too). Errors: not_found, corrupt,
/// unsupported (an architecture, coding or tensor that is not built, by name), io.
mlxbase::Result<std::unique_ptr<Model>> open(mlxbase::os::FileSystem& fs, const std::string& path);

}  // namespace mlxhub::model
