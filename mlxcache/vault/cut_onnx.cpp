// ONNX: a protobuf whose graph has its weights as messages, each with its bytes in one run.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "mlxcache/vault/cut.h"
#include "mlxcache/vault/window.h"

namespace mlxcache::vault {

using mlxbase::ByteSource;

namespace {

constexpr std::size_t kMostFields = 10'000'000;  // a graph of a hundred thousand nodes has some hundred thousand

struct Field {
  std::uint64_t number = 0;
  unsigned wire = 0;
  std::uint64_t value = 0;   // of a varint
  std::uint64_t offset = 0;  // of the bytes of a run
  std::uint64_t length = 0;
};

/// Fields one behind the other, of which most are only stepped over.
class Fields {
 public:
  Fields(Window& window, std::uint64_t begin, std::uint64_t end, std::size_t& budget) : window_(window), at_(begin), end_(end), budget_(budget) {}
  /// Nothing at the end, or where no field is: see good().
  std::optional<Field> next() {
    if (at_ >= end_) return std::nullopt;
    good_ = false;
    if (budget_ == 0) return std::nullopt;
    --budget_;
    Field f;
    const auto tag = varint();
    if (!tag) return std::nullopt;
    f.number = *tag >> 3U;
    f.wire = *tag & 7U;
    switch (f.wire) {
      case 0: {
        const auto value = varint();
        if (!value) return std::nullopt;
        f.value = *value;
        break;
      }
      case 1: f.length = 8; break;
      case 2: {
        const auto length = varint();
        if (!length) return std::nullopt;
        f.length = *length;
        break;
      }
      case 5: f.length = 4; break;
      default: return std::nullopt;
    }
    if (f.number == 0 || f.length > end_ - at_) return std::nullopt;
    f.offset = at_;
    at_ += f.length;
    good_ = true;
    return f;
  }
  std::optional<std::uint64_t> varint() {
    const auto bytes = window_.at(at_, static_cast<std::size_t>(std::min<std::uint64_t>(10, end_ - at_)));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value |= (std::to_integer<std::uint64_t>(bytes[i]) & 0x7fU) << (7 * i);
      if ((bytes[i] & std::byte{0x80}) != std::byte{0}) continue;
      at_ += i + 1;
      return value;
    }
    return std::nullopt;
  }
  bool more() const { return at_ < end_; }
  bool good() const { return good_; }

 private:
  Window& window_;
  std::uint64_t at_;
  std::uint64_t end_;
  std::size_t& budget_;
  bool good_ = true;
};

Dtype dtype_of(std::uint64_t type) {
  switch (type) {
    case 1: return Dtype::f32;
    case 2: return Dtype::u8;
    case 3: return Dtype::i8;
    case 4: return Dtype::u16;
    case 5: return Dtype::i16;
    case 6: return Dtype::i32;
    case 7: return Dtype::i64;
    case 9: return Dtype::boolean;
    case 10: return Dtype::f16;
    case 11: return Dtype::f64;
    case 12: return Dtype::u32;
    case 13: return Dtype::u64;
    case 16: return Dtype::bf16;
    case 17: return Dtype::f8_e4m3;
    case 19: return Dtype::f8_e5m2;
    default: return Dtype::bytes;
  }
}

/// A TensorProto. False: it is none.
bool tensor(Window& window, const Field& at, std::size_t& budget, Cutter& cutter) {
  std::uint64_t columns = 1, type = 0;
  std::optional<Field> data;
  Fields fields(window, at.offset, at.offset + at.length, budget);
  while (const auto f = fields.next()) {
    if (f->number == 1 && f->wire == 0) columns = f->value;
    if (f->number == 1 && f->wire == 2) {
      Fields dims(window, f->offset, f->offset + f->length, budget);
      while (dims.more()) {
        const auto dim = dims.varint();
        if (!dim) return false;
        columns = *dim;
      }
    }
    if (f->number == 2 && f->wire == 0) type = f->value;
    if ((f->number == 9 || f->number == 4) && f->wire == 2) data = f;  // bytes as they are, or floats
  }
  if (!fields.good()) return false;
  if (!data) return true;
  const Dtype dtype = data->number == 4 ? Dtype::f32 : dtype_of(type);
  const std::uint64_t width = unit_bytes(dtype);
  columns = std::max<std::uint64_t>(1, columns);
  cutter.tensor(data->offset, data->length, dtype, columns, columns <= data->length ? columns * width : 0);
  return true;
}

}  // namespace

std::optional<std::vector<Cut>> cut_onnx(const ByteSource& source) {
  Window window(source);
  std::size_t budget = kMostFields;
  Cutter cutter(source.size);
  Fields model(window, 0, source.size, budget);
  const auto version = model.next();
  if (!version || version->number != 1 || version->wire != 0 || version->value == 0 || version->value > 1000) return std::nullopt;
  bool graph_found = false;
  while (const auto f = model.next()) {
    if (f->number > 100) return std::nullopt;
    if (f->number != 7 || f->wire != 2 || graph_found) continue;
    graph_found = true;
    Fields graph(window, f->offset, f->offset + f->length, budget);
    while (const auto g = graph.next()) {
      if (g->number == 5 && g->wire == 2 && !tensor(window, *g, budget, cutter)) return std::nullopt;
    }
    if (!graph.good()) return std::nullopt;
  }
  if (!model.good() || !cutter.has_tensors()) return std::nullopt;
  return cutter.finish();
}

}  // namespace mlxcache::vault
