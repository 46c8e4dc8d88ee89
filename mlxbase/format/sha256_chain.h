#pragma once
// SHA-256 whose pieces can be checked one by one: the eight words that the hash hands on from block to block (FIPS 180-4, section 6.2.2: H(i)) are kept after
// every piece. That costs nothing beside the hash itself, and each piece can be held against the words before and after it without the others being read.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mlxbase/core/digest.h"

namespace mlxbase {

namespace native {
class ChainHash;
}

inline constexpr std::uint64_t kChainPieceBytes = std::uint64_t{8} << 20U;
/// The words, big-endian.
using ChainLink = std::array<std::byte, 32>;

/// As many as `size` bytes have: one after each whole piece, less one that ends the file (there the digest tells).
constexpr std::uint64_t chain_length(std::uint64_t size) { return size == 0 ? 0 : (size - 1) / kChainPieceBytes; }

class Sha256Chain {
 public:
  Sha256Chain();
  Sha256Chain(Sha256Chain&&) noexcept;
  Sha256Chain& operator=(Sha256Chain&&) noexcept;
  ~Sha256Chain();
  void update(std::span<const std::byte> bytes);
  /// The same as a.update(a_bytes) and b.update(b_bytes), nearly twice as fast where the processor has instructions for SHA-256.
  static void update_pair(Sha256Chain& a, std::span<const std::byte> a_bytes, Sha256Chain& b, std::span<const std::byte> b_bytes);
  Sha256Chain clone() const;
  /// Of all bytes; ends it.
  Digest finish();
  /// Those so far. Empty where the platform's library does not let its state be seen.
  const std::vector<ChainLink>& links() const { return links_; }

 private:
  /// What is left of the piece that the next byte belongs to; the link between it and the one before is taken now.
  std::uint64_t begin_or_go_on();
  std::unique_ptr<native::ChainHash> hash_;
  std::vector<ChainLink> links_;
  std::uint64_t size_ = 0;
};

/// What is known of a file's bytes from when it was first seen.
struct Chain {
  Digest sha256;
  std::uint64_t size = 0;
  std::vector<ChainLink> links;  // chain_length(size)
  std::uint64_t pieces() const { return chain_length(size) + (size == 0 ? 0 : 1); }
  std::uint64_t piece_size(std::uint64_t piece) const { return piece + 1 == pieces() ? size - piece * kChainPieceBytes : kChainPieceBytes; }
};

/// One piece on its way: bytes in order, then whether they are the right ones.
class PieceCheck {
 public:
  /// Asserts that the chain has its links and that the piece is one of it.
  PieceCheck(const Chain& chain, std::uint64_t piece);
  PieceCheck(PieceCheck&&) noexcept;
  ~PieceCheck();
  void update(std::span<const std::byte> bytes);
  /// False also if it was not piece_size() bytes; ends it.
  bool finish();

 private:
  const Chain& chain_;
  std::uint64_t piece_;
  std::uint64_t size_ = 0;
  std::unique_ptr<native::ChainHash> hash_;
};

/// Whether the platform's library lets its state be seen and set, tried once on known bytes. Else no chain is ever made or used.
bool can_chain();

/// Whether two are hashed faster in step than one after the other.
bool can_pair();

}  // namespace mlxbase
