#pragma once
// The platform's own hash functions, for hasher.cpp only: hasher_openssl.cpp on Linux, hasher_commoncrypto.cpp on macOS.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "mlxbase/core/digest.h"

namespace mlxbase::native {

/// Eight words of a hash as bytes, big-endian, and back.
template <class Word>
std::array<std::byte, 32> bytes_of_words(const Word* words) {
  std::array<std::byte, 32> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(words[i / 4] >> (24U - 8U * (i % 4)) & 0xFFU);
  return out;
}
template <class Word>
void words_of_bytes(const std::array<std::byte, 32>& bytes, Word* words) {
  for (std::size_t i = 0; i < 8; ++i) words[i] = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) words[i / 4] = static_cast<Word>(words[i / 4] << 8U | std::to_integer<Word>(bytes[i]));
}

class Hash {
 public:
  virtual ~Hash() = default;
  virtual std::unique_ptr<Hash> clone() const = 0;
  virtual void update(std::span<const std::byte> bytes) = 0;
  /// Writes the digest and gives its length.
  virtual std::size_t finish(std::span<std::byte, 32> out) = 0;
};

/// SHA-256 whose state can be seen and set where nothing is buffered: after whole blocks of 64 bytes. Whether that works is for the caller to try.
class ChainHash {
 public:
  virtual ~ChainHash() = default;
  virtual std::unique_ptr<ChainHash> clone() const = 0;
  virtual void update(std::span<const std::byte> bytes) = 0;
  virtual std::size_t finish(std::span<std::byte, 32> out) = 0;
  virtual std::array<std::byte, 32> words() const = 0;
  /// Goes on as after `bytes` bytes that left these words.
  virtual void resume(const std::array<std::byte, 32>& words, std::uint64_t bytes) = 0;
};
std::unique_ptr<ChainHash> make_chain_hash();

/// sha256, sha1 or md5. Never null: a platform without them ends the process, since nothing could be told apart.
std::unique_ptr<Hash> make_hash(Algorithm algorithm);

}  // namespace mlxbase::native
