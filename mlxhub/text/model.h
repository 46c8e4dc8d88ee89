#pragma once
// The models of tokenisers: a piece of text to ids.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxhub/text/vocabulary.h"

namespace mlxhub::text {

/// Pieces that were met before in the same text, so that they need not be merged again.
class PieceCache {
 public:
  explicit PieceCache(std::size_t text_bytes) {
    if (text_bytes >= 1024) entries_.resize(text_bytes >= 65536 ? 16384 : 1024);
  }
  struct Entry {
    std::string_view piece;
    std::uint32_t begin = 0, count = 0;  // in the ids made so far
  };
  Entry* slot(std::uint64_t hash) { return entries_.empty() ? nullptr : &entries_[hash & (entries_.size() - 1)]; }

 private:
  std::vector<Entry> entries_;
};

class Model {
 public:
  virtual ~Model() = default;
  /// Appends the ids of one piece. `piece` must live as long as `cache`.
  virtual void encode(std::string_view piece, std::vector<TokenId>& out, PieceCache& cache) const = 0;
};

struct BpeConfig {
  bool byte_level = false;  // the pieces are bytes, and so are the tokens (already turned back from GPT-2's letters)
  bool ignore_merges = false;
  bool byte_fallback = false;
  bool fuse_unknown = false;
  TokenId unknown = kNoToken;
  std::string continuing_prefix, end_suffix;
};

class Bpe final : public Model {
 public:
  /// `texts` maps what pieces are made of to ids: bytes if byte_level, else UTF-8.
  Bpe(BpeConfig config, TextMap texts);
  /// Merges in the order of their rank. A pair given again takes the later rank.
  void reserve_merges(std::size_t count);
  void add_merge(TokenId left, TokenId right, std::uint32_t rank, TokenId made);
  void encode(std::string_view piece, std::vector<TokenId>& out, PieceCache& cache) const override;

 private:
  struct Merge {
    std::uint64_t pair = ~std::uint64_t{0};
    std::uint32_t rank = 0;
    TokenId made = 0;
  };
  const Merge* find(TokenId left, TokenId right) const;
  void symbols(std::string_view piece, std::vector<TokenId>& ids) const;
  void merge_few(std::vector<TokenId>& ids) const;
  void merge_many(std::vector<TokenId>& ids) const;

  BpeConfig config_;
  TextMap texts_;
  TokenId bytes_[256];         // of single bytes (byte_level), or of <0xNN> (byte_fallback)
  std::vector<Merge> merges_;  // open addressing
  std::size_t merges_used_ = 0;
};

class WordPiece final : public Model {
 public:
  WordPiece(TextMap texts, TokenId unknown, std::string prefix, std::size_t longest)
      : texts_(std::move(texts)), unknown_(unknown), prefix_(std::move(prefix)), longest_(longest) {}
  void encode(std::string_view piece, std::vector<TokenId>& out, PieceCache& cache) const override;

 private:
  TextMap texts_;
  TokenId unknown_;
  std::string prefix_;
  std::size_t longest_;
};

class Unigram final : public Model {
 public:
  struct Piece {
    std::string text;
    double score = 0;
  };
  Unigram(const std::vector<Piece>& pieces, TokenId unknown, bool byte_fallback);
  void encode(std::string_view piece, std::vector<TokenId>& out, PieceCache& cache) const override;

 private:
  Trie trie_;
  std::vector<double> scores_;
  TokenId unknown_;
  double unknown_score_ = 0;
  TokenId bytes_[256];
  bool fallback_ = false;
};

/// GPT-2's letters for bytes: 'Ġ' for a space. The byte of a letter, or nothing.
std::optional<unsigned char> byte_of_letter(std::uint32_t point);
/// The bytes of a token written in those letters, or nothing if it has others.
std::optional<std::string> bytes_of_letters(std::string_view token);

}  // namespace mlxhub::text
