#pragma once
// Cryptographic hashes by the platform's library (OpenSSL on Linux, CommonCrypto on macOS), hardware SHA where the
// processor has it. BLAKE3 is our own portable code (no library of it is packaged for Debian 12).
#include <memory>
#include <span>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"

namespace mlxbase {

class Hasher {
 public:
  /// sha256, sha1, md5, blake3; git_sha1 needs `size`, the number of bytes that will follow (they go into its header).
  /// Asserts for algorithms that cannot be computed so (none, xet, sha256_prefix).
  explicit Hasher(Algorithm algorithm, std::uint64_t size = 0);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();
  void update(std::span<const std::byte> bytes);
  /// A second one in the same state: two files that were equal so far go on apart without being read again.
  Hasher clone() const;
  /// Ends it; the Hasher is spent.
  Digest finish();

 private:
  struct State;
  explicit Hasher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mlxbase
