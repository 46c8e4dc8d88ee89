#include "mlxhub/text/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <queue>

#include "mlxhub/text/unicode.h"

namespace mlxhub::text {
namespace {

constexpr std::size_t kFew = 48;  // symbols of a piece up to which looking at all of them beats a heap

std::array<std::int16_t, 512> letter_table() {
  std::array<std::int16_t, 512> bytes{};
  bytes.fill(-1);
  std::uint32_t next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
    bytes[itself ? static_cast<std::uint32_t>(b) : next++] = static_cast<std::int16_t>(b);
  }
  return bytes;
}
const std::array<std::int16_t, 512> kLetters = letter_table();

std::size_t mix(std::uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15ULL;
  return static_cast<std::size_t>(pair ^ (pair >> 32U));
}

std::size_t character_length(unsigned char first) { return first < 0x80 ? 1 : (first < 0xE0 ? 2 : (first < 0xF0 ? 3 : 4)); }

}  // namespace

std::optional<unsigned char> byte_of_letter(std::uint32_t point) {
  if (point >= kLetters.size() || kLetters[point] < 0) return std::nullopt;
  return static_cast<unsigned char>(kLetters[point]);
}
std::optional<std::string> bytes_of_letters(std::string_view token) {
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const auto byte = byte_of_letter(next_point(token, at));
    if (!byte) return std::nullopt;
    out += static_cast<char>(*byte);
  }
  return out;
}

// ---- byte pair encoding
Bpe::Bpe(BpeConfig config, TextMap texts) : config_(std::move(config)), texts_(std::move(texts)) {
  for (int b = 0; b < 256; ++b) {
    const std::string text = config_.byte_level ? std::string(1, static_cast<char>(b)) : fmt::format("<0x{:02X}>", b);
    bytes_[b] = texts_.find(text);
  }
}

void Bpe::reserve_merges(std::size_t count) { merges_.resize(std::bit_ceil(count * 2 + 16)); }

void Bpe::add_merge(TokenId left, TokenId right, std::uint32_t rank, TokenId made) {
  const std::uint64_t pair = (std::uint64_t{left} << 32U) | right;
  if ((merges_used_ + 1) * 4 > merges_.size() * 3) {
    std::vector<Merge> old(std::bit_ceil(merges_.size() * 2 + 16));
    std::swap(old, merges_);
    for (const Merge& merge : old) {
      if (merge.pair == ~std::uint64_t{0}) continue;
      std::size_t at = mix(merge.pair) & (merges_.size() - 1);
      while (merges_[at].pair != ~std::uint64_t{0}) at = (at + 1) & (merges_.size() - 1);
      merges_[at] = merge;
    }
  }
  std::size_t at = mix(pair) & (merges_.size() - 1);
  while (merges_[at].pair != ~std::uint64_t{0} && merges_[at].pair != pair) at = (at + 1) & (merges_.size() - 1);
  if (merges_[at].pair != pair) ++merges_used_;
  merges_[at] = {pair, rank, made};
}

const Bpe::Merge* Bpe::find(TokenId left, TokenId right) const {
  if (merges_.empty()) return nullptr;
  const std::uint64_t pair = (std::uint64_t{left} << 32U) | right;
  for (std::size_t at = mix(pair) & (merges_.size() - 1);; at = (at + 1) & (merges_.size() - 1)) {
    if (merges_[at].pair == pair) return &merges_[at];
    if (merges_[at].pair == ~std::uint64_t{0}) return nullptr;
  }
}

void Bpe::symbols(std::string_view piece, std::vector<TokenId>& ids) const {
  if (config_.byte_level) {
    for (const char c : piece) {
      const TokenId id = bytes_[static_cast<unsigned char>(c)];
      if (id != kNoToken) {
        ids.push_back(id);
      } else if (config_.unknown != kNoToken && !(config_.fuse_unknown && !ids.empty() && ids.back() == config_.unknown)) {
        ids.push_back(config_.unknown);
      }
    }
    return;
  }
  bool after_unknown = false;
  std::string decorated;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t n = std::min(character_length(static_cast<unsigned char>(piece[at])), piece.size() - at);
    std::string_view one = piece.substr(at, n);
    if (!config_.continuing_prefix.empty() || !config_.end_suffix.empty()) {
      decorated = (at > 0 ? config_.continuing_prefix : "") + std::string(one) + (at + n == piece.size() ? config_.end_suffix : "");
      one = decorated;
    }
    TokenId id = texts_.find(one);
    const bool bytes = id == kNoToken && config_.byte_fallback &&
                       std::all_of(piece.begin() + static_cast<std::ptrdiff_t>(at), piece.begin() + static_cast<std::ptrdiff_t>(at + n),
                                   [&](char c) { return bytes_[static_cast<unsigned char>(c)] != kNoToken; });
    if (id != kNoToken) {
      ids.push_back(id);
      after_unknown = false;
    } else if (bytes) {
      for (std::size_t i = 0; i < n; ++i) ids.push_back(bytes_[static_cast<unsigned char>(piece[at + i])]);
      after_unknown = false;
    } else if (config_.unknown != kNoToken) {
      if (!(after_unknown && config_.fuse_unknown)) ids.push_back(config_.unknown);
      after_unknown = true;
    }
    at += n;
  }
}

void Bpe::merge_few(std::vector<TokenId>& ids) const {
  constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t ranks[kFew];
  TokenId made[kFew];
  const auto look = [&](std::size_t i) {
    const Merge* merge = i + 1 < ids.size() ? find(ids[i], ids[i + 1]) : nullptr;
    ranks[i] = merge == nullptr ? kNever : merge->rank;
    made[i] = merge == nullptr ? 0 : merge->made;
  };
  for (std::size_t i = 0; i < ids.size(); ++i) look(i);
  while (ids.size() > 1) {
    const std::size_t best = static_cast<std::size_t>(std::min_element(ranks, ranks + ids.size() - 1) - ranks);
    if (ranks[best] == kNever) return;
    ids[best] = made[best];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(ranks + best + 2, ranks + ids.size() + 1, ranks + best + 1);
    std::copy(made + best + 2, made + ids.size() + 1, made + best + 1);
    look(best);
    if (best > 0) look(best - 1);
  }
}

void Bpe::merge_many(std::vector<TokenId>& ids) const {
  struct Symbol {
    TokenId id;
    std::int64_t before, after;
    bool gone;
  };
  struct Candidate {
    std::uint32_t rank;
    std::int64_t at;
    TokenId left, right, made;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }  // the heap's top is the least
  };
  const auto n = static_cast<std::int64_t>(ids.size());
  std::vector<Symbol> symbols;
  symbols.reserve(ids.size());
  for (std::int64_t i = 0; i < n; ++i) symbols.push_back({ids[static_cast<std::size_t>(i)], i - 1, i + 1 < n ? i + 1 : -1, false});
  std::priority_queue<Candidate> heap;
  const auto look = [&](std::int64_t at) {
    if (at < 0) return;
    const Symbol& left = symbols[static_cast<std::size_t>(at)];
    if (left.after < 0) return;
    const Symbol& right = symbols[static_cast<std::size_t>(left.after)];
    if (const Merge* merge = find(left.id, right.id)) heap.push({merge->rank, at, left.id, right.id, merge->made});
  };
  for (std::int64_t i = 0; i + 1 < n; ++i) look(i);
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    Symbol& left = symbols[static_cast<std::size_t>(top.at)];
    if (left.gone || left.id != top.left || left.after < 0) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.after)];
    if (right.id != top.right) continue;
    left.id = top.made;
    right.gone = true;
    left.after = right.after;
    if (left.after >= 0) symbols[static_cast<std::size_t>(left.after)].before = top.at;
    look(top.at);
    look(left.before);
  }
  ids.clear();
  for (std::int64_t at = 0; at >= 0; at = symbols[static_cast<std::size_t>(at)].after)
    ids.push_back(symbols[static_cast<std::size_t>(at)].id);
}

void Bpe::encode(std::string_view piece, std::vector<TokenId>& out, PieceCache& cache) const {
  if (piece.empty()) return;
  PieceCache::Entry* entry = piece.size() <= 64 ? cache.slot(hash_of(piece)) : nullptr;
  if (entry != nullptr && entry->piece == piece) {
    for (std::uint32_t i = 0; i < entry->count; ++i) out.push_back(out[entry->begin + i]);
    return;
  }
  const std::size_t begin = out.size();
  if (const TokenId whole = config_.ignore_merges ? texts_.find(piece) : kNoToken; whole != kNoToken) {
    out.push_back(whole);
  } else {
    thread_local std::vector<TokenId> ids;
    ids.clear();
    symbols(piece, ids);
    if (ids.size() > kFew) {
      merge_many(ids);
    } else if (ids.size() > 1) {
      merge_few(ids);
    }
    out.insert(out.end(), ids.begin(), ids.end());
  }
  if (entry != nullptr) *entry = {piece, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(out.size() - begin)};
}

// ---- WordPiece
void WordPiece::encode(std::string_view piece, std::vector<TokenId>& out, PieceCache&) const {
  const std::size_t points = static_cast<std::size_t>(
      std::count_if(piece.begin(), piece.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
  if (points > longest_) {
    out.push_back(unknown_);
    return;
  }
  const std::size_t begin = out.size();
  std::string part;
  for (std::size_t at = 0; at < piece.size();) {
    std::size_t end = piece.size();
    TokenId id = kNoToken;
    for (; end > at; --end) {
      if (end < piece.size() && (static_cast<unsigned char>(piece[end]) & 0xC0U) == 0x80) continue;
      part = (at > 0 ? prefix_ : "") + std::string(piece.substr(at, end - at));
      id = texts_.find(part);
      if (id != kNoToken) break;
    }
    if (id == kNoToken) {
      out.resize(begin);
      out.push_back(unknown_);
      return;
    }
    out.push_back(id);
    at = end;
  }
}

// ---- Unigram
Unigram::Unigram(const std::vector<Piece>& pieces, TokenId unknown, bool byte_fallback) : unknown_(unknown), fallback_(byte_fallback) {
  std::fill(std::begin(bytes_), std::end(bytes_), kNoToken);
  double least = 0;
  for (TokenId id = 0; id < pieces.size(); ++id) {
    trie_.add(pieces[id].text, id);
    scores_.push_back(pieces[id].score);
    least = std::min(least, pieces[id].score);
    const std::string& text = pieces[id].text;
    if (text.size() == 6 && text.starts_with("<0x") && text.back() == '>') {
      const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : (c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1); };
      if (digit(text[3]) >= 0 && digit(text[4]) >= 0) bytes_[digit(text[3]) * 16 + digit(text[4])] = id;
    }
  }
  unknown_score_ = least - 10.0;
}

void Unigram::encode(std::string_view piece, std::vector<TokenId>& out, PieceCache&) const {
  struct Best {
    double score = 0;
    std::size_t from = 0;
    TokenId id = kNoToken;
    bool reached = false;
  };
  std::vector<Best> best(piece.size() + 1);
  best[0].reached = true;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t n = std::min(character_length(static_cast<unsigned char>(piece[at])), piece.size() - at);
    bool single = false;
    std::uint32_t node = trie_.root();
    for (std::size_t end = at; end < piece.size();) {
      node = trie_.child(node, static_cast<unsigned char>(piece[end++]));
      if (node == Trie::kNone) break;
      const std::uint32_t id = trie_.value(node);
      if (id == Trie::kNone) continue;
      const double score = best[at].score + scores_[id];
      if (!best[end].reached || score > best[end].score) best[end] = {score, at, id, true};
      single = single || end == at + n;
    }
    if (!single) {
      const double score = best[at].score + unknown_score_;
      if (!best[at + n].reached || score > best[at + n].score) best[at + n] = {score, at, unknown_, true};
    }
    at += n;
  }
  std::vector<std::pair<TokenId, std::string_view>> parts;
  for (std::size_t end = piece.size(); end > 0; end = best[end].from) {
    const std::string_view text = piece.substr(best[end].from, end - best[end].from);
    if (best[end].id == unknown_ && !parts.empty() && parts.back().first == unknown_) {
      parts.back().second = std::string_view(text.data(), text.size() + parts.back().second.size());  // unknown ones side by side are one
    } else {
      parts.emplace_back(best[end].id, text);
    }
  }
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const auto all_bytes = [&] {
      return std::all_of(part->second.begin(), part->second.end(),
                         [&](char c) { return bytes_[static_cast<unsigned char>(c)] != kNoToken; });
    };
    if (part->first == unknown_ && fallback_ && all_bytes()) {
      for (const char c : part->second) out.push_back(bytes_[static_cast<unsigned char>(c)]);
    } else if (part->first != kNoToken) {
      out.push_back(part->first);
    }
  }
}

}  // namespace mlxhub::text
