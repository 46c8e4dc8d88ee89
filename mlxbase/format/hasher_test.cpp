#include "mlxbase/format/hasher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mlxbase/core/bytes.h"

namespace mlxbase {
namespace {

/// The input of BLAKE3's published test vectors: bytes counting up, modulo 251.
std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i % 251);
  return out;
}

std::string hash(Algorithm algorithm, std::span<const std::byte> bytes, std::size_t piece = 0) {
  Hasher hasher(algorithm, bytes.size());
  if (piece == 0) piece = bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += piece) hasher.update(bytes.subspan(at, std::min(piece, bytes.size() - at)));
  return hasher.finish().hex();
}

// Expected values: Python's hashlib and the reference implementation of BLAKE3 (PyPI blake3).
TEST(Hasher, AgreesWithOtherImplementationsOnTheFixedHashes) {
  const auto bytes = counting(100000);
  EXPECT_EQ(hash(Algorithm::sha256, bytes), "cd2df694e424bc7968cc37f47751019e5ca0cd1bdf2e479ea537c3a1c32ee1aa");
  EXPECT_EQ(hash(Algorithm::sha1, bytes), "23a1065a0f6a485119049bf2799179dd0154efbb");
  EXPECT_EQ(hash(Algorithm::md5, bytes), "28cb595c158e9b74e34ae9e8da710fff");
  EXPECT_EQ(hash(Algorithm::git_sha1, bytes), "88aea5919fa556a475407a5274e7dcd204ab3b64");
}

TEST(Hasher, HashesNothing) {
  EXPECT_EQ(hash(Algorithm::sha256, {}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash(Algorithm::git_sha1, {}), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(hash(Algorithm::md5, {}), "d41d8cd98f00b204e9800998ecf8427e");
}

TEST(Hasher, NamesTheAlgorithmInItsDigest) {
  EXPECT_EQ(Hasher(Algorithm::git_sha1, 0).finish().algorithm(), Algorithm::git_sha1);
  EXPECT_EQ(Hasher(Algorithm::blake3).finish().algorithm(), Algorithm::blake3);
  EXPECT_EQ(Hasher(Algorithm::sha256).finish().size(), 32U);
}

TEST(Hasher, GivesTheSameForAnyPieces) {
  const auto bytes = counting(10000);
  for (const auto algorithm : {Algorithm::sha256, Algorithm::sha1, Algorithm::md5, Algorithm::git_sha1, Algorithm::blake3}) {
    const auto whole = hash(algorithm, bytes);
    for (const std::size_t piece : {1U, 63U, 64U, 65U, 1000U, 1024U, 1025U, 4096U}) EXPECT_EQ(hash(algorithm, bytes, piece), whole) << piece;
  }
}

TEST(Hasher, GoesOnTwiceFromOneState) {
  const auto bytes = counting(5000);
  for (const auto algorithm : {Algorithm::sha256, Algorithm::sha1, Algorithm::md5, Algorithm::git_sha1, Algorithm::blake3}) {
    Hasher one(algorithm, bytes.size());
    one.update(std::span(bytes).first(3000));
    Hasher two = one.clone();
    two.update(std::span(bytes).subspan(3000));
    EXPECT_EQ(two.finish().hex(), hash(algorithm, bytes));
    one.update(std::span(bytes).subspan(3000));
    EXPECT_EQ(one.finish().hex(), hash(algorithm, bytes));
  }
}

TEST(Blake3, AgreesWithTheReferenceAtEveryBorder) {
  struct Vector {
    std::size_t size;
    const char* hex;
  };
  constexpr Vector kVectors[] = {
      {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
      {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
      {3, "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f"},
      {63, "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b"},
      {64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98"},
      {65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee"},
      {1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
      {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
      {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
      {2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"},
      {2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
      {3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"},
      {3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"},
      {4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969"},
      {5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833"},
      {8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"},
      {31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"},
      {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
      {1000003, "cd5a3272e01b1a2f47bb4565d8d202db0f95704d32550a2da61a0fd363d4c90d"},
  };
  for (const auto& v : kVectors) EXPECT_EQ(hash(Algorithm::blake3, counting(v.size)), v.hex) << v.size;
}

}  // namespace
}  // namespace mlxbase
