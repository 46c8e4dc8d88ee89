#pragma once
// From named tensors to the one description. Private to this room.
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "mlxhub/model/model.h"

namespace mlxhub::model {

struct Tensor {
  Matrix matrix;  // a vector has one row
  bool used = false;
};
using Tensors = std::map<std::string, Tensor, std::less<>>;

/// What of a family cannot be told from which tensors are there.
struct Family {
  std::string_view name;      // of GGUF's general.architecture and config.json's model_type alike
  bool neighbours_in_gguf;    // llama.cpp's converter permutes query and key so that rope turns neighbours
};
/// Null: not built.
const Family* find_family(std::string_view name);

enum class Names : std::uint8_t { gguf, hugging_face };

/// Takes every tensor to its place. `decoder` has all numbers but those that the tensors tell. Errors: corrupt (a tensor is missing or of
/// another shape), unsupported (one that nothing uses, or heads that do not fit).
mlxbase::Status build(Decoder& decoder, Tensors& tensors, Names names, std::size_t layers);

/// Frequencies of plain rope: base^(-2i/rotated).
Floats plain_frequencies(double base, std::size_t rotated);

mlxbase::Result<std::unique_ptr<Model>> open_gguf(mlxbase::os::FileSystem& fs, const std::string& path);
mlxbase::Result<std::unique_ptr<Model>> open_folder(mlxbase::os::FileSystem& fs, const std::string& path);

}  // namespace mlxhub::model
