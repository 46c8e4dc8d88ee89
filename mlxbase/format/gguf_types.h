#pragma once
// ggml's tensor types: how many weights a block holds and how many bytes it takes (ggml-common.h).
#include <cstdint>
#include <string_view>

namespace mlxbase::gguf {

struct TensorType {
  std::uint32_t id;
  std::string_view name;
  std::uint64_t block;  // weights
  std::uint64_t bytes;  // of a block
};

/// The row of that id, or null: a type that was removed or is newer than this table.
const TensorType* find_tensor_type(std::uint32_t id);

}  // namespace mlxbase::gguf
