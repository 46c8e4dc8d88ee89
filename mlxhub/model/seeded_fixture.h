#pragma once
// Small models with seeded weights, for tests: the numbers are those that tests/hub/reference.py gives transformers.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/json.h"
#include "mlxbase/format/safetensors.h"

namespace mlxhub::model {

inline std::uint64_t seed_of(std::string_view name) {
  std::uint64_t value = 0xCBF29CE484222325U;
  for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return value;
}
inline std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ value >> 30U) * 0xBF58476D1CE4E5B9U;
  value = (value ^ value >> 27U) * 0x94D049BB133111EBU;
  return value ^ value >> 31U;
}
inline std::uint64_t noise_at(std::string_view name, std::uint64_t i) { return mixed(seed_of(name) + i * 0x9E3779B97F4A7C15U); }
inline float number_at(std::string_view name, std::uint64_t i, double spread, double centre) {
  return static_cast<float>(centre + (static_cast<double>(noise_at(name, i) >> 40U) / 16777216.0 - 0.5) * spread);
}

/// The model.safetensors of a case of decoders.json, in f32.
inline std::string seeded_weights(const mlxbase::json::Value& test_case) {
  mlxbase::safetensors::Header header;
  std::string data;
  for (const auto& named : test_case["tensors"].array()) {
    const std::string name = named.array()[0].string();
    mlxbase::safetensors::Tensor tensor{.name = name, .dtype = mlxbase::safetensors::Dtype::f32, .begin = data.size()};
    std::uint64_t count = 1;
    for (const auto& n : named.array()[1].array()) {
      tensor.shape.push_back(n.u64());
      count *= n.u64();
    }
    const bool norm = name.find("norm") != std::string::npos;
    for (std::uint64_t i = 0; i < count; ++i) {
      const float value = number_at(name, i, 0.5, norm ? 1.0 : 0.0);
      char bytes[4];
      std::memcpy(bytes, &value, 4);
      data.append(bytes, 4);
    }
    tensor.end = data.size();
    header.tensors.push_back(std::move(tensor));
  }
  return std::string(mlxbase::as_text(mlxbase::safetensors::encode_header(header))) + data;
}

/// A tokenizer.json of 96 tokens: three special ones, the space, and one for each sign from '!' on.
inline std::string letter_tokenizer() {
  using mlxbase::json::Value;
  Value vocabulary{mlxbase::json::Object{}}, added{mlxbase::json::Array{}};
  std::int64_t id = 0;
  for (const char* special : {"<pad>", "<bos>", "<|im_end|>"}) {
    Value token{mlxbase::json::Object{}};
    token.set("id", id).set("content", special).set("special", true).set("single_word", false).set("lstrip", false).set("rstrip", false).set("normalized", false);
    added.push(std::move(token));
    vocabulary.set(special, id++);
  }
  vocabulary.set("\xC4\xA0", id++);  // GPT-2's letter for the space
  for (char c = '!'; id < 96; ++c) vocabulary.set(std::string(1, c), id++);
  Value model{mlxbase::json::Object{}};
  model.set("type", "BPE").set("vocab", std::move(vocabulary)).set("merges", mlxbase::json::Array{});
  Value level{mlxbase::json::Object{}};
  level.set("type", "ByteLevel").set("add_prefix_space", false).set("trim_offsets", true).set("use_regex", true);
  Value out{mlxbase::json::Object{}};
  out.set("added_tokens", std::move(added)).set("pre_tokenizer", level).set("decoder", level).set("model", std::move(model));
  return mlxbase::json::dump(out);
}

}  // namespace mlxhub::model
