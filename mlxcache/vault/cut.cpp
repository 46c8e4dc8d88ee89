#include "mlxcache/vault/cut.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "mlxbase/format/gguf.h"
#include "mlxbase/format/gguf_types.h"
#include "mlxbase/format/safetensors.h"

namespace mlxcache::vault {

using mlxbase::ByteSource;
using mlxbase::Code;
using mlxbase::Result;

namespace {

constexpr std::uint64_t kPartElements = std::uint64_t{2} << 20U;  // 8 MiB of F32, 4 MiB of BF16
constexpr std::uint64_t kShortTensor = 4096;  // a record costs about 200 bytes: shorter ones go with their neighbours

Dtype dtype_of(mlxbase::safetensors::Dtype d) {
  using S = mlxbase::safetensors::Dtype;
  switch (d) {
    case S::f64: return Dtype::f64;
    case S::f32: return Dtype::f32;
    case S::c64: return Dtype::f32;
    case S::f16: return Dtype::f16;
    case S::bf16: return Dtype::bf16;
    case S::f8_e4m3: return Dtype::f8_e4m3;
    case S::f8_e5m2: return Dtype::f8_e5m2;
    case S::i64: return Dtype::i64;
    case S::u64: return Dtype::u64;
    case S::i32: return Dtype::i32;
    case S::u32: return Dtype::u32;
    case S::i16: return Dtype::i16;
    case S::u16: return Dtype::u16;
    case S::i8: return Dtype::i8;
    case S::u8: return Dtype::u8;
    case S::boolean: return Dtype::boolean;
    default: return Dtype::bytes;
  }
}

Dtype dtype_of_gguf(std::uint32_t type) {
  switch (type) {
    case 0: return Dtype::f32;
    case 1: return Dtype::f16;
    case 2: return Dtype::q4_0;
    case 3: return Dtype::q4_1;
    case 8: return Dtype::q8_0;
    case 24: return Dtype::i8;
    case 25: return Dtype::i16;
    case 26: return Dtype::i32;
    case 27: return Dtype::i64;
    case 28: return Dtype::f64;
    case 30: return Dtype::bf16;
    default: return Dtype::blocks;
  }
}

/// Names of weights that are packed into words of 32 bits (MLX, AWQ): those with scales beside them.
std::unordered_set<std::string> packed_weights(const mlxbase::safetensors::Header& header) {
  constexpr std::string_view kScales = ".scales";
  std::unordered_set<std::string> names;
  for (const auto& t : header.tensors) {
    if (t.name.ends_with(kScales)) names.insert(t.name.substr(0, t.name.size() - kScales.size()) + ".weight");
  }
  return names;
}

/// Of MLX's three tensors of a weight: how many elements a row of the weight had. Bits and group are in another file, and several give the same shapes:
/// those in use most are taken, which only decides where long tensors are cut.
std::unordered_map<std::string, std::uint64_t> row_elements(const mlxbase::safetensors::Header& header) {
  constexpr std::string_view kWeight = ".weight";
  std::unordered_map<std::string, std::uint64_t> words, elements;
  for (const auto& t : header.tensors) {
    if (t.dtype == mlxbase::safetensors::Dtype::u32 && t.shape.size() >= 2 && t.name.ends_with(kWeight)) words[t.name.substr(0, t.name.size() - kWeight.size())] = t.shape.back();
  }
  for (const auto& t : header.tensors) {
    if (t.shape.size() < 2 || t.shape.back() == 0 || !t.name.ends_with(".scales")) continue;
    const std::string stem = t.name.substr(0, t.name.size() - std::string_view(".scales").size());
    const auto found = words.find(stem);
    if (found == words.end() || found->second > UINT64_MAX / 32) continue;
    const std::uint64_t groups = t.shape.back(), product = found->second * 32 / groups;  // group × bits
    const std::uint64_t group = product == 96 || product == 128 || product == 160 || product == 64 ? 32 : product == 640 || product == 768 || product == 1024 ? 128 : 64;
    if (groups > UINT64_MAX / group) continue;
    for (const char* part : {".weight", ".scales", ".biases"}) elements[stem + part] = groups * group;
  }
  return elements;
}

std::optional<std::vector<Cut>> cut_safetensors(const ByteSource& source) {
  const auto header = mlxbase::safetensors::read_header(source);
  if (!header || !mlxbase::safetensors::check_file_size(*header, source.size)) return std::nullopt;
  const auto packed = packed_weights(*header);
  const auto elements = row_elements(*header);
  Cutter cutter(source.size);
  for (const auto& t : header->tensors) {
    Dtype dtype = dtype_of(t.dtype);
    std::uint64_t columns = t.shape.empty() ? 1 : t.shape.back();
    if (t.dtype == mlxbase::safetensors::Dtype::c64) columns *= 2;
    if (t.dtype == mlxbase::safetensors::Dtype::u32 && packed.contains(t.name)) dtype = Dtype::packed;
    const auto found = elements.find(t.name);
    const std::uint64_t bits = mlxbase::safetensors::bits_of(t.dtype);
    const std::uint64_t row_bits = columns <= UINT64_MAX / 64 ? (t.shape.empty() ? 1 : t.shape.back()) * bits : 0;
    cutter.tensor(header->data_start() + t.begin, t.end - t.begin, dtype, columns, row_bits % 8 == 0 ? row_bits / 8 : 0,
                  found == elements.end() ? 0 : found->second);
  }
  return cutter.finish();
}

std::optional<std::vector<Cut>> cut_gguf(const ByteSource& source) {
  const auto header = mlxbase::gguf::read_header(source);
  if (!header || !mlxbase::gguf::check_file_size(*header, source.size)) return std::nullopt;
  Cutter cutter(source.size);
  for (const auto& t : header->tensors) {
    const auto* type = mlxbase::gguf::find_tensor_type(t.type);
    if (type == nullptr) return std::nullopt;
    const std::uint64_t columns = t.shape.empty() ? 1 : t.shape.front();
    cutter.tensor(header->data_start + t.offset, t.bytes, dtype_of_gguf(t.type), columns, columns / type->block * type->bytes);
  }
  return cutter.finish();
}

// Content-defined chunks: a rolling sum of random numbers by byte ("gear"), the same at the same bytes wherever they lie.
constexpr std::uint64_t kChunkLeast = 256 * 1024;
constexpr std::uint64_t kChunkMost = 4 * 1024 * 1024;
constexpr std::uint64_t kChunkMask = (std::uint64_t{1} << 20U) - 1;  // about a MiB behind the least

constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t x = 0x9E3779B97F4A7C15ULL;
  for (auto& g : gear) {
    x += 0x9E3779B97F4A7C15ULL;  // splitmix64
    std::uint64_t z = x;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    g = z ^ (z >> 31U);
  }
  return gear;
}
constexpr auto kGear = make_gear();

}  // namespace

std::uint64_t unit_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
    case Dtype::i64:
    case Dtype::u64: return 8;
    case Dtype::f32:
    case Dtype::i32:
    case Dtype::u32:
    case Dtype::packed: return 4;
    case Dtype::f16:
    case Dtype::bf16:
    case Dtype::i16:
    case Dtype::u16: return 2;
    default: return 1;
  }
}

void Cutter::raw(std::uint64_t to) {
  while (at_ < to) {
    const std::uint64_t length = std::min(to - at_, kPartBytes);
    cuts_.push_back({at_, length, {}});
    at_ += length;
  }
}

void Cutter::tensor(std::uint64_t offset, std::uint64_t length, Dtype dtype, std::uint64_t columns, std::uint64_t row_bytes, std::uint64_t row_elements) {
  if (length < kShortTensor || offset < at_ || offset > size_ || length > size_ - offset) return;
  raw(offset);
  tensors_ = true;
  const Layout layout{dtype, 0, columns};
  std::uint64_t part = kPartBytes;
  // Parts of as many elements whatever the dtype: so a tensor and its twin in another precision are cut at the same rows.
  const std::uint64_t rows = std::max<std::uint64_t>(1, kPartElements / std::max<std::uint64_t>(1, row_elements == 0 ? columns : row_elements));
  if (row_bytes > 0 && row_bytes <= kPartBytes) part = rows <= kPartBytes / row_bytes ? rows * row_bytes : kPartBytes / row_bytes * row_bytes;
  if (row_bytes == 0 || row_bytes > kPartBytes) part = kPartBytes / 1440 * 1440;  // whole elements of every size, whole blocks of 18, 20
  for (std::uint64_t left = length; left > 0;) {
    const std::uint64_t n = std::min(left, part);
    cuts_.push_back({at_, n, layout});
    at_ += n;
    left -= n;
  }
}

std::vector<Cut> Cutter::finish() {
  raw(size_);
  return std::move(cuts_);
}

Result<std::vector<Cut>> cut_by_content(const ByteSource& source, std::uint64_t from, std::uint64_t to) {
  std::vector<Cut> cuts;
  std::vector<std::byte> buffer(std::size_t{1} << 20U);
  std::uint64_t begin = from;
  std::uint64_t sum = 0;
  std::uint64_t at = from;
  while (at < to) {
    const std::size_t got = TRY(source.read(at, std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), to - at)))));
    if (got == 0) return mlxbase::fail(Code::changed, "it ended sooner than its length said");
    for (std::size_t i = 0; i < got; ++i) {
      sum = (sum << 1U) + kGear[std::to_integer<std::size_t>(buffer[i])];
      const std::uint64_t length = at + i + 1 - begin;
      if (length < kChunkLeast || ((sum >> 40U & kChunkMask) != 0 && length < kChunkMost)) continue;
      cuts.push_back({begin, length, {}});
      begin += length;
      sum = 0;
    }
    at += got;
  }
  if (begin < to) cuts.push_back({begin, to - begin, {}});
  return cuts;
}

/// What of the cuts lies in the runs.
std::vector<Cut> within(const std::vector<Cut>& cuts, std::span<const Run> runs) {
  std::vector<Cut> out;
  std::size_t r = 0;
  for (const Cut& c : cuts) {
    const std::uint64_t end = c.offset + c.length;
    while (r < runs.size() && runs[r].offset + runs[r].length <= c.offset) ++r;
    for (std::size_t k = r; k < runs.size() && runs[k].offset < end; ++k) {
      const std::uint64_t from = std::max(c.offset, runs[k].offset);
      const std::uint64_t to = std::min(end, runs[k].offset + runs[k].length);
      if (to > from) out.push_back({from, to - from, c.layout});
    }
  }
  return out;
}

Result<Cuts> cut_file(const ByteSource& source, std::span<const Run> runs) {
  if (auto cuts = cut_safetensors(source)) return Cuts{"safetensors", within(*cuts, runs)};
  if (auto cuts = cut_gguf(source)) return Cuts{"gguf", within(*cuts, runs)};
  if (auto cuts = cut_zip(source)) return Cuts{"zip", within(*cuts, runs)};
  if (auto cuts = cut_onnx(source)) return Cuts{"onnx", within(*cuts, runs)};
  if (auto cuts = cut_ctranslate2(source)) return Cuts{"ctranslate2", within(*cuts, runs)};
  Cuts out{"chunks", {}};
  for (const Run& run : runs) {
    const auto cuts = TRY(cut_by_content(source, run.offset, run.offset + run.length));
    out.cuts.insert(out.cuts.end(), cuts.begin(), cuts.end());
  }
  return out;
}

}  // namespace mlxcache::vault
