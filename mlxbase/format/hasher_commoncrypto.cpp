#include <CommonCrypto/CommonDigest.h>

#include <algorithm>

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

}  // namespace

std::unique_ptr<Hash> make_hash(Algorithm algorithm) {
  if (algorithm == Algorithm::sha1) return std::make_unique<Sha1>();
  if (algorithm == Algorithm::md5) return std::make_unique<Md5>();
  return std::make_unique<Sha256>();
}

#pragma clang diagnostic pop

}  // namespace mlxbase::native
