#include <CommonCrypto/CommonDigest.h>

#include <algorithm>
#include <cstring>

#include "mlxbase/format/hasher_native.h"

namespace mlxbase::native {
namespace {

// CommonCrypto calls MD5 deprecated for security; here it only checks sums that stores publish.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

template <class Context, auto kInit, auto kUpdate, auto kFinal, std::size_t kSize>
class CommonHash final : public Hash {
 public:
  CommonHash() { kInit(&context_); }
  std::unique_ptr<Hash> clone() const override { return std::make_unique<CommonHash>(*this); }
  void update(std::span<const std::byte> bytes) override {
    constexpr std::size_t kMost = std::size_t{1} << 30U;  // CC_LONG has 32 bits
    while (!bytes.empty()) {
      const auto part = bytes.first(std::min(bytes.size(), kMost));
      kUpdate(&context_, part.data(), static_cast<CC_LONG>(part.size()));
      bytes = bytes.subspan(part.size());
    }
  }
  std::size_t finish(std::span<std::byte, 32> out) override {
    kFinal(reinterpret_cast<unsigned char*>(out.data()), &context_);
    return kSize;
  }

 private:
  Context context_{};
};

using Sha256 = CommonHash<CC_SHA256_CTX, CC_SHA256_Init, CC_SHA256_Update, CC_SHA256_Final, CC_SHA256_DIGEST_LENGTH>;
using Sha1 = CommonHash<CC_SHA1_CTX, CC_SHA1_Init, CC_SHA1_Update, CC_SHA1_Final, CC_SHA1_DIGEST_LENGTH>;
using Md5 = CommonHash<CC_MD5_CTX, CC_MD5_Init, CC_MD5_Update, CC_MD5_Final, CC_MD5_DIGEST_LENGTH>;

/// The public struct is what CommonCrypto's own implementation lays out (the length in bits, then the words); can_chain() tries it before anything
/// relies on it.
class ShaChain final : public ChainHash {
 public:
  ShaChain() { CC_SHA256_Init(&context_); }
  std::unique_ptr<ChainHash> clone() const override { return std::make_unique<ShaChain>(*this); }
  void update(std::span<const std::byte> bytes) override {
    constexpr std::size_t kMost = std::size_t{1} << 30U;
    while (!bytes.empty()) {
      const auto part = bytes.first(std::min(bytes.size(), kMost));
      CC_SHA256_Update(&context_, part.data(), static_cast<CC_LONG>(part.size()));
      bytes = bytes.subspan(part.size());
    }
  }
  std::size_t finish(std::span<std::byte, 32> out) override {
    CC_SHA256_Final(reinterpret_cast<unsigned char*>(out.data()), &context_);
    return CC_SHA256_DIGEST_LENGTH;
  }
  std::array<std::byte, 32> words() const override { return bytes_of_words(static_cast<const CC_LONG*>(context_.hash)); }
  void resume(const std::array<std::byte, 32>& words, std::uint64_t bytes) override {
    words_of_bytes(words, static_cast<CC_LONG*>(context_.hash));
    const std::uint64_t bits = bytes << 3U;
    std::memcpy(context_.count, &bits, sizeof(bits));
  }

 private:
  CC_SHA256_CTX context_{};
};

}  // namespace

std::unique_ptr<ChainHash> make_chain_hash() { return std::make_unique<ShaChain>(); }

std::unique_ptr<Hash> make_hash(Algorithm algorithm) {
  if (algorithm == Algorithm::sha1) return std::make_unique<Sha1>();
  if (algorithm == Algorithm::md5) return std::make_unique<Md5>();
  return std::make_unique<Sha256>();
}

#pragma clang diagnostic pop

}  // namespace mlxbase::native
