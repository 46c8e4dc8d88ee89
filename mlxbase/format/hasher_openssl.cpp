// The functions below EVP show a hash's state; OpenSSL 3 calls them deprecated, and keeps them.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <cstdio>
#include <cstdlib>

#include "mlxbase/format/hasher_native.h"

namespace mlxbase::native {
namespace {

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "the OpenSSL library of this machine cannot %s\n", what);
  std::abort();
}

/// Looked up once: OpenSSL 3 searches its providers under a lock at every EVP_DigestInit with an unfetched algorithm.
const EVP_MD* fetched(Algorithm algorithm) {
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static const EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  // Only to check the checksums that some stores publish; a provider that forbids it for security is not asked.
  static const EVP_MD* const md5 = EVP_MD_fetch(nullptr, "MD5", "-fips");
  if (algorithm == Algorithm::sha1) return sha1;
  return algorithm == Algorithm::md5 ? md5 : sha256;
}

class EvpHash final : public Hash {
 public:
  explicit EvpHash(Algorithm algorithm) : context_(EVP_MD_CTX_new()) {
    const EVP_MD* md = fetched(algorithm);
    if (context_ == nullptr || md == nullptr || EVP_DigestInit_ex2(context_, md, nullptr) != 1) give_up("hash");
  }
  EvpHash(const EvpHash& other) : context_(EVP_MD_CTX_new()) {
    if (context_ == nullptr || EVP_MD_CTX_copy_ex(context_, other.context_) != 1) give_up("copy a hash");
  }
  EvpHash& operator=(const EvpHash&) = delete;
  ~EvpHash() override { EVP_MD_CTX_free(context_); }

  std::unique_ptr<Hash> clone() const override { return std::make_unique<EvpHash>(*this); }
  void update(std::span<const std::byte> bytes) override {
    if (EVP_DigestUpdate(context_, bytes.data(), bytes.size()) != 1) give_up("go on hashing");
  }
  std::size_t finish(std::span<std::byte, 32> out) override {
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(out.data()), &size) != 1) give_up("finish a hash");
    return size;
  }

 private:
  EVP_MD_CTX* context_;
};

class ShaChain final : public ChainHash {
 public:
  ShaChain() {
    if (SHA256_Init(&context_) != 1) give_up("hash");
  }
  std::unique_ptr<ChainHash> clone() const override { return std::make_unique<ShaChain>(*this); }
  void update(std::span<const std::byte> bytes) override {
    if (SHA256_Update(&context_, bytes.data(), bytes.size()) != 1) give_up("go on hashing");
  }
  std::size_t finish(std::span<std::byte, 32> out) override {
    if (SHA256_Final(reinterpret_cast<unsigned char*>(out.data()), &context_) != 1) give_up("finish a hash");
    return SHA256_DIGEST_LENGTH;
  }
  std::array<std::byte, 32> words() const override { return bytes_of_words(static_cast<const SHA_LONG*>(context_.h)); }
  void resume(const std::array<std::byte, 32>& words, std::uint64_t bytes) override {
    words_of_bytes(words, static_cast<SHA_LONG*>(context_.h));
    context_.Nl = static_cast<SHA_LONG>(bytes << 3U);  // the length in bits, in two halves
    context_.Nh = static_cast<SHA_LONG>(bytes >> 29U);
    context_.num = 0;
  }

 private:
  SHA256_CTX context_{};
};

}  // namespace

std::unique_ptr<ChainHash> make_chain_hash() { return std::make_unique<ShaChain>(); }

std::unique_ptr<Hash> make_hash(Algorithm algorithm) { return std::make_unique<EvpHash>(algorithm); }

}  // namespace mlxbase::native
