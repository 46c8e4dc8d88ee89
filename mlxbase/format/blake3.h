#pragma once
// BLAKE3 in its plain mode (no key, 32 bytes out), written from the specification "BLAKE3: one function, fast everywhere"
// (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020). One thread, no intrinsics. Used to check what InvokeAI claims.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mlxbase {

class Blake3 {
 public:
  static constexpr std::size_t kBlockBytes = 64;
  static constexpr std::size_t kChunkBytes = 1024;
  using Words = std::array<std::uint32_t, 8>;

  Blake3();
  void update(std::span<const std::byte> bytes);
  /// Leaves the state as it is: more may be added and finish() called again.
  std::array<std::byte, 32> finish() const;

 private:
  void push_chunk(Words cv);
  void take_block();

  // The chunk being filled: whole blocks are compressed as soon as it is known that another byte of the chunk follows.
  Words chunk_cv_;
  std::array<std::byte, kBlockBytes> block_{};
  std::size_t block_size_ = 0;
  std::size_t blocks_done_ = 0;
  std::uint64_t chunk_ = 0;  // its number
  // Finished subtrees whose right sibling is not known yet, largest first: one for each 1 bit of chunk_. 2^54 chunks of
  // 1 KiB are all that 64 bits of length can hold.
  std::array<Words, 54> stack_{};
  std::size_t stack_size_ = 0;
};

}  // namespace mlxbase
