#include "mlxbase/format/sha256_chain.h"

#include <algorithm>
#include <cassert>

#include "mlxbase/format/hasher_native.h"

namespace mlxbase {
namespace {

constexpr std::size_t kBlock = 64;  // SHA-256's own: between two of them nothing is buffered

Digest digest_of(native::ChainHash& hash) {
  std::array<std::byte, 32> out{};
  (void)hash.finish(out);
  return {Algorithm::sha256, out};
}

/// Three blocks hashed in one go must give what the third one gives on top of the words after two, and the words must not be all there is to it.
bool try_it() {
  std::array<std::byte, 3 * kBlock> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  const auto plain = native::make_hash(Algorithm::sha256);
  plain->update(bytes);
  std::array<std::byte, 32> expected{};
  (void)plain->finish(expected);
  const auto first = native::make_chain_hash();
  first->update(std::span(bytes).first(2 * kBlock));
  const ChainLink words = first->words();
  first->update(std::span(bytes).subspan(2 * kBlock));
  const auto second = native::make_chain_hash();
  const bool starts_alike = second->words() != words;
  second->resume(words, 2 * kBlock);
  const bool kept = second->words() == words;
  second->update(std::span(bytes).subspan(2 * kBlock));
  const Digest want(Algorithm::sha256, expected);
  return starts_alike && kept && digest_of(*first) == want && digest_of(*second) == want;
}

}  // namespace

bool can_chain() {
  static const bool can = try_it();
  return can;
}

Sha256Chain::Sha256Chain() : hash_(native::make_chain_hash()) {}
Sha256Chain::Sha256Chain(Sha256Chain&&) noexcept = default;
Sha256Chain& Sha256Chain::operator=(Sha256Chain&&) noexcept = default;
Sha256Chain::~Sha256Chain() = default;

Sha256Chain Sha256Chain::clone() const {
  Sha256Chain out;
  out.hash_ = hash_->clone();
  out.links_ = links_;
  out.size_ = size_;
  return out;
}

void Sha256Chain::update(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // The link is taken when the next piece begins: one that ends the file has none.
    if (size_ > 0 && size_ % kChainPieceBytes == 0 && can_chain()) links_.push_back(hash_->words());
    const auto part = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), kChainPieceBytes - size_ % kChainPieceBytes)));
    hash_->update(part);
    size_ += part.size();
    bytes = bytes.subspan(part.size());
  }
}

Digest Sha256Chain::finish() { return digest_of(*hash_); }

PieceCheck::PieceCheck(const Chain& chain, std::uint64_t piece) : chain_(chain), piece_(piece), hash_(native::make_chain_hash()) {
  assert(chain.links.size() == chain_length(chain.size) && piece < chain.pieces());
  if (piece > 0) hash_->resume(chain.links[static_cast<std::size_t>(piece - 1)], piece * kChainPieceBytes);
}
PieceCheck::PieceCheck(PieceCheck&&) noexcept = default;
PieceCheck::~PieceCheck() = default;

void PieceCheck::update(std::span<const std::byte> bytes) {
  hash_->update(bytes);
  size_ += bytes.size();
}

bool PieceCheck::finish() {
  if (size_ != chain_.piece_size(piece_)) return false;
  if (piece_ + 1 == chain_.pieces()) return digest_of(*hash_) == chain_.sha256;
  return hash_->words() == chain_.links[static_cast<std::size_t>(piece_)];
}

}  // namespace mlxbase
