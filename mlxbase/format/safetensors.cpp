#include "mlxbase/format/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"

namespace mlxbase::safetensors {
namespace {

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  unsigned bits;
};
constexpr std::array<DtypeRow, 22> kDtypes = {{
    {Dtype::boolean, "BOOL", 8},
    {Dtype::f4, "F4", 4},
    {Dtype::f6_e2m3, "F6_E2M3", 6},
    {Dtype::f6_e3m2, "F6_E3M2", 6},
    {Dtype::u8, "U8", 8},
    {Dtype::i8, "I8", 8},
    {Dtype::f8_e5m2, "F8_E5M2", 8},
    {Dtype::f8_e4m3, "F8_E4M3", 8},
    {Dtype::f8_e8m0, "F8_E8M0", 8},
    {Dtype::f8_e4m3fnuz, "F8_E4M3FNUZ", 8},
    {Dtype::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    {Dtype::i16, "I16", 16},
    {Dtype::u16, "U16", 16},
    {Dtype::f16, "F16", 16},
    {Dtype::bf16, "BF16", 16},
    {Dtype::i32, "I32", 32},
    {Dtype::u32, "U32", 32},
    {Dtype::f32, "F32", 32},
    {Dtype::c64, "C64", 64},
    {Dtype::f64, "F64", 64},
    {Dtype::i64, "I64", 64},
    {Dtype::u64, "U64", 64},
}};

constexpr std::size_t kMaxDimensions = 64;   // no framework makes more; bounds what one tensor can cost
constexpr int kMaxDepth = 32;                // of members we do not know
constexpr std::size_t kMaxNameBytes = 4096;  // in messages and memory

/// Turns parser events straight into tensors: a document tree of a 100 MB header would cost gigabytes.
class Reader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Reader(Header& header) : header_(header) {}
  Error error{Code::corrupt, {}, 0};

  bool null() override { return skipping() || (state_ == State::top && key_ == "__metadata__") || bad("null"); }
  bool boolean(bool) override { return skipping() || bad("a boolean"); }
  bool number_float(number_float_t, const string_t&) override { return skipping() || bad("a fraction"); }
  bool binary(binary_t&) override { return bad("binary"); }
  bool number_integer(number_integer_t) override { return skipping() || bad("a negative number"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (skipping()) return true;
    if (state_ == State::shape) {
      if (tensor_.shape.size() == kMaxDimensions) return refuse(fmt::format("more than {} dimensions", kMaxDimensions));
      tensor_.shape.push_back(value);
      return true;
    }
    if (state_ == State::offsets) {
      if (offsets_ == 0) tensor_.begin = value;
      if (offsets_ == 1) tensor_.end = value;
      if (++offsets_ > 2) return refuse("more than two data_offsets");
      return true;
    }
    return bad("a number");
  }
  bool string(string_t& text) override {
    if (skipping()) return true;
    if (state_ == State::metadata) {
      header_.metadata.emplace_back(std::move(key_), std::move(text));
      return true;
    }
    if (state_ == State::tensor && key_ == "dtype" && !has_dtype_) {
      const auto dtype = parse_dtype(text);
      if (!dtype) {
        error.code = Code::unsupported;
        return refuse(fmt::format("unknown dtype {}", printable(text.substr(0, 32))));
      }
      tensor_.dtype = *dtype;
      has_dtype_ = true;
      return true;
    }
    return bad("a string");
  }
  bool start_object(std::size_t) override {
    if (skipping()) return deeper();
    if (state_ == State::start) {
      state_ = State::top;
      return true;
    }
    if (state_ != State::top) return bad("an object");
    if (key_ == "__metadata__") {
      state_ = State::metadata;
      return true;
    }
    state_ = State::tensor;
    tensor_ = Tensor{.name = std::move(key_), .dtype = {}, .shape = {}, .begin = 0, .end = 0};
    has_dtype_ = has_shape_ = false;
    offsets_ = 0;
    return true;
  }
  bool end_object() override {
    if (skip_ > 0) {
      --skip_;
      return true;
    }
    if (state_ == State::tensor) {
      if (!has_dtype_ || !has_shape_ || offsets_ != 2) return refuse("dtype, shape or data_offsets is missing");
      header_.tensors.push_back(std::move(tensor_));
      tensor_ = {};
      state_ = State::top;
      return true;
    }
    state_ = state_ == State::metadata ? State::top : State::end;
    return true;
  }
  bool key(string_t& name) override {
    if (skip_ > 0) return true;
    // A name given twice means different things to different readers.
    if (name.size() > kMaxNameBytes) return refuse("a name is too long");
    if (state_ == State::top && !names_.insert(name).second) return refuse(fmt::format("name given twice: {}", printable(name)));
    if (state_ == State::metadata && !metadata_names_.insert(name).second) return refuse(fmt::format("name given twice: {}", printable(name)));
    key_ = std::move(name);
    return true;
  }
  bool start_array(std::size_t) override {
    if (skipping()) return deeper();
    if (state_ == State::tensor && key_ == "shape" && !has_shape_) {
      has_shape_ = true;
      state_ = State::shape;
      return true;
    }
    if (state_ == State::tensor && key_ == "data_offsets" && offsets_ == 0) {
      state_ = State::offsets;
      return true;
    }
    return bad("an array");
  }
  bool end_array() override {
    if (skip_ > 0) {
      --skip_;
      return true;
    }
    if (state_ == State::offsets && offsets_ != 2) return refuse("data_offsets needs two numbers");
    state_ = State::tensor;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    if (error.message.empty()) error.message = fmt::format("safetensors header: not JSON at byte {}", position);
    return false;
  }

 private:
  enum class State : std::uint8_t { start, top, metadata, tensor, shape, offsets, end };

  bool refuse(std::string_view why) {
    error.message = tensor_.name.empty() ? fmt::format("safetensors header: {}", why)
                                         : fmt::format("safetensors header, tensor {}: {}", printable(tensor_.name), why);
    return false;
  }
  /// Whether the value at hand belongs to a member of a tensor that this version does not know: readers pass over those.
  bool skipping() const {
    return skip_ > 0 || (state_ == State::tensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets");
  }
  bool deeper() { return ++skip_ <= kMaxDepth || refuse("nested too deep"); }
  bool bad(std::string_view what) { return refuse(fmt::format("{} where the format has none", what)); }

  Header& header_;
  State state_ = State::start;
  std::string key_;
  Tensor tensor_;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  int offsets_ = 0;
  int skip_ = 0;  // open brackets of an unknown member
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_names_;
};

/// Bytes the shape takes; empty on overflow or a fraction of a byte.
std::optional<std::uint64_t> bytes_of(const Tensor& tensor) {
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0U) != tensor.shape.end()) return 0;
  std::uint64_t elements = 1;
  for (const std::uint64_t dimension : tensor.shape) {
    if (elements > std::numeric_limits<std::uint64_t>::max() / dimension) return std::nullopt;
    elements *= dimension;
  }
  const std::uint64_t bits = bits_of(tensor.dtype);
  if (elements > std::numeric_limits<std::uint64_t>::max() / bits) return std::nullopt;
  if (elements * bits % 8 != 0) return std::nullopt;
  return elements * bits / 8;
}

Status check_layout(Header& header) {
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const Tensor& a, const Tensor& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::uint64_t at = 0;
  for (const Tensor& tensor : header.tensors) {
    const auto refuse = [&](std::string_view why) {
      return fail(Code::corrupt, fmt::format("safetensors header, tensor {}: {}", printable(tensor.name), why));
    };
    if (tensor.begin != at) return refuse(tensor.begin < at ? "overlaps the one before" : "leaves a gap before it");
    if (tensor.end < tensor.begin) return refuse("ends before it begins");
    const auto bytes = bytes_of(tensor);
    if (!bytes || tensor.end - tensor.begin != *bytes) return refuse("its length is not what shape and dtype give");
    at = tensor.end;
  }
  // The whole file must have a length that can be written down.
  if (at > std::numeric_limits<std::uint64_t>::max() - header.data_start()) return fail(Code::corrupt, "safetensors header: offsets overflow");
  return {};
}

Result<std::uint64_t> header_length(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  const auto length = in.get<std::uint64_t>();
  if (!in.ok()) return fail(Code::corrupt, "safetensors: shorter than its 8 length bytes");
  if (length > kMaxHeaderBytes) return fail(Code::corrupt, fmt::format("safetensors: header length {} is over the limit of {}", length, kMaxHeaderBytes));
  if (length < 2) return fail(Code::corrupt, "safetensors: header length too small for JSON");
  return length;
}

}  // namespace

std::string_view to_string(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].name; }
unsigned bits_of(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].bits; }
std::optional<Dtype> parse_dtype(std::string_view name) {
  for (const DtypeRow& row : kDtypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

Result<Header> parse_header(std::span<const std::byte> bytes) {
  Header header;
  header.header_bytes = TRY(header_length(bytes));
  if (bytes.size() - 8 < header.header_bytes) {
    return fail(Code::corrupt, fmt::format("safetensors: header of {} bytes is cut off after {}", header.header_bytes, bytes.size() - 8));
  }
  const std::string_view text = as_text(bytes.subspan(8, static_cast<std::size_t>(header.header_bytes)));
  Reader reader(header);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) return fail(std::move(reader.error));
  TRY(check_layout(header));
  return header;
}

Result<Header> read_header(const ByteSource& source) {
  std::vector<std::byte> bytes(8);
  std::size_t got = TRY(source.read(0, bytes));
  bytes.resize(got);
  const std::uint64_t length = TRY(header_length(bytes));
  if (source.size < 8 || source.size - 8 < length) {  // before memory is taken for it
    return fail(Code::corrupt, fmt::format("safetensors: header of {} bytes in a file of {}", length, source.size));
  }
  bytes.resize(static_cast<std::size_t>(8 + length));
  got = TRY(source.read(8, std::span(bytes).subspan(8)));
  bytes.resize(8 + got);
  return parse_header(bytes);
}

Status check_file_size(const Header& header, std::uint64_t file_size) {
  const std::uint64_t expected = header.expected_file_size();
  if (file_size == expected) return {};
  return fail(Code::corrupt, fmt::format("safetensors: the header describes a file of {} bytes, this one has {}{}", expected, file_size,
                                         file_size < expected ? " (cut short)" : " (bytes after the last tensor)"));
}

std::vector<std::byte> encode_header(const Header& header) {
  json::Object top;
  top.reserve(header.tensors.size() + 1);
  if (!header.metadata.empty()) {
    json::Object metadata;
    for (const auto& [name, text] : header.metadata) metadata.emplace_back(name, text);
    top.emplace_back("__metadata__", std::move(metadata));
  }
  for (const Tensor& tensor : header.tensors) {
    json::Array shape;
    for (const std::uint64_t dimension : tensor.shape) shape.emplace_back(dimension);
    json::Object row;
    row.emplace_back("dtype", to_string(tensor.dtype));
    row.emplace_back("shape", std::move(shape));
    row.emplace_back("data_offsets", json::Array{tensor.begin, tensor.end});
    top.emplace_back(tensor.name, std::move(row));
  }
  std::string text = json::dump(json::Value(std::move(top)));
  text.append((8 - text.size() % 8) % 8, ' ');
  ByteWriter out;
  out.put<std::uint64_t>(text.size());
  out.put_bytes(as_bytes(text));
  return out.take();
}

Facts facts(const Header& header) {
  Facts out;
  out.tensors = header.tensors.size();
  std::map<std::string_view, std::uint64_t> bytes;
  bool words = false;
  bool scales = false;
  for (const Tensor& tensor : header.tensors) {
    out.elements += (tensor.end - tensor.begin) * 8 / bits_of(tensor.dtype);
    bytes[to_string(tensor.dtype)] += tensor.end - tensor.begin;
    words = words || ((tensor.dtype == Dtype::u32 || tensor.dtype == Dtype::i32) && tensor.shape.size() >= 2);
    scales = scales || tensor.name.ends_with(".scales");
  }
  out.packed = words && scales;
  std::uint64_t most = 0;
  for (const auto& [name, n] : bytes) {
    if (n >= most) {
      most = n;
      out.dtype = name;
    }
  }
  for (const auto& [name, text] : header.metadata) {
    if (name == "format") out.format = text;
  }
  return out;
}

}  // namespace mlxbase::safetensors
