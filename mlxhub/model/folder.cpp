// A model from a folder as Hugging Face and MLX have them: config.json, tokenizer.json, safetensors.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"
#include "mlxbase/format/safetensors.h"
#include "mlxhub/model/builder.h"

namespace mlxhub::model {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace json = mlxbase::json;
namespace safetensors = mlxbase::safetensors;
using safetensors::Dtype;

constexpr std::uint64_t kConfigBytes = std::uint64_t{16} << 20U, kTokenizerBytes = std::uint64_t{128} << 20U;

/// Null if the file is not there. Errors: corrupt, io.
Result<json::Value> read_json(mlxbase::os::FileSystem& fs, const std::string& path) {
  auto text = mlxbase::os::read_small_file(fs, path, kConfigBytes);
  if (!text && text.error().code == Code::not_found) return json::Value();
  if (!text) return fail(text.error());
  return json::parse(*text);
}

std::optional<Coding> coding_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32: return Coding::f32;
    case Dtype::f16: return Coding::f16;
    case Dtype::bf16: return Coding::bf16;
    default: return std::nullopt;
  }
}

struct Stored {
  safetensors::Tensor tensor;
  const std::byte* data;
};

/// The weights of one or more files, MLX's triples of weight, scales and biases put together.
Result<Tensors> tensors_of(const std::map<std::string, Stored, std::less<>>& stored, const json::Value& config) {
  Tensors tensors;
  const json::Value& quantised = config["quantization"].is_null() ? config["quantization_config"] : config["quantization"];
  const auto group_of = [&](const std::string& module) {
    const json::Value& own = quantised[module];
    return own.is_object() ? own["group_size"].u64(quantised["group_size"].u64()) : quantised["group_size"].u64();
  };
  for (const auto& [name, s] : stored) {
    const auto shown = mlxbase::printable(name);
    const bool part = name.ends_with(".scales") || name.ends_with(".biases");
    const std::string module = name.substr(0, name.rfind('.'));
    if (part && stored.contains(module + ".weight")) continue;
    if (name.ends_with(".rotary_emb.inv_freq")) continue;  // old files carry it; it follows from the configuration
    Matrix m{.rows = 1, .columns = 1, .data = s.data};
    if (!s.tensor.shape.empty()) m.columns = static_cast<std::size_t>(s.tensor.shape.back());
    for (std::size_t i = 0; i + 1 < s.tensor.shape.size(); ++i) m.rows *= static_cast<std::size_t>(s.tensor.shape[i]);
    m.row_bytes = m.rows == 0 ? 0 : static_cast<std::size_t>(s.tensor.end - s.tensor.begin) / m.rows;
    if (s.tensor.dtype == Dtype::u32) {
      const auto scales = stored.find(module + ".scales"), biases = stored.find(module + ".biases");
      const std::uint64_t group = group_of(module);
      if (scales == stored.end() || biases == stored.end() || group == 0) return fail(Code::unsupported, fmt::format("{} is quantised in a way that is not built", shown));
      const auto coding = coding_of(scales->second.tensor.dtype);
      const auto& shape = scales->second.tensor.shape;
      if (!coding || biases->second.tensor.dtype != scales->second.tensor.dtype || shape.size() != 2 || biases->second.tensor.shape != shape || shape[0] != m.rows || shape[1] == 0) {
        return fail(Code::corrupt, fmt::format("the scales of {} do not fit it", shown));
      }
      const std::size_t words = m.columns;
      m.columns = static_cast<std::size_t>(shape[1] * group);
      const std::size_t bits = m.columns == 0 ? 0 : words * 32 / m.columns;
      if (bits < 2 || bits > 8 || bits * m.columns != words * 32) return fail(Code::corrupt, fmt::format("{} has codes of {} bits", shown, bits));
      m.coding = Coding::affine;
      m.bits = static_cast<unsigned>(bits);
      m.group = static_cast<unsigned>(group);
      m.scales = scales->second.data;
      m.biases = biases->second.data;
      m.scale_coding = *coding;
    } else if (const auto coding = coding_of(s.tensor.dtype)) {
      m.coding = *coding;
    } else {
      return fail(Code::unsupported, fmt::format("{} is coded as {}, which is not built", shown, safetensors::to_string(s.tensor.dtype)));
    }
    tensors.emplace(name, Tensor{.matrix = m});
  }
  return tensors;
}

Status rope(Decoder& decoder, const json::Value& config) {
  const json::Value& parameters = config["rope_parameters"];
  const json::Value& scaling = parameters.is_object() ? parameters : config["rope_scaling"];
  const double base = parameters["rope_theta"].number(config["rope_theta"].number(10000));
  decoder.rope_frequencies = plain_frequencies(base, decoder.rotated);
  const std::string type = scaling["rope_type"].string(scaling["type"].string("default"));
  if (type == "default") return {};
  const double factor = scaling["factor"].number(1);
  if (type == "linear") {
    for (float& f : decoder.rope_frequencies) f = static_cast<float>(f / factor);
    return {};
  }
  if (type != "llama3") return fail(Code::unsupported, fmt::format("config.json: rope scaled by '{}' is not built", mlxbase::printable(type)));
  // Llama 3.1: long waves are stretched by the factor, short ones are not, in between goes smoothly.
  const double low = scaling["low_freq_factor"].number(1), high = scaling["high_freq_factor"].number(4);
  const double original = scaling["original_max_position_embeddings"].number(8192);
  for (float& f : decoder.rope_frequencies) {
    const double wave = 2 * std::numbers::pi / f;
    if (wave > original / low) {
      f = static_cast<float>(f / factor);
    } else if (wave >= original / high) {
      const double smooth = (original / wave - low) / (high - low);
      f = static_cast<float>((1 - smooth) * f / factor + smooth * f);
    }
  }
  return {};
}

Result<Decoder> decoder_of(const json::Value& config, Tensors& tensors) {
  Decoder decoder;
  decoder.family = config["model_type"].string();
  if (find_family(decoder.family) == nullptr) {
    return fail(Code::unsupported, fmt::format("config.json: the architecture '{}' is not built", mlxbase::printable(decoder.family)));
  }
  const auto count = [&](std::string_view key, std::uint64_t otherwise = 0) { return static_cast<std::size_t>(config[key].u64(otherwise)); };
  decoder.hidden = count("hidden_size");
  decoder.heads = count("num_attention_heads");
  decoder.kv_heads = count("num_key_value_heads", decoder.heads);
  if (decoder.heads == 0) return fail(Code::corrupt, "config.json: num_attention_heads is missing");
  decoder.head_size = count("head_dim", decoder.hidden / decoder.heads);
  decoder.feed = count("intermediate_size");
  decoder.context = count("max_position_embeddings", 2048);
  decoder.rotated = decoder.head_size;
  if (const double part = config["partial_rotary_factor"].number(config["rope_parameters"]["partial_rotary_factor"].number(1)); part != 1) {
    decoder.rotated = static_cast<std::size_t>(static_cast<double>(decoder.head_size) * part);
  }
  const bool slides = config["use_sliding_window"].boolean(decoder.family == "mistral");
  // Up to its window a sliding model answers as one that does not slide.
  if (const auto window = count("sliding_window"); slides && window > 0) decoder.context = std::min(decoder.context, window);
  decoder.norm_epsilon = static_cast<float>(config["rms_norm_eps"].number(1e-6));
  if (const std::string act = config["hidden_act"].string("silu"); act != "silu") return fail(Code::unsupported, fmt::format("config.json: hidden_act '{}' is not built", mlxbase::printable(act)));
  decoder.embedding_scale = static_cast<float>(config["embedding_multiplier"].number(1));
  decoder.residual_scale = static_cast<float>(config["residual_multiplier"].number(1));
  decoder.attention_scale = static_cast<float>(config["attention_multiplier"].number(0));
  decoder.logit_scale = static_cast<float>(1 / config["logits_scaling"].number(1));
  TRY(rope(decoder, config));
  const std::size_t layers = count("num_hidden_layers");
  if (config["tie_word_embeddings"].boolean(false)) tensors.erase("lm_head.weight");  // some files carry the copy
  TRY(build(decoder, tensors, Names::hugging_face, layers));
  if (decoder.family == "smollm3") {
    const json::Array& with = config["no_rope_layers"].array();
    const std::size_t every = count("no_rope_layer_interval", 4);
    for (std::size_t i = 0; i < layers; ++i) decoder.layers[i].rope = i < with.size() ? with[i].u64(1) != 0 : every == 0 || (i + 1) % every != 0;
  }
  return decoder;
}

std::string token_text(const json::Value& value) { return value.is_object() ? value["content"].string() : value.string(); }

std::string template_in(const json::Value& value) {
  if (const std::string* text = value.if_string()) return *text;
  for (const json::Value& named : value.array()) {
    if (named["name"].string() == "default") return named["template"].string();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Model>> open_folder(mlxbase::os::FileSystem& fs, const std::string& path) {
  using mlxbase::path::join;
  const json::Value config = TRY(read_json(fs, join(path, "config.json")));
  if (config.is_null()) return fail(Code::not_found, fmt::format("{}: no config.json is there", mlxbase::printable(path)));
  std::vector<mlxbase::os::Mapping> mappings;
  std::map<std::string, Stored, std::less<>> stored;
  std::uint64_t bytes = 0;
  for (const auto& entry : TRY(fs.list(path))) {
    if (!entry.name.ends_with(".safetensors")) continue;
    const std::string file_path = join(path, entry.name);
    const auto file = TRY(fs.open_read(file_path, mlxbase::os::Follow::yes));
    auto mapping = TRY(mlxbase::os::Mapping::of(*file, file_path));
    const auto header = TRY(safetensors::parse_header(mapping.bytes()));
    TRY(safetensors::check_file_size(header, mapping.bytes().size()));
    for (const auto& tensor : header.tensors) {
      if (!stored.emplace(tensor.name, Stored{tensor, mapping.bytes().data() + header.data_start() + tensor.begin}).second) {
        return fail(Code::corrupt, fmt::format("{}: the tensor {} is there twice", mlxbase::printable(path), mlxbase::printable(tensor.name)));
      }
    }
    bytes += mapping.bytes().size();
    mappings.push_back(std::move(mapping));
  }
  if (mappings.empty()) return fail(Code::not_found, fmt::format("{}: no .safetensors is there", mlxbase::printable(path)));
  Tensors tensors = TRY(tensors_of(stored, config));
  Decoder decoder = TRY(decoder_of(config, tensors));
  const std::string tokenizer_text = TRY(mlxbase::os::read_small_file(fs, join(path, "tokenizer.json"), kTokenizerBytes));
  text::Tokenizer tokenizer = TRY(text::Tokenizer::from_json(tokenizer_text));
  auto model = std::make_unique<Model>(Model{.name = std::string(mlxbase::path::file_name(path)), .decoder = std::move(decoder), .tokenizer = std::move(tokenizer)});
  const json::Value settings = TRY(read_json(fs, join(path, "tokenizer_config.json")));
  model->bos = token_text(settings["bos_token"]);
  model->eos = token_text(settings["eos_token"]);
  model->chat_template = template_in(settings["chat_template"]);
  if (auto own = mlxbase::os::read_small_file(fs, join(path, "chat_template.jinja"), kConfigBytes)) model->chat_template = std::move(*own);
  const json::Value generation = TRY(read_json(fs, join(path, "generation_config.json")));
  for (const json::Value* ids : {&generation["eos_token_id"], &config["eos_token_id"]}) {
    if (ids->is_integer()) model->ends.push_back(static_cast<text::TokenId>(ids->u64()));
    for (const json::Value& id : ids->array()) model->ends.push_back(static_cast<text::TokenId>(id.u64()));
  }
  if (const auto end = model->tokenizer.id_of(model->eos)) model->ends.push_back(*end);
  std::sort(model->ends.begin(), model->ends.end());
  model->ends.erase(std::unique(model->ends.begin(), model->ends.end()), model->ends.end());
  model->weight_bytes = bytes;
  model->mappings = std::move(mappings);
  return model;
}

}  // namespace mlxhub::model
