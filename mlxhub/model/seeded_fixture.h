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
#include "mlxhub/text/letters_fixture.h"

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

using text::letter_tokenizer;

}  // namespace mlxhub::model
