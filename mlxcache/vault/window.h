#pragma once
// Private to this room: small reads that go forward through a long file, of which most is stepped over.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mlxbase/format/byte_source.h"

namespace mlxcache::vault {

class Window {
 public:
  /// The source must outlive it.
  explicit Window(const mlxbase::ByteSource& source) : source_(source) {}
  /// `n` bytes at `offset`, fewer at the end or where they cannot be read; good until the next call.
  std::span<const std::byte> at(std::uint64_t offset, std::size_t n) {
    constexpr std::size_t kBytes = 4096;
    if (offset < begin_ || offset - begin_ > bytes_.size() || bytes_.size() - (offset - begin_) < n) {
      begin_ = offset;
      bytes_.resize(std::max(kBytes, n));
      std::size_t have = 0;
      while (have < bytes_.size()) {
        const auto got = source_.read(offset + have, std::span(bytes_).subspan(have));
        if (!got || *got == 0) break;
        have += *got;
      }
      bytes_.resize(have);
    }
    const auto from = static_cast<std::size_t>(offset - begin_);
    return std::span<const std::byte>(bytes_).subspan(from, std::min(n, bytes_.size() - from));
  }

 private:
  const mlxbase::ByteSource& source_;
  std::uint64_t begin_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace mlxcache::vault
