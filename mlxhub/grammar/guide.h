#pragma once
// Which tokens may come next, if the text shall fit a grammar.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "mlxhub/grammar/automaton.h"
#include "mlxhub/text/tokenizer.h"

namespace mlxhub::grammar {

/// The bytes of all tokens as a tree. Made once a model; does not change: many threads may use it at once.
class Vocabulary {
 public:
  /// Special tokens are no text, but those whose bytes are one of `markers`.
  explicit Vocabulary(const text::Tokenizer& tokenizer, std::span<const std::string_view> markers = {});
  std::size_t size() const { return bytes_.size(); }
  const std::string& bytes(text::TokenId token) const { return bytes_[token]; }  // empty: no text

 private:
  friend class Guide;
  struct Node {
    unsigned char byte = 0;
    std::uint32_t depth = 0;         // from 1
    std::uint32_t skip = 0;          // the next node that is not below this one
    std::uint32_t first = 0, count = 0;  // of tokens_: those that end here
  };
  std::vector<std::string> bytes_;
  std::vector<Node> nodes_;  // each before those below it
  std::vector<text::TokenId> tokens_;
};

/// One a sequence. One thread at a time; those that were copied from one share what they learn, so they belong to one thread too.
class Guide {
 public:
  Guide(std::shared_ptr<const Vocabulary> vocabulary, std::shared_ptr<const Grammar> grammar);
  /// Makes the logits of what does not fit minus infinity. `ends` fit where the text may end. False: nothing fits.
  bool mask(std::span<float> logits, std::span<const text::TokenId> ends);
  /// False: the token does not fit; then nothing has changed.
  bool accept(text::TokenId token);
  bool may_end() const { return shared_->automaton.may_end(state_); }
  /// The text is whole, and nothing may follow.
  bool must_end() const { return shared_->automaton.must_end(state_); }

 private:
  using Bits = std::vector<std::uint64_t>;
  struct Shared {
    explicit Shared(std::shared_ptr<const Grammar> grammar) : automaton(std::move(grammar)) {}
    Automaton automaton;
    std::unordered_map<Automaton::State, Bits> masks;
  };
  const Bits& fitting();

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::shared_ptr<Shared> shared_;
  Automaton::State state_;
};

}  // namespace mlxhub::grammar
