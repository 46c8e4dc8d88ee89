#pragma once
// The header of a safetensors file: u64 length, JSON, tensor data to the end of the file.
// Rules: safetensors 0.8 `safetensors/src/tensor.rs`. No length in it is trusted.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"

namespace mlxbase::safetensors {

inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the official reader's limit

enum class Dtype : std::uint8_t {
  boolean, f4, f6_e2m3, f6_e3m2, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz,
  i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64,
};
/// As the format spells it: "BF16".
std::string_view to_string(Dtype dtype);
std::optional<Dtype> parse_dtype(std::string_view name);
unsigned bits_of(Dtype dtype);

struct Tensor {
  std::string name;
  Dtype dtype{};
  std::vector<std::uint64_t> shape;  // empty: a scalar
  std::uint64_t begin = 0;           // relative to the data, which starts at 8 + header_bytes
  std::uint64_t end = 0;
  friend bool operator==(const Tensor&, const Tensor&) = default;
};

/// Holds only headers that keep the format's rules: tensors ordered by `begin`, contiguous from 0, each as long as its
/// shape and dtype say, names unique.
struct Header {
  std::uint64_t header_bytes = 0;  // N, padding included
  std::vector<Tensor> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;  // "__metadata__", in the file's order

  std::uint64_t data_start() const { return 8 + header_bytes; }
  /// The only length a whole file can have.
  std::uint64_t expected_file_size() const { return data_start() + (tensors.empty() ? 0 : tensors.back().end); }
  friend bool operator==(const Header&, const Header&) = default;
};

/// Parses the header at the start of `bytes` (more may follow). Says nothing of the file's length.
/// Errors: corrupt (breaks a rule, or the header is cut short), unsupported (a dtype newer than this table).
Result<Header> parse_header(std::span<const std::byte> bytes);

/// Reads and parses the header of a whole file. Errors: those of parse_header and of the source.
Result<Header> read_header(const ByteSource& source);

/// Whether the file has exactly the length its header asks for. Errors: corrupt, with both lengths.
Status check_file_size(const Header& header, std::uint64_t file_size);

/// Writes length and JSON (padded with spaces to a multiple of 8, as the official writer does). Begin and end are taken from the
/// tensors; header_bytes is not used.
std::vector<std::byte> encode_header(const Header& header);

/// What a person wants to know of the file.
struct Facts {
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;   // stored elements; packed weights (MLX, GPTQ) count their words
  std::string dtype;            // of most bytes: "BF16"
  std::string format;           // metadata "format": "pt", "mlx"; may be empty
  bool packed = false;          // U32 or I32 weights with scales beside them: quantised, so elements are not parameters
};
Facts facts(const Header& header);

}  // namespace mlxbase::safetensors
