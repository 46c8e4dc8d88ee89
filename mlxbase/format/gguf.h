#pragma once
// The header of a GGUF file (versions 2 and 3, little-endian): metadata, tensor table, where the data begins and how long a
// whole file is. Rules: ggml `src/gguf.cpp`. No count or length in it is trusted.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"

namespace mlxbase::gguf {

enum class Type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

struct Value {
  Type type = Type::u8;
  std::uint64_t bits = 0;  // of a scalar: its bytes, signed ones sign-extended; a boolean is 0 or 1
  std::string text;        // of a string
  Type element = Type::u8;              // of an array, with
  std::uint64_t count = 0;              // its number of elements, and
  std::vector<std::byte> elements;      // their encoded bytes, if no more than Limits::kept_array_bytes
  friend bool operator==(const Value&, const Value&) = default;

  /// The value of an integer or boolean that is not negative.
  std::optional<std::uint64_t> if_unsigned() const;
};

struct KeyValue {
  std::string key;
  Value value;
  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> shape;  // fastest dimension first, at most 4
  std::uint32_t type = 0;            // ggml_type
  std::uint64_t offset = 0;          // from data_start
  std::uint64_t bytes = 0;           // by shape and type
  friend bool operator==(const Tensor&, const Tensor&) = default;
};

/// Holds only headers that keep the format's rules: keys and names unique, offsets the running sum of padded sizes.
struct Header {
  std::uint32_t version = 3;
  std::uint32_t alignment = 32;
  std::vector<KeyValue> metadata;
  std::vector<Tensor> tensors;
  std::uint64_t header_bytes = 0;  // before padding
  std::uint64_t data_start = 0;    // after padding; header_bytes if there are no tensors

  /// The shortest whole file: the last tensor need not be padded.
  std::uint64_t expected_file_size() const;
  /// The metadata of that key, or null.
  const Value* find(std::string_view key) const;
  friend bool operator==(const Header&, const Header&) = default;
};

/// What a header may cost, whatever it says. Real ones: under 30 MB (a vocabulary), 2,000 tensors, 100 keys.
struct Limits {
  std::uint64_t header_bytes = std::uint64_t{256} << 20U;
  std::uint64_t keys = 100'000;
  std::uint64_t tensors = 500'000;
  std::uint64_t string_bytes = std::uint64_t{16} << 20U;  // of one metadata string
  std::size_t kept_array_bytes = 4096;                    // longer arrays are stepped over
};

/// Reads and checks the header. Errors: corrupt (breaks a rule or is cut short), unsupported (big-endian, another version, a tensor
/// type newer than this table, over the limits), and those of the source.
Result<Header> read_header(const ByteSource& source, const Limits& limits = {});

/// Whether the file is long enough for all its tensors. Errors: corrupt, with both lengths.
Status check_file_size(const Header& header, std::uint64_t file_size);

/// Writes the header with its padding. Offsets and sizes are written as they stand; arrays need their elements kept.
std::vector<std::byte> encode_header(const Header& header);
/// Sets bytes and offset of each tensor from its shape and type; for tests that make files. Errors: invalid (a type that is not known).
Status lay_out(Header& header);

Value string_value(std::string_view text);
Value u32_value(std::uint32_t number);

/// "Q4_K"; empty if not known.
std::string_view tensor_type_name(std::uint32_t type);
/// "Q4_K_M" for general.file_type 15; empty if not known.
std::string_view file_type_name(std::uint64_t file_type);

/// What a person wants to know of the file.
struct Facts {
  std::string architecture, name, kind, size_label;  // general.architecture, .name, .type, .size_label; may be empty
  std::string quantisation;                          // by general.file_type, else the tensor type of most bytes
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;  // elements of all tensors of this file
  std::optional<std::uint64_t> context_length, blocks, split_no, split_count;
};
Facts facts(const Header& header);

}  // namespace mlxbase::gguf
