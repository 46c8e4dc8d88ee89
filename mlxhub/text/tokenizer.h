#pragma once
// Text to token ids and back, as Hugging Face's `tokenizers` does it: read from tokenizer.json or from a GGUF file's metadata.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/gguf.h"
#include "mlxhub/text/vocabulary.h"

namespace mlxhub::text {

/// Does not change once it is read: many threads may use it at once.
class Tokenizer {
 public:
  /// Errors: corrupt (no tokenizer.json), unsupported (a part that is not built, by name).
  static mlxbase::Result<Tokenizer> from_json(std::string_view tokenizer_json);
  /// The header must have been read with Limits::kept_array_bytes large enough for the vocabulary. Knows byte-level BPE and SentencePiece's
  /// BPE. Errors: as from_json.
  static mlxbase::Result<Tokenizer> from_gguf(const mlxbase::gguf::Header& header);

  /// Bytes that are not UTF-8 count as U+FFFD. `special`: put the tokens around it that the model wants at the ends. Special tokens that
  /// are written out in the text are recognised; who must not let a user write them looks for them first. Errors: unsupported (a regular
  /// expression that costs too much on this text).
  mlxbase::Result<std::vector<TokenId>> encode(std::string_view text, bool special = true) const;

  /// Ids that the vocabulary does not have are left out. `skip_special` leaves special tokens out.
  std::string decode(std::span<const TokenId> ids, bool skip_special = true) const;

  /// What the token stands for within a text: raw bytes, which may be a part of a character. Empty if the vocabulary does not have it.
  std::string bytes_of(TokenId id) const;

  std::size_t size() const;                                    // one more than the greatest id
  std::optional<TokenId> id_of(std::string_view token) const;  // as it is written in the vocabulary
  std::string_view token(TokenId id) const;
  bool is_special(TokenId id) const;

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

 private:
  friend class Detokenizer;
  friend struct Parts;
  struct Built;
  explicit Tokenizer(std::shared_ptr<const Built> built);
  std::shared_ptr<const Built> built_;
};

/// One stream of tokens to text. Everything it gave, put together, is what Tokenizer::decode says of all of them; what it gives is always
/// whole characters.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = true);
  /// The text that this token makes certain; often that of the token, sometimes none yet.
  std::string push(TokenId id);
  /// The rest.
  std::string finish();

 private:
  std::string certain(bool last);
  std::shared_ptr<const Tokenizer::Built> built_;
  bool skip_special_;
  std::string bytes_;             // of the tokens so far that were not given out (byte level)
  std::vector<TokenId> pending_;  // tokens whose text is not certain (other decoders)
  std::string given_;             // of the pending tokens, what was given out already
};

}  // namespace mlxhub::text
