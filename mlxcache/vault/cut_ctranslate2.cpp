// CTranslate2's model.bin (faster-whisper, Argos Translate): variables one behind the other. As its Python package writes it (specs/model_spec.py).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxcache/vault/cut.h"
#include "mlxcache/vault/window.h"

namespace mlxcache::vault {

using mlxbase::ByteReader;
using mlxbase::ByteSource;

namespace {

constexpr std::uint32_t kFirstVersion = 4, kLastVersion = 6;  // with a dtype and a length for each variable
constexpr std::uint32_t kMostVariables = 1'000'000;

/// Reads forward; once something is not there, everything is zero.
class Cursor {
 public:
  explicit Cursor(const ByteSource& source) : size_(source.size), window_(source) {}
  template <class T>
  T get() {
    const auto bytes = window_.at(at_, sizeof(T));
    ByteReader r(bytes);
    const T value = r.get<T>();
    ok_ = ok_ && r.ok();
    at_ += sizeof(T);
    return value;
  }
  /// A length, the characters, and a zero, which the length counts.
  void string() {
    const auto length = get<std::uint16_t>();
    const auto bytes = window_.at(at_, length);
    ok_ = ok_ && length > 0 && bytes.size() == length && bytes.back() == std::byte{0} && std::find(bytes.begin(), bytes.end() - 1, std::byte{0}) == bytes.end() - 1;
    at_ += length;
  }
  void skip(std::uint64_t n) {
    ok_ = ok_ && n <= size_ - std::min(size_, at_);
    at_ += ok_ ? n : 0;
  }
  std::uint64_t at() const { return at_; }
  bool ok() const { return ok_; }

 private:
  std::uint64_t size_;
  Window window_;
  std::uint64_t at_ = 0;
  bool ok_ = true;
};

}  // namespace

std::optional<std::vector<Cut>> cut_ctranslate2(const ByteSource& source) {
  constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::i8, Dtype::i16, Dtype::i32, Dtype::f16, Dtype::bf16};
  Cursor in(source);
  const auto version = in.get<std::uint32_t>();
  if (!in.ok() || version < kFirstVersion || version > kLastVersion) return std::nullopt;
  in.string();
  (void)in.get<std::uint32_t>();
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count == 0 || count > kMostVariables) return std::nullopt;
  Cutter cutter(source.size);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    in.string();
    std::uint64_t columns = 1;
    for (auto rank = in.get<std::uint8_t>(); rank > 0 && in.ok(); --rank) columns = in.get<std::uint32_t>();
    const auto type = in.get<std::uint8_t>();
    const auto length = in.get<std::uint32_t>();
    const std::uint64_t at = in.at();
    in.skip(length);
    if (!in.ok()) return std::nullopt;
    const Dtype dtype = type < std::size(kDtypes) ? kDtypes[type] : Dtype::bytes;
    columns = std::max<std::uint64_t>(1, columns);
    cutter.tensor(at, length, dtype, columns, columns * unit_bytes(dtype));
  }
  if (!in.ok() || !cutter.has_tensors()) return std::nullopt;
  return cutter.finish();
}

}  // namespace mlxcache::vault
