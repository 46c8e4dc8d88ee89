#include "mlxbase/core/digest.h"

#include <algorithm>
#include <cassert>

namespace mlxbase {
namespace {
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
}  // namespace

std::string_view to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::none: return "none";
    case Algorithm::sha256: return "sha256";
    case Algorithm::git_sha1: return "git-sha1";
    case Algorithm::sha1: return "sha1";
    case Algorithm::blake3: return "blake3";
    case Algorithm::xet: return "xet";
    case Algorithm::md5: return "md5";
    case Algorithm::sha256_prefix: return "sha256-prefix";
  }
  return "unknown";
}

std::size_t digest_size(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::sha256:
    case Algorithm::blake3:
    case Algorithm::xet: return 32;
    case Algorithm::git_sha1:
    case Algorithm::sha1: return 20;
    case Algorithm::md5: return 16;
    case Algorithm::none:
    case Algorithm::sha256_prefix: return 0;
  }
  return 0;
}

Digest::Digest(Algorithm algorithm, std::span<const std::byte> bytes)
    : algorithm_(algorithm), size_(static_cast<std::uint8_t>(bytes.size())) {
  assert(bytes.size() <= bytes_.size());
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

std::optional<Digest> Digest::parse(Algorithm algorithm, std::string_view hex) {
  const std::size_t want = digest_size(algorithm) * 2;
  if (algorithm == Algorithm::sha256_prefix) {
    if (hex.size() < 8 || hex.size() > 64 || hex.size() % 2 != 0) return std::nullopt;
  } else if (want == 0 || hex.size() != want) {
    return std::nullopt;
  }
  Digest digest;
  digest.algorithm_ = algorithm;
  digest.size_ = static_cast<std::uint8_t>(hex.size() / 2);
  for (std::size_t i = 0; i < digest.size_; ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.bytes_[i] = static_cast<std::byte>(high * 16 + low);
  }
  return digest;
}

std::string Digest::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(size_ * 2U);
  for (std::byte b : bytes()) {
    out.push_back(kDigits[std::to_integer<unsigned>(b) >> 4U]);
    out.push_back(kDigits[std::to_integer<unsigned>(b) & 15U]);
  }
  return out;
}

std::string Digest::to_string() const { return std::string(mlxbase::to_string(algorithm_)) + ":" + hex(); }

bool Digest::is_prefix_of(const Digest& full) const {
  return size_ > 0 && size_ <= full.size_ && std::equal(bytes_.begin(), bytes_.begin() + size_, full.bytes_.begin());
}

}  // namespace mlxbase
