#include <algorithm>
#include <array>

#include "mlxcache/codec/codec.h"

namespace mlxcache::codec {
namespace {

struct Row {
  std::string_view name;
  unsigned width;
};
// In the order of Dtype.
constexpr std::array<Row, 16> kDtypes{{{"bytes", 1}, {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I64", 8},
                                       {"U64", 8}, {"I32", 4}, {"U32", 4}, {"I16", 2}, {"U16", 2}, {"I8", 1}, {"U8", 1}, {"BOOL", 1}}};

}  // namespace

std::string_view to_string(Dtype dtype) { return kDtypes.at(static_cast<std::size_t>(dtype)).name; }
unsigned width_of(Dtype dtype) { return kDtypes.at(static_cast<std::size_t>(dtype)).width; }

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::plain: return "plain";
    case Kind::alone: return "alone";
    case Kind::delta: return "delta";
  }
  return "?";
}

std::string_view to_string(Kernel kernel) {
  switch (kernel) {
    case Kernel::best: return "best";
    case Kernel::scalar: return "scalar";
    case Kernel::avx2: return "avx2";
    case Kernel::avx512: return "avx512";
    case Kernel::neon: return "neon";
  }
  return "?";
}

Layout Layout::flat(Dtype dtype, std::uint64_t bytes, std::uint8_t phase) {
  return {.dtype = dtype, .rows = 1, .columns = bytes < phase ? 0 : (bytes - phase) / width_of(dtype), .phase = bytes < phase ? std::uint8_t{0} : phase};
}

}  // namespace mlxcache::codec
