#include "mlxbase/format/blake3.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace mlxbase {
namespace {

using Words = Blake3::Words;
using Message = std::array<std::uint32_t, 16>;

// The specification's §2.1 to §2.3: initial words (SHA-256's), message order, flags.
constexpr Words kInitial = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
constexpr std::array<std::size_t, 16> kPermutation = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
constexpr std::uint32_t kChunkStart = 1U << 0U;
constexpr std::uint32_t kChunkEnd = 1U << 1U;
constexpr std::uint32_t kParent = 1U << 2U;
constexpr std::uint32_t kRoot = 1U << 3U;
constexpr int kRounds = 7;

/// Which message word each of the 16 places of each round takes: the permutation applied again and again.
constexpr auto kSchedule = [] {
  std::array<std::array<std::size_t, 16>, kRounds> s{};
  for (std::size_t i = 0; i < 16; ++i) s[0][i] = i;
  for (std::size_t r = 1; r < kRounds; ++r) {
    for (std::size_t i = 0; i < 16; ++i) s[r][i] = s[r - 1][kPermutation[i]];
  }
  return s;
}();

inline void mix(Message& v, std::size_t a, std::size_t b, std::size_t c, std::size_t d, std::uint32_t x, std::uint32_t y) {
  v[a] = v[a] + v[b] + x;
  v[d] = std::rotr(v[d] ^ v[a], 16);
  v[c] = v[c] + v[d];
  v[b] = std::rotr(v[b] ^ v[c], 12);
  v[a] = v[a] + v[b] + y;
  v[d] = std::rotr(v[d] ^ v[a], 8);
  v[c] = v[c] + v[d];
  v[b] = std::rotr(v[b] ^ v[c], 7);
}

/// The compression function; only the first eight output words, which are all that 32 bytes of output need.
Words compress(const Words& cv, const Message& m, std::uint64_t counter, std::uint32_t size, std::uint32_t flags) {
  Message v = {cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7],
               kInitial[0], kInitial[1], kInitial[2], kInitial[3],
               static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U), size, flags};
  for (const auto& s : kSchedule) {
    mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
    mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
    mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
    mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
    mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
    mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
    mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
    mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
  }
  Words out;
  for (std::size_t i = 0; i < 8; ++i) out[i] = v[i] ^ v[i + 8];
  return out;
}

Message load(const std::byte* bytes) {
  Message m;
  std::memcpy(m.data(), bytes, sizeof m);
  if constexpr (std::endian::native == std::endian::big) {
    for (auto& w : m) w = __builtin_bswap32(w);
  }
  return m;
}

Message joined(const Words& left, const Words& right) {
  Message m;
  std::copy(left.begin(), left.end(), m.begin());
  std::copy(right.begin(), right.end(), m.begin() + 8);
  return m;
}

}  // namespace

Blake3::Blake3() : chunk_cv_(kInitial) {}

/// Compresses the full block of a chunk that goes on.
void Blake3::take_block() {
  chunk_cv_ = compress(chunk_cv_, load(block_.data()), chunk_, kBlockBytes, blocks_done_ == 0 ? kChunkStart : 0);
  ++blocks_done_;
  block_size_ = 0;
}

/// Adds a finished chunk that is not the last, joining subtrees of equal size: as many as `chunk_ + 1` has trailing zeros.
void Blake3::push_chunk(Words cv) {
  for (std::uint64_t total = chunk_ + 1; (total & 1U) == 0; total >>= 1U) {
    cv = compress(kInitial, joined(stack_[--stack_size_], cv), 0, kBlockBytes, kParent);
  }
  stack_[stack_size_++] = cv;
}

void Blake3::update(std::span<const std::byte> bytes) {
  constexpr std::size_t kBlocks = kChunkBytes / kBlockBytes;
  while (!bytes.empty()) {
    if (block_size_ == kBlockBytes) {  // and another byte follows
      if (blocks_done_ == kBlocks - 1) {
        push_chunk(compress(chunk_cv_, load(block_.data()), chunk_, kBlockBytes, kChunkEnd));
        ++chunk_;
        chunk_cv_ = kInitial;
        blocks_done_ = 0;
        block_size_ = 0;
      } else {
        take_block();
      }
    }
    const std::size_t n = std::min(kBlockBytes - block_size_, bytes.size());
    std::memcpy(block_.data() + block_size_, bytes.data(), n);
    block_size_ += n;
    bytes = bytes.subspan(n);
  }
}

std::array<std::byte, 32> Blake3::finish() const {
  std::array<std::byte, kBlockBytes> last{};  // padded with zeros
  std::memcpy(last.data(), block_.data(), block_size_);
  // The root is whatever node comes last: the only chunk, or the parent of everything.
  std::uint32_t flags = kChunkEnd | (blocks_done_ == 0 ? kChunkStart : 0);
  if (stack_size_ == 0) flags |= kRoot;
  Words cv = compress(chunk_cv_, load(last.data()), chunk_, static_cast<std::uint32_t>(block_size_), flags);
  for (std::size_t i = stack_size_; i-- > 0;) {
    cv = compress(kInitial, joined(stack_[i], cv), 0, kBlockBytes, kParent | (i == 0 ? kRoot : 0));
  }
  std::array<std::byte, 32> out;
  for (std::size_t i = 0; i < 32; ++i) out[i] = static_cast<std::byte>(cv[i / 4] >> (8 * (i % 4)) & 0xFFU);
  return out;
}

}  // namespace mlxbase
