#pragma once
// Tokens and their ids, both ways; and a set of texts that finds its longest member at a place.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlxhub::text {

using TokenId = std::uint32_t;
constexpr TokenId kNoToken = UINT32_MAX;

std::uint64_t hash_of(std::string_view bytes);

/// Texts to ids: open addressing, no deletion. The texts lie in one string.
class TextMap {
 public:
  void reserve(std::size_t count);
  /// The first text of a kind keeps its place; a later one gives it its id.
  void set(std::string_view text, TokenId id);
  TokenId find(std::string_view text) const;  // kNoToken
  std::size_t size() const { return used_; }

 private:
  struct Slot {
    std::uint32_t check = 0;  // upper half of the hash
    TokenId id = kNoToken;
    std::uint32_t offset = 0, length = 0;
  };
  void grow(std::size_t slots);
  std::string texts_;
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

/// Ids to texts.
class TextList {
 public:
  void set(TokenId id, std::string_view text);
  std::string_view operator[](TokenId id) const;
  bool has(TokenId id) const { return id < places_.size() && places_[id].known; }
  std::size_t size() const { return places_.size(); }

 private:
  struct Place {
    std::uint32_t offset = 0, length = 0;
    bool known = false;
  };
  std::string texts_;
  std::vector<Place> places_;
};

/// Byte by byte.
class Trie {
 public:
  Trie() : nodes_(1) {}
  void add(std::string_view text, std::uint32_t value);
  struct Found {
    std::size_t length = 0;
    std::uint32_t value = 0;
  };
  /// The longest member that `text` begins with.
  std::optional<Found> longest(std::string_view text) const;
  bool begins(unsigned char byte) const { return first_[byte]; }
  bool empty() const { return nodes_.size() == 1; }
  static constexpr std::uint32_t kNone = UINT32_MAX;
  std::uint32_t root() const { return 0; }
  std::uint32_t child(std::uint32_t node, unsigned char byte) const;
  std::uint32_t value(std::uint32_t node) const { return nodes_[node].value; }

 private:
  struct Node {
    std::uint32_t value = kNone;
    std::uint32_t child = 0, sibling = 0;  // 0: none; siblings differ in byte
    unsigned char byte = 0;
  };
  std::vector<Node> nodes_;
  bool first_[256] = {};
};

}  // namespace mlxhub::text
