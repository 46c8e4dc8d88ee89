#include "mlxhub/model/builder.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxhub::model {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::array kFamilies = std::to_array<Family>({
    {"llama", true},
    {"mistral", true},
    {"qwen2", false},
    {"qwen3", false},
    {"smollm3", true},
    {"granite", true},
});

/// Where a layer's matrix goes, and what it is called in each format.
struct MatrixRow {
  Matrix Layer::*place;
  std::string_view gguf, hugging_face;
};
constexpr MatrixRow kMatrices[] = {
    {&Layer::query, "attn_q", "self_attn.q_proj"},       {&Layer::key, "attn_k", "self_attn.k_proj"},
    {&Layer::value, "attn_v", "self_attn.v_proj"},       {&Layer::attention_out, "attn_output", "self_attn.o_proj"},
    {&Layer::gate, "ffn_gate", "mlp.gate_proj"},         {&Layer::up, "ffn_up", "mlp.up_proj"},
    {&Layer::down, "ffn_down", "mlp.down_proj"},
};
struct VectorRow {
  Floats Layer::*place;
  std::string_view gguf, hugging_face;
  bool needed;
};
constexpr VectorRow kVectors[] = {
    {&Layer::attention_norm, "attn_norm.weight", "input_layernorm.weight", true},
    {&Layer::feed_norm, "ffn_norm.weight", "post_attention_layernorm.weight", true},
    {&Layer::query_bias, "attn_q.bias", "self_attn.q_proj.bias", false},
    {&Layer::key_bias, "attn_k.bias", "self_attn.k_proj.bias", false},
    {&Layer::value_bias, "attn_v.bias", "self_attn.v_proj.bias", false},
    {&Layer::query_norm, "attn_q_norm.weight", "self_attn.q_norm.weight", false},
    {&Layer::key_norm, "attn_k_norm.weight", "self_attn.k_norm.weight", false},
};

class Builder {
 public:
  Builder(Decoder& decoder, Tensors& tensors, Names names) : decoder_(decoder), tensors_(tensors), gguf_(names == Names::gguf) {}

  Status run(std::size_t layers) {
    decoder_.embedding = TRY(matrix(gguf_ ? "token_embd.weight" : "model.embed_tokens.weight", 0, decoder_.hidden));
    decoder_.vocabulary = decoder_.embedding.rows;
    const std::string output = gguf_ ? "output.weight" : "lm_head.weight";
    decoder_.output = decoder_.embedding;
    if (tensors_.contains(output)) decoder_.output = TRY(matrix(output, decoder_.vocabulary, decoder_.hidden));
    decoder_.output_norm = TRY(vector(gguf_ ? "output_norm.weight" : "model.norm.weight", decoder_.hidden));
    decoder_.layers.resize(layers);
    for (std::size_t i = 0; i < layers; ++i) TRY(layer(decoder_.layers[i], i));
    for (const auto& [name, tensor] : tensors_) {
      if (!tensor.used) return fail(Code::unsupported, fmt::format("{}: this family has no use for the tensor {}", decoder_.family, mlxbase::printable(name)));
    }
    return {};
  }

 private:
  Status layer(Layer& layer, std::size_t number) {
    const std::string prefix = gguf_ ? fmt::format("blk.{}.", number) : fmt::format("model.layers.{}.", number);
    const std::size_t q = decoder_.heads * decoder_.head_size, kv = decoder_.kv_heads * decoder_.head_size;
    const std::pair<std::size_t, std::size_t> shapes[] = {{q, decoder_.hidden}, {kv, decoder_.hidden}, {kv, decoder_.hidden}, {decoder_.hidden, q},
                                                          {decoder_.feed, decoder_.hidden}, {decoder_.feed, decoder_.hidden}, {decoder_.hidden, decoder_.feed}};
    for (std::size_t i = 0; i < std::size(kMatrices); ++i) {
      const MatrixRow& row = kMatrices[i];
      layer.*row.place = TRY(matrix(fmt::format("{}{}.weight", prefix, gguf_ ? row.gguf : row.hugging_face), shapes[i].first, shapes[i].second));
    }
    const std::size_t lengths[] = {decoder_.hidden, decoder_.hidden, q, kv, kv, decoder_.head_size, decoder_.head_size};
    for (std::size_t i = 0; i < std::size(kVectors); ++i) {
      const VectorRow& row = kVectors[i];
      const std::string name = fmt::format("{}{}", prefix, gguf_ ? row.gguf : row.hugging_face);
      if (row.needed || tensors_.contains(name)) layer.*row.place = TRY(vector(name, lengths[i]));
    }
    if (layer.query_norm.empty() != layer.key_norm.empty()) return fail(Code::corrupt, fmt::format("layer {} norms only one of query and key", number));
    return {};
  }

  Result<Matrix> matrix(const std::string& name, std::size_t rows, std::size_t columns) {
    const auto at = tensors_.find(name);
    if (at == tensors_.end()) return fail(Code::corrupt, fmt::format("the tensor {} is missing", name));
    const Matrix& m = at->second.matrix;
    if ((rows != 0 && m.rows != rows) || m.columns != columns || m.rows == 0) {
      return fail(Code::corrupt, fmt::format("the tensor {} is {} x {}, not {} x {}", name, m.rows, m.columns, rows, columns));
    }
    at->second.used = true;
    return m;
  }
  Result<Floats> vector(const std::string& name, std::size_t length) {
    const Matrix m = TRY(matrix(name, 1, length));
    Floats values(length);
    row_to_floats(m, 0, values.data());
    return values;
  }

  Decoder& decoder_;
  Tensors& tensors_;
  bool gguf_;
};

}  // namespace

const Family* find_family(std::string_view name) {
  for (const Family& family : kFamilies) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

Status build(Decoder& decoder, Tensors& tensors, Names names, std::size_t layers) {
  const bool sane = decoder.hidden > 0 && decoder.heads > 0 && decoder.kv_heads > 0 && decoder.head_size > 0 && decoder.feed > 0 && layers > 0 &&
                    decoder.heads <= 4096 && decoder.head_size <= 4096 && layers <= 4096 && decoder.hidden <= kMostColumns && decoder.heads * decoder.head_size <= kMostColumns && decoder.feed <= kMostColumns;
  if (!sane || decoder.heads % decoder.kv_heads != 0 || decoder.rotated > decoder.head_size || decoder.rotated % 2 != 0) {
    return fail(Code::corrupt, fmt::format("{}: {} heads, {} of keys and values, {} values each make no decoder", decoder.family, decoder.heads, decoder.kv_heads, decoder.head_size));
  }
  if (decoder.attention_scale == 0) decoder.attention_scale = 1 / std::sqrt(static_cast<float>(decoder.head_size));
  return Builder(decoder, tensors, names).run(layers);
}

Floats plain_frequencies(double base, std::size_t rotated) {
  Floats out(rotated / 2);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rotated)));
  return out;
}

Result<std::unique_ptr<Model>> open(mlxbase::os::FileSystem& fs, const std::string& path) {
  const auto stat = TRY(fs.stat(path, mlxbase::os::Follow::yes));
  auto model = TRY(stat.kind == mlxbase::os::FileKind::directory ? open_folder(fs, path) : open_gguf(fs, path));
  if (model->tokenizer.size() > model->decoder.vocabulary) {
    return fail(Code::corrupt, fmt::format("the tokeniser has {} tokens, the model {}", model->tokenizer.size(), model->decoder.vocabulary));
  }
  return model;
}

}  // namespace mlxhub::model
