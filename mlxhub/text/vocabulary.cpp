#include "mlxhub/text/vocabulary.h"

#include <bit>
#include <cstring>

namespace mlxhub::text {

std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t h = 0x9E3779B97F4A7C15ULL ^ bytes.size();
  const auto mix = [&h](std::uint64_t word) {
    h = (h ^ word) * 0xD6E8FEB86659FD93ULL;
    h ^= h >> 32U;
  };
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    mix(word);
  }
  if (i < bytes.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, bytes.size() - i);
    mix(word);
  }
  h *= 0xD6E8FEB86659FD93ULL;
  return h ^ (h >> 32U);
}

void TextMap::reserve(std::size_t count) { grow(std::bit_ceil(count * 2 + 16)); }

void TextMap::grow(std::size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  std::swap(old, slots_);
  for (const Slot& slot : old) {
    if (slot.id == kNoToken) continue;
    std::size_t at = hash_of(std::string_view(texts_).substr(slot.offset, slot.length)) & (slots_.size() - 1);
    while (slots_[at].id != kNoToken) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

void TextMap::set(std::string_view text, TokenId id) {
  if ((used_ + 1) * 3 > slots_.size() * 2) grow(std::bit_ceil(slots_.size() * 2 + 16));
  const std::uint64_t hash = hash_of(text);
  const auto check = static_cast<std::uint32_t>(hash >> 32U);
  std::size_t at = hash & (slots_.size() - 1);
  for (; slots_[at].id != kNoToken; at = (at + 1) & (slots_.size() - 1)) {
    Slot& slot = slots_[at];
    if (slot.check == check && std::string_view(texts_).substr(slot.offset, slot.length) == text) {
      slot.id = id;
      return;
    }
  }
  slots_[at] = {check, id, static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(text.size())};
  texts_ += text;
  ++used_;
}

TokenId TextMap::find(std::string_view text) const {
  if (slots_.empty()) return kNoToken;
  const std::uint64_t hash = hash_of(text);
  const auto check = static_cast<std::uint32_t>(hash >> 32U);
  for (std::size_t at = hash & (slots_.size() - 1); slots_[at].id != kNoToken; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.check == check && std::string_view(texts_).substr(slot.offset, slot.length) == text) return slot.id;
  }
  return kNoToken;
}

void TextList::set(TokenId id, std::string_view text) {
  if (id >= places_.size()) places_.resize(id + 1);
  places_[id] = {static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(text.size()), true};
  texts_ += text;
}
std::string_view TextList::operator[](TokenId id) const {
  if (!has(id)) return {};
  return std::string_view(texts_).substr(places_[id].offset, places_[id].length);
}

std::uint32_t Trie::child(std::uint32_t node, unsigned char byte) const {
  for (std::uint32_t at = nodes_[node].child; at != 0; at = nodes_[at].sibling) {
    if (nodes_[at].byte == byte) return at;
  }
  return kNone;
}

void Trie::add(std::string_view text, std::uint32_t value) {
  if (text.empty()) return;
  first_[static_cast<unsigned char>(text.front())] = true;
  std::uint32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    std::uint32_t next = child(node, byte);
    if (next == kNone) {
      next = static_cast<std::uint32_t>(nodes_.size());
      nodes_.push_back({.value = kNone, .child = 0, .sibling = nodes_[node].child, .byte = byte});
      nodes_[node].child = next;
    }
    node = next;
  }
  nodes_[node].value = value;
}

std::optional<Trie::Found> Trie::longest(std::string_view text) const {
  std::optional<Found> best;
  std::uint32_t node = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = child(node, static_cast<unsigned char>(text[i]));
    if (node == kNone) break;
    if (nodes_[node].value != kNone) best = Found{i + 1, nodes_[node].value};
  }
  return best;
}

}  // namespace mlxhub::text
