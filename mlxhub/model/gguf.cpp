// A model from a GGUF file.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/gguf.h"
#include "mlxbase/format/gguf_types.h"
#include "mlxhub/model/builder.h"

namespace mlxhub::model {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace gguf = mlxbase::gguf;

constexpr Coding kCodings[] = {Coding::f32,  Coding::f16,  Coding::q4_0, Coding::q4_1,   Coding::q5_0,   Coding::q5_1, Coding::q8_0, Coding::q2_k,
                               Coding::q3_k, Coding::q4_k, Coding::q5_k, Coding::q6_k,   Coding::iq4_nl, Coding::iq4_xs, Coding::bf16, Coding::mxfp4};

class Metadata {
 public:
  Metadata(const gguf::Header& header, std::string architecture) : header_(header), architecture_(std::move(architecture)) {}
  const gguf::Value* of_architecture(std::string_view key) const { return header_.find(fmt::format("{}.{}", architecture_, key)); }
  Result<std::size_t> count(std::string_view key, std::optional<std::size_t> otherwise = {}) const {
    const gguf::Value* value = of_architecture(key);
    if (value == nullptr && otherwise) return *otherwise;
    const auto number = value == nullptr ? std::nullopt : value->if_unsigned();
    if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return fail(Code::unsupported, fmt::format("GGUF: {}.{} is no number", architecture_, key));
    return static_cast<std::size_t>(*number);
  }
  float real(std::string_view key, float otherwise) const {
    const gguf::Value* value = of_architecture(key);
    if (value == nullptr || value->type != gguf::Type::f32) return otherwise;
    const auto bits = static_cast<std::uint32_t>(value->bits);
    float number = 0;
    std::memcpy(&number, &bits, 4);
    return number;
  }

 private:
  const gguf::Header& header_;
  std::string architecture_;
};

std::string text_of(const gguf::Header& header, std::string_view key) {
  const gguf::Value* value = header.find(key);
  return value != nullptr && value->type == gguf::Type::string ? value->text : std::string();
}

Result<Tensors> tensors_of(const gguf::Header& header, std::span<const std::byte> file) {
  Tensors tensors;
  for (const gguf::Tensor& t : header.tensors) {
    const auto coding = static_cast<Coding>(t.type);
    if (t.type > 200 || std::find(std::begin(kCodings), std::end(kCodings), coding) == std::end(kCodings)) {
      return fail(Code::unsupported, fmt::format("GGUF: the tensor {} is coded as {}, which is not built", mlxbase::printable(t.name), gguf::tensor_type_name(t.type)));
    }
    Matrix m{.coding = coding, .rows = 1, .columns = static_cast<std::size_t>(t.shape.empty() ? 1 : t.shape[0])};
    for (std::size_t i = 1; i < t.shape.size(); ++i) m.rows *= static_cast<std::size_t>(t.shape[i]);
    m.data = file.data() + header.data_start + t.offset;
    m.row_bytes = m.rows == 0 ? 0 : static_cast<std::size_t>(t.bytes) / m.rows;
    tensors.emplace(t.name, Tensor{.matrix = m});
  }
  return tensors;
}

Status rope(Decoder& decoder, const Metadata& metadata, Tensors& tensors) {
  decoder.rope_frequencies = plain_frequencies(metadata.real("rope.freq_base", 10000), decoder.rotated);
  const gguf::Value* type = metadata.of_architecture("rope.scaling.type");
  if (type != nullptr && type->text == "linear") {
    const float factor = metadata.real("rope.scaling.factor", 1);
    for (float& f : decoder.rope_frequencies) f /= factor;
  } else if (type != nullptr && type->text != "none") {
    return fail(Code::unsupported, fmt::format("GGUF: rope scaled by '{}' is not built", mlxbase::printable(type->text)));
  }
  if (const auto factors = tensors.find("rope_freqs.weight"); factors != tensors.end()) {  // llama 3.1 and later
    if (factors->second.matrix.columns != decoder.rope_frequencies.size()) return fail(Code::corrupt, "GGUF: rope_freqs.weight has another length than half a head");
    Floats by(decoder.rope_frequencies.size());
    row_to_floats(factors->second.matrix, 0, by.data());
    for (std::size_t i = 0; i < by.size(); ++i) decoder.rope_frequencies[i] /= by[i];
    factors->second.used = true;
  }
  return {};
}

Result<Decoder> decoder_of(const gguf::Header& header, std::span<const std::byte> file) {
  Decoder decoder;
  decoder.family = text_of(header, "general.architecture");
  const Family* const family = find_family(decoder.family);
  if (family == nullptr) return fail(Code::unsupported, fmt::format("GGUF: the architecture '{}' is not built", mlxbase::printable(decoder.family)));
  const Metadata metadata(header, decoder.family);
  decoder.hidden = TRY(metadata.count("embedding_length"));
  decoder.heads = TRY(metadata.count("attention.head_count"));
  decoder.kv_heads = TRY(metadata.count("attention.head_count_kv", decoder.heads));
  if (decoder.heads == 0) return fail(Code::corrupt, "GGUF: the model has no heads");
  decoder.head_size = TRY(metadata.count("attention.key_length", decoder.hidden / decoder.heads));
  if (TRY(metadata.count("attention.value_length", decoder.head_size)) != decoder.head_size) return fail(Code::unsupported, "GGUF: values that are of another length than keys are not built");
  decoder.feed = TRY(metadata.count("feed_forward_length"));
  decoder.context = TRY(metadata.count("context_length"));
  decoder.rotated = TRY(metadata.count("rope.dimension_count", decoder.head_size));
  decoder.neighbours = family->neighbours_in_gguf;
  decoder.norm_epsilon = metadata.real("attention.layer_norm_rms_epsilon", 1e-5F);
  decoder.attention_scale = metadata.real("attention.scale", 0);
  decoder.embedding_scale = metadata.real("embedding_scale", 1);
  decoder.residual_scale = metadata.real("residual_scale", 1);
  decoder.logit_scale = 1 / metadata.real("logit_scale", 1);
  if (TRY(metadata.count("expert_count", 0)) != 0) return fail(Code::unsupported, "GGUF: mixtures of experts are not built");
  Tensors tensors = TRY(tensors_of(header, file));
  TRY(rope(decoder, metadata, tensors));
  const std::size_t layers = TRY(metadata.count("block_count"));
  TRY(build(decoder, tensors, Names::gguf, layers));
  if (decoder.family == "smollm3") {
    for (std::size_t i = 3; i < layers; i += 4) decoder.layers[i].rope = false;  // llama.cpp, build_smollm3: every fourth
  }
  return decoder;
}

}  // namespace

Result<std::unique_ptr<Model>> open_gguf(mlxbase::os::FileSystem& fs, const std::string& path) {
  const auto file = TRY(fs.open_read(path, mlxbase::os::Follow::yes));
  auto mapping = TRY(mlxbase::os::Mapping::of(*file, path));
  const auto source = mlxbase::ByteSource::of(mapping.bytes());
  const gguf::Header header = TRY(gguf::read_header(source, {.kept_array_bytes = std::size_t{128} << 20U}));
  TRY(gguf::check_file_size(header, mapping.bytes().size()));
  if (const gguf::Value* split = header.find("split.count"); split != nullptr && split->if_unsigned().value_or(1) > 1) {
    return fail(Code::unsupported, "GGUF: models in several files are not built");
  }
  Decoder decoder = TRY(decoder_of(header, mapping.bytes()));
  text::Tokenizer tokenizer = TRY(text::Tokenizer::from_gguf(header));
  auto model = std::make_unique<Model>(Model{.name = std::string(mlxbase::path::file_name(path)), .decoder = std::move(decoder), .tokenizer = std::move(tokenizer)});
  model->chat_template = text_of(header, "tokenizer.chat_template");
  const auto id = [&](std::string_view key) -> std::optional<text::TokenId> {
    const gguf::Value* value = header.find(key);
    const auto number = value == nullptr ? std::nullopt : value->if_unsigned();
    if (!number || *number >= model->tokenizer.size()) return std::nullopt;
    return static_cast<text::TokenId>(*number);
  };
  if (const auto bos = id("tokenizer.ggml.bos_token_id")) model->bos = model->tokenizer.token(*bos);
  if (const auto eos = id("tokenizer.ggml.eos_token_id")) model->eos = model->tokenizer.token(*eos);
  for (const std::string_view key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (const auto end = id(key)) model->ends.push_back(*end);
  }
  // Many files name only the end of a text; what ends a turn is known by its spelling.
  for (const std::string_view token : {"<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>", "<|end|>"}) {
    if (const auto end = model->tokenizer.id_of(token); end && model->tokenizer.is_special(*end)) model->ends.push_back(*end);
  }
  std::sort(model->ends.begin(), model->ends.end());
  model->ends.erase(std::unique(model->ends.begin(), model->ends.end()), model->ends.end());
  model->weight_bytes = mapping.bytes().size();
  model->mappings.push_back(std::move(mapping));
  return model;
}

}  // namespace mlxhub::model
