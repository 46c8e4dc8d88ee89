#pragma once
// A digest always travels with its algorithm: the same 64 characters are a SHA-256 in one folder of a
// Hugging Face cache and a xet hash in another.
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mlxbase {

enum class Algorithm : std::uint8_t {
  none = 0,
  sha256 = 1,    // 32 bytes
  git_sha1 = 2,  // 20 bytes: sha1("blob <size>\0" + bytes)
  sha1 = 3,      // 20 bytes, of the bare bytes
  blake3 = 4,    // 32 bytes
  xet = 5,       // 32 bytes, Merkle root over chunks; cannot be computed by one pass of a hash here
  md5 = 6,       // 16 bytes
  sha256_prefix = 7,  // first `size()` bytes of a SHA-256, as torch hub puts into names
};

std::string_view to_string(Algorithm algorithm);
/// Bytes a full digest of this algorithm has; 0 for none and sha256_prefix.
std::size_t digest_size(Algorithm algorithm);

class Digest {
 public:
  Digest() = default;
  /// `bytes` at most 32 long; its length must suit the algorithm (not checked).
  Digest(Algorithm algorithm, std::span<const std::byte> bytes);

  /// Parses exactly digest_size(algorithm) * 2 lower- or upper-case hex digits (for sha256_prefix: 8 to 64
  /// digits, even). Nothing else is accepted.
  static std::optional<Digest> parse(Algorithm algorithm, std::string_view hex);

  Algorithm algorithm() const { return algorithm_; }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {bytes_.data(), size_}; }
  std::string hex() const;        // lower case
  std::string to_string() const;  // "sha256:3fa9…" whole
  /// Whether a full SHA-256 begins with this prefix digest (or equals it).
  bool is_prefix_of(const Digest& full) const;

  friend bool operator==(const Digest&, const Digest&) = default;
  // By hand: libc++ 16's std::array has no three-way comparison.
  friend bool operator<(const Digest& a, const Digest& b) {
    if (a.algorithm_ != b.algorithm_) return a.algorithm_ < b.algorithm_;
    if (a.size_ != b.size_) return a.size_ < b.size_;
    return a.bytes_ < b.bytes_;
  }

 private:
  Algorithm algorithm_ = Algorithm::none;
  std::uint8_t size_ = 0;
  std::array<std::byte, 32> bytes_{};
};

}  // namespace mlxbase

template <>
struct std::hash<mlxbase::Digest> {
  std::size_t operator()(const mlxbase::Digest& d) const noexcept {
    std::size_t h = static_cast<std::size_t>(d.algorithm());
    for (std::byte b : d.bytes()) h = h * 1099511628211ULL ^ static_cast<std::size_t>(b);
    return h;
  }
};
