#pragma once
// Bytes by offset: what a header parser asks of a file, without knowing files.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/result.h"

namespace mlxbase {

/// A file's length and a way to read it. Copyable; whatever `read` refers to must outlive it.
struct ByteSource {
  std::uint64_t size = 0;
  /// Fills `out` from `offset`; fewer bytes only at the end of the file.
  std::function<Result<std::size_t>(std::uint64_t offset, std::span<std::byte> out)> read;

  /// Of bytes in memory, which must outlive it.
  static ByteSource of(std::span<const std::byte> bytes) {
    return {bytes.size(), [bytes](std::uint64_t offset, std::span<std::byte> out) -> Result<std::size_t> {
              if (offset >= bytes.size()) return std::size_t{0};
              const std::size_t n = std::min<std::size_t>(out.size(), bytes.size() - static_cast<std::size_t>(offset));
              if (n > 0) std::memcpy(out.data(), bytes.data() + offset, n);
              return n;
            }};
  }
  /// Of the first bytes of a file that is `size` long in all: reads past the prefix come back short.
  static ByteSource of_prefix(std::span<const std::byte> prefix, std::uint64_t size) {
    ByteSource source = of(prefix);
    source.size = size;
    return source;
  }
};

}  // namespace mlxbase
