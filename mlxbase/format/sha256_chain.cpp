#include "mlxbase/format/sha256_chain.h"

#include <algorithm>
#include <cassert>

#include "mlxbase/format/hasher_native.h"
#include "mlxbase/format/sha256_pair.h"

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

bool can_pair() { return native::has_sha256_pair() && can_chain(); }

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

std::uint64_t Sha256Chain::begin_or_go_on() {
  // The link is taken when the next piece begins: one that ends the file has none.
  if (size_ > 0 && size_ % kChainPieceBytes == 0 && can_chain()) links_.push_back(hash_->words());
  return kChainPieceBytes - size_ % kChainPieceBytes;
}

void Sha256Chain::update(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), begin_or_go_on())));
    hash_->update(part);
    size_ += part.size();
    bytes = bytes.subspan(part.size());
  }
}

void Sha256Chain::update_pair(Sha256Chain& a, std::span<const std::byte> a_bytes, Sha256Chain& b, std::span<const std::byte> b_bytes) {
  if (!can_pair()) {
    a.update(a_bytes);
    return b.update(b_bytes);
  }
  // Each to a border between its own blocks, where nothing is buffered.
  const auto to_a_border = [](Sha256Chain& chain, std::span<const std::byte>& bytes) {
    const auto head = bytes.first(std::min<std::size_t>(bytes.size(), (kBlock - chain.size_ % kBlock) % kBlock));
    chain.update(head);
    bytes = bytes.subspan(head.size());
  };
  to_a_border(a, a_bytes);
  to_a_border(b, b_bytes);
  while (std::min(a_bytes.size(), b_bytes.size()) >= kBlock) {
    const std::uint64_t left = std::min(a.begin_or_go_on(), b.begin_or_go_on());
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>({a_bytes.size(), b_bytes.size(), left}) / kBlock * kBlock);
    const auto lane_of = [](const Sha256Chain& chain, std::span<const std::byte> bytes) {
      native::Sha256Lane lane{{}, bytes.data()};
      native::words_of_bytes(chain.hash_->words(), lane.words);
      return lane;
    };
    const auto go_on = [step](Sha256Chain& chain, std::span<const std::byte>& bytes, const native::Sha256Lane& lane) {
      chain.size_ += step;
      chain.hash_->resume(native::bytes_of_words(lane.words), chain.size_);
      bytes = bytes.subspan(step);
    };
    auto one = lane_of(a, a_bytes);
    auto two = lane_of(b, b_bytes);
    native::sha256_pair(one, two, step / kBlock);
    go_on(a, a_bytes, one);
    go_on(b, b_bytes, two);
  }
  a.update(a_bytes);
  b.update(b_bytes);
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
