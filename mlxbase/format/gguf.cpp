#include "mlxbase/format/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <unordered_set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/gguf_types.h"

namespace mlxbase::gguf {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxDims = 4;
constexpr std::size_t kMaxTensorName = 63;   // GGML_MAX_NAME less its terminator
constexpr std::uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;         // length, one character, type, one byte
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;      // length, n_dims, type, offset
constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 30U;

/// Reads front to back through a window, so that a header of any size costs little memory.
class Cursor {
 public:
  Cursor(const ByteSource& source, std::uint64_t limit) : source_(source), end_(std::min(source.size, limit)), over_(source.size > limit) {}

  std::uint64_t position() const { return at_; }
  std::uint64_t left() const { return end_ - at_; }

  Result<std::uint64_t> integer(std::size_t bytes) {
    TRY(need(bytes));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::to_integer<std::uint64_t>(window_[at_ - window_start_ + i]) << (8 * i);
    at_ += bytes;
    return value;
  }
  Result<std::string> text(std::uint64_t bytes) {
    TRY(fits(bytes));
    std::string out;
    out.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kWindow)));
    while (bytes > 0) {
      const std::uint64_t n = std::min<std::uint64_t>(bytes, kWindow);
      TRY(need(static_cast<std::size_t>(n)));
      out.append(as_text(std::span(window_).subspan(static_cast<std::size_t>(at_ - window_start_), static_cast<std::size_t>(n))));
      at_ += n;
      bytes -= n;
    }
    return out;
  }
  Status skip(std::uint64_t bytes) {
    TRY(fits(bytes));
    at_ += bytes;
    return {};
  }
  /// Whether that much more lies before the end; nothing is read.
  Status fits(std::uint64_t bytes) const {
    if (bytes <= left()) return {};
    if (over_) return fail(Code::unsupported, fmt::format("GGUF: header larger than {} bytes", end_));
    return fail(Code::corrupt, fmt::format("GGUF: header cut short at byte {}", source_.size));
  }

 private:
  static constexpr std::size_t kWindow = std::size_t{64} << 10U;

  Status need(std::size_t bytes) {
    TRY(fits(bytes));
    if (at_ >= window_start_ && at_ + bytes <= window_start_ + window_.size()) return {};
    window_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(std::max(kWindow, bytes), left())));
    window_start_ = at_;
    const std::size_t got = TRY(source_.read(at_, window_));
    window_.resize(got);
    if (got < bytes) return fail(Code::corrupt, fmt::format("GGUF: header cut short at byte {}", at_ + got));
    return {};
  }

  const ByteSource& source_;
  std::uint64_t end_;
  bool over_;
  std::uint64_t at_ = 0;
  std::uint64_t window_start_ = 0;
  std::vector<std::byte> window_;
};

/// Bytes of a scalar; 0 for strings, arrays and what is no type.
std::size_t scalar_bytes(std::uint64_t type) {
  switch (static_cast<Type>(type)) {
    case Type::u8:
    case Type::i8:
    case Type::boolean: return 1;
    case Type::u16:
    case Type::i16: return 2;
    case Type::u32:
    case Type::i32:
    case Type::f32: return 4;
    case Type::u64:
    case Type::i64:
    case Type::f64: return 8;
    case Type::string:
    case Type::array: break;
  }
  return 0;
}

std::uint64_t normal_bits(Type type, std::uint64_t raw) {
  switch (type) {
    case Type::boolean: return raw != 0 ? 1 : 0;
    case Type::i8: return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int8_t>(raw)));
    case Type::i16: return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int16_t>(raw)));
    case Type::i32: return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(raw)));
    default: return raw;
  }
}

Result<std::string> read_string(Cursor& in, std::uint64_t limit) {
  const std::uint64_t length = TRY(in.integer(8));
  if (length > limit) {
    TRY(in.fits(length));  // cut short is the better reason
    return fail(Code::unsupported, fmt::format("GGUF: a string of {} bytes", length));
  }
  return in.text(length);
}

Result<Value> read_array(Cursor& in, const ByteSource& source, const Limits& limits) {
  Value value{.type = Type::array, .bits = 0, .text = {}, .element = {}, .count = 0, .elements = {}};
  const std::uint64_t element = TRY(in.integer(4));
  value.element = static_cast<Type>(element);
  value.count = TRY(in.integer(8));
  const std::uint64_t start = in.position();
  if (value.element == Type::string) {
    if (value.count > in.left() / 8) TRY(in.fits(in.left() + 1));
    for (std::uint64_t i = 0; i < value.count; ++i) TRY(in.skip(TRY(in.integer(8))));
  } else if (const std::size_t size = scalar_bytes(element); size > 0) {
    if (value.count > in.left() / size) TRY(in.fits(in.left() + 1));
    TRY(in.skip(value.count * size));
  } else {
    return fail(Code::corrupt, element == static_cast<std::uint64_t>(Type::array) ? std::string("GGUF: an array of arrays")
                                                                                  : fmt::format("GGUF: array elements of unknown type {}", element));
  }
  const std::uint64_t bytes = in.position() - start;
  if (bytes <= limits.kept_array_bytes) {
    value.elements.resize(static_cast<std::size_t>(bytes));
    if (bytes > 0 && TRY(source.read(start, value.elements)) != bytes) return fail(Code::corrupt, "GGUF: header cut short");
    if (value.element == Type::boolean) {
      for (std::byte& b : value.elements) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
    }
  }
  return value;
}

Result<Value> read_value(Cursor& in, const ByteSource& source, const Limits& limits) {
  const std::uint64_t type = TRY(in.integer(4));
  if (type == static_cast<std::uint64_t>(Type::array)) return read_array(in, source, limits);
  Value value;
  value.type = static_cast<Type>(type);
  if (value.type == Type::string) {
    value.text = TRY(read_string(in, limits.string_bytes));
    return value;
  }
  const std::size_t size = scalar_bytes(type);
  if (size == 0) return fail(Code::corrupt, fmt::format("GGUF: metadata of unknown type {}", type));
  value.bits = normal_bits(value.type, TRY(in.integer(size)));
  return value;
}

/// Bytes of a tensor; empty if the product overflows or a row is not whole blocks.
Result<std::uint64_t> tensor_bytes(const std::vector<std::uint64_t>& shape, const TensorType& type) {
  std::uint64_t elements = 1;
  bool empty = false;
  for (const std::uint64_t n : shape) {
    if (n > kMaxInt64) return fail(Code::corrupt, "a negative dimension");
    empty = empty || n == 0;
  }
  const std::uint64_t row = shape.empty() ? 1 : shape.front();
  if (row % type.block != 0) return fail(Code::corrupt, fmt::format("a row of {} is not whole blocks of {}", row, type.name));
  if (empty) return 0;
  for (const std::uint64_t n : shape) {
    if (elements > kMaxInt64 / n) return fail(Code::corrupt, "its dimensions overflow");
    elements *= n;
  }
  const std::uint64_t blocks = elements / type.block;
  if (blocks > kMaxInt64 / type.bytes) return fail(Code::corrupt, "its size overflows");
  return blocks * type.bytes;
}

std::uint64_t padded(std::uint64_t size, std::uint64_t alignment) { return (size + alignment - 1) / alignment * alignment; }

Result<Tensor> read_tensor(Cursor& in) {
  Tensor tensor;
  const std::uint64_t length = TRY(in.integer(8));
  TRY(in.fits(length));
  if (length > kMaxTensorName) return fail(Code::corrupt, fmt::format("GGUF: a tensor name of {} bytes", length));
  tensor.name = TRY(in.text(length));
  const auto refuse = [&](Code code, std::string_view why) { return fail(code, fmt::format("GGUF tensor {}: {}", printable(tensor.name), why)); };
  const std::uint64_t dims = TRY(in.integer(4));
  if (dims > kMaxDims) return refuse(Code::corrupt, fmt::format("{} dimensions", dims));
  for (std::uint64_t d = 0; d < dims; ++d) tensor.shape.push_back(TRY(in.integer(8)));
  tensor.type = static_cast<std::uint32_t>(TRY(in.integer(4)));
  tensor.offset = TRY(in.integer(8));
  const TensorType* type = find_tensor_type(tensor.type);
  if (type == nullptr) return refuse(Code::unsupported, fmt::format("unknown type {}", tensor.type));
  auto bytes = tensor_bytes(tensor.shape, *type);
  if (!bytes) return refuse(bytes.error().code, bytes.error().message);
  tensor.bytes = *bytes;
  return tensor;
}

Result<std::uint32_t> read_version(Cursor& in) {
  if (TRY(in.integer(4)) != kMagic) return fail(Code::corrupt, "GGUF: the magic is missing");
  const auto version = static_cast<std::uint32_t>(TRY(in.integer(4)));
  if (version != 0 && (version & 0xFFFFU) == 0) return fail(Code::unsupported, "GGUF: a big-endian file");
  if (version == 0) return fail(Code::corrupt, "GGUF: version 0");
  if (version != 2 && version != 3) return fail(Code::unsupported, fmt::format("GGUF: version {}", version));
  return version;
}

Status read_metadata(Cursor& in, const ByteSource& source, const Limits& limits, std::uint64_t count, Header& header) {
  std::unordered_set<std::string> seen;
  for (std::uint64_t i = 0; i < count; ++i) {
    KeyValue pair;
    pair.key = TRY(read_string(in, 65535));
    if (pair.key.empty()) return fail(Code::corrupt, "GGUF: a metadata key is empty");
    if (!seen.insert(pair.key).second) return fail(Code::corrupt, fmt::format("GGUF: metadata key given twice: {}", printable(pair.key)));
    pair.value = TRY(read_value(in, source, limits));
    header.metadata.push_back(std::move(pair));
  }
  if (const Value* alignment = header.find("general.alignment")) {
    if (alignment->type != Type::u32 || alignment->bits > kMaxAlignment || !std::has_single_bit(alignment->bits)) {
      return fail(Code::corrupt, "GGUF: general.alignment is not a power of two");
    }
    header.alignment = static_cast<std::uint32_t>(alignment->bits);
  }
  return {};
}

}  // namespace

std::optional<std::uint64_t> Value::if_unsigned() const {
  switch (type) {
    case Type::u8:
    case Type::u16:
    case Type::u32:
    case Type::u64:
    case Type::boolean: return bits;
    case Type::i8:
    case Type::i16:
    case Type::i32:
    case Type::i64: return bits <= kMaxInt64 ? std::optional(bits) : std::nullopt;
    default: return std::nullopt;
  }
}

std::uint64_t Header::expected_file_size() const {
  return tensors.empty() ? header_bytes : data_start + tensors.back().offset + tensors.back().bytes;
}

const Value* Header::find(std::string_view key) const {
  for (const KeyValue& pair : metadata) {
    if (pair.key == key) return &pair.value;
  }
  return nullptr;
}

Result<Header> read_header(const ByteSource& source, const Limits& limits) {
  Cursor in(source, limits.header_bytes);
  Header header;
  header.version = TRY(read_version(in));
  const std::uint64_t tensors = TRY(in.integer(8));
  const std::uint64_t keys = TRY(in.integer(8));
  // Counts that the file cannot hold are damage; those that it could, but nobody makes, are not for us.
  if (tensors > source.size / kMinTensorBytes || keys > source.size / kMinKeyBytes) {
    return fail(Code::corrupt, fmt::format("GGUF: {} tensors and {} keys in a file of {} bytes", tensors, keys, source.size));
  }
  if (tensors > limits.tensors || keys > limits.keys) return fail(Code::unsupported, fmt::format("GGUF: {} tensors and {} keys", tensors, keys));
  TRY(read_metadata(in, source, limits, keys, header));

  std::unordered_set<std::string> names;
  std::uint64_t offset = 0;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    Tensor tensor = TRY(read_tensor(in));
    if (!names.insert(tensor.name).second) return fail(Code::corrupt, fmt::format("GGUF: tensor name given twice: {}", printable(tensor.name)));
    if (tensor.offset != offset) return fail(Code::corrupt, fmt::format("GGUF tensor {}: offset {}, not {}", printable(tensor.name), tensor.offset, offset));
    if (tensor.bytes > kMaxInt64 - header.alignment - offset) return fail(Code::corrupt, "GGUF: the sizes overflow");
    offset += padded(tensor.bytes, header.alignment);
    if (offset > kMaxInt64 - limits.header_bytes - kMaxAlignment) return fail(Code::corrupt, "GGUF: the sizes overflow");
    header.tensors.push_back(std::move(tensor));
  }
  header.header_bytes = in.position();
  header.data_start = tensors > 0 ? padded(header.header_bytes, header.alignment) : header.header_bytes;
  return header;
}

Status check_file_size(const Header& header, std::uint64_t file_size) {
  const std::uint64_t expected = header.expected_file_size();
  if (file_size >= expected) return {};
  return fail(Code::corrupt, fmt::format("GGUF: the header describes a file of at least {} bytes, this one has {} (cut short)", expected, file_size));
}

std::vector<std::byte> encode_header(const Header& header) {
  ByteWriter out;
  const auto put_text = [&](std::string_view text) {
    out.put<std::uint64_t>(text.size());
    out.put_bytes(as_bytes(text));
  };
  out.put(kMagic);
  out.put(header.version);
  out.put<std::uint64_t>(header.tensors.size());
  out.put<std::uint64_t>(header.metadata.size());
  for (const KeyValue& pair : header.metadata) {
    put_text(pair.key);
    out.put(static_cast<std::uint32_t>(pair.value.type));
    if (pair.value.type == Type::string) {
      put_text(pair.value.text);
    } else if (pair.value.type == Type::array) {
      out.put(static_cast<std::uint32_t>(pair.value.element));
      out.put(pair.value.count);
      out.put_bytes(pair.value.elements);
    } else {
      for (std::size_t i = 0; i < scalar_bytes(static_cast<std::uint64_t>(pair.value.type)); ++i) {
        out.put(static_cast<std::uint8_t>(pair.value.bits >> (8 * i) & 0xFFU));
      }
    }
  }
  for (const Tensor& tensor : header.tensors) {
    put_text(tensor.name);
    out.put(static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::uint64_t n : tensor.shape) out.put(n);
    out.put(tensor.type);
    out.put(tensor.offset);
  }
  std::vector<std::byte> bytes = out.take();
  if (!header.tensors.empty()) bytes.resize(static_cast<std::size_t>(padded(bytes.size(), header.alignment)));
  return bytes;
}

Status lay_out(Header& header) {
  std::uint64_t offset = 0;
  for (Tensor& tensor : header.tensors) {
    const TensorType* type = find_tensor_type(tensor.type);
    if (type == nullptr) return fail(Code::invalid, fmt::format("GGUF: unknown tensor type {}", tensor.type));
    tensor.bytes = TRY(tensor_bytes(tensor.shape, *type));
    tensor.offset = offset;
    offset += padded(tensor.bytes, header.alignment);
  }
  return {};
}

Value string_value(std::string_view text) {
  Value value;
  value.type = Type::string;
  value.text = text;
  return value;
}

Value u32_value(std::uint32_t number) {
  Value value;
  value.type = Type::u32;
  value.bits = number;
  return value;
}

Facts facts(const Header& header) {
  const auto text = [&](std::string_view key) {
    const Value* value = header.find(key);
    return value != nullptr && value->type == Type::string ? value->text : std::string();
  };
  const auto number = [&](std::string_view key) -> std::optional<std::uint64_t> {
    const Value* value = header.find(key);
    return value != nullptr ? value->if_unsigned() : std::nullopt;
  };
  Facts out;
  out.architecture = text("general.architecture");
  out.name = text("general.name");
  out.kind = text("general.type");
  out.size_label = text("general.size_label");
  out.tensors = header.tensors.size();
  out.context_length = number(out.architecture + ".context_length");
  out.blocks = number(out.architecture + ".block_count");
  out.split_no = number("split.no");
  out.split_count = number("split.count");
  std::map<std::uint32_t, std::uint64_t> bytes;
  for (const Tensor& tensor : header.tensors) {
    const TensorType* type = find_tensor_type(tensor.type);
    if (type == nullptr) continue;
    out.parameters += tensor.bytes / type->bytes * type->block;
    bytes[tensor.type] += tensor.bytes;
  }
  if (const auto file_type = number("general.file_type")) out.quantisation = file_type_name(*file_type);
  if (out.quantisation.empty() && !bytes.empty()) {
    const auto most = std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    out.quantisation = tensor_type_name(most->first);
  }
  return out;
}

}  // namespace mlxbase::gguf
