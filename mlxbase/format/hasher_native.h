#pragma once
// The platform's own hash functions, for hasher.cpp only: hasher_openssl.cpp on Linux, hasher_commoncrypto.cpp on macOS.
#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "mlxbase/core/digest.h"

namespace mlxbase::native {

class Hash {
 public:
  virtual ~Hash() = default;
  virtual std::unique_ptr<Hash> clone() const = 0;
  virtual void update(std::span<const std::byte> bytes) = 0;
  /// Writes the digest and gives its length.
  virtual std::size_t finish(std::span<std::byte, 32> out) = 0;
};

/// sha256, sha1 or md5. Never null: a platform without them ends the process, since nothing could be told apart.
std::unique_ptr<Hash> make_hash(Algorithm algorithm);

}  // namespace mlxbase::native
