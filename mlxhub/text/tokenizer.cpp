#include "mlxhub/text/tokenizer.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "mlxbase/core/printable.h"
#include "mlxhub/text/parts.h"
#include "mlxhub/text/unicode.h"

namespace mlxhub::text {

using mlxbase::Result;
using mlxbase::Status;

struct Tokenizer::Built {
  Parts parts;
  Trie raw, normal;  // added tokens by index: those looked for in the text as it is, and those in the normalised one
  std::unordered_map<TokenId, std::size_t> added_by_id;
  std::vector<std::string> token_bytes;  // of a byte level vocabulary: what each token says, in bytes
  bool streams = true;

  struct Run {
    explicit Run(std::size_t bytes) : cache(bytes) {}
    std::deque<std::string> texts;  // keeps what pieces point into
    std::deque<Pieces> pieces;
    PieceCache cache;
    std::vector<TokenId> ids;
  };
  Status encode_plain(std::string_view text, bool at_start, Run& run) const;
  template <class Between>
  Status split_added(std::string_view text, const Trie& trie, Run& run, Between between) const;
  void append_token(std::string& out, TokenId id) const;
  bool skipped(TokenId id, bool skip_special) const {
    if (!skip_special) return false;
    const auto found = added_by_id.find(id);
    return found != added_by_id.end() && parts.added[found->second].special;
  }
  std::string decode(std::span<const TokenId> ids, bool skip_special) const;
  /// Whether the decoder sees a byte in this token, so that its text depends on what follows.
  bool is_byte(TokenId id) const {
    std::vector<std::string> text{std::string(parts.tokens[id])};
    for (const auto& step : parts.decoder) {
      if (step->kind() == DecodeStep::Kind::bytes) return text.size() == 1 && byte_of_token(text.front()) >= 0;
      step->run(text);
    }
    return false;
  }
};

namespace {

bool word_before(std::string_view text, std::size_t at) {
  if (at == 0) return false;
  std::size_t begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) --begin;
  return is_word(next_point(text, begin));
}
bool word_after(std::string_view text, std::size_t at) { return at < text.size() && is_word(next_point(text, at)); }

}  // namespace

/// Calls `between` for the text between added tokens, and puts the tokens where they stand.
template <class Between>
Status Tokenizer::Built::split_added(std::string_view text, const Trie& trie, Run& run, Between between) const {
  std::size_t done = 0;
  for (std::size_t at = 0; !trie.empty() && at < text.size();) {
    if (!trie.begins(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    const auto found = trie.longest(text.substr(at));
    if (!found) {
      ++at;
      continue;
    }
    const AddedToken& token = parts.added[found->value];
    std::size_t begin = at, end = at + found->length;
    at = end;
    if (token.single_word && (word_before(text, begin) || word_after(text, end))) continue;
    if (token.lstrip) {
      while (begin > done) {
        std::size_t before = begin - 1;
        while (before > done && (static_cast<unsigned char>(text[before]) & 0xC0U) == 0x80) --before;
        std::size_t next = before;
        if (!is_space(next_point(text, next))) break;
        begin = before;
      }
    }
    if (token.rstrip) {
      while (end < text.size()) {
        std::size_t next = end;
        if (!is_space(next_point(text, next))) break;
        end = next;
      }
      at = end;
    }
    if (begin > done) TRY(between(text.substr(done, begin - done), done == 0));
    run.ids.push_back(token.id);
    done = end;
  }
  if (done < text.size()) TRY(between(text.substr(done), done == 0));
  return {};
}

Status Tokenizer::Built::encode_plain(std::string_view text, bool at_start, Run& run) const {
  Pieces& pieces = run.pieces.emplace_back();
  pieces.list.push_back(text);
  pieces.at_start = at_start;
  if (parts.splitter) TRY(parts.splitter->run(pieces));
  for (const std::string_view piece : pieces.list) {
    if (!piece.empty()) parts.model->encode(piece, run.ids, run.cache);
  }
  return {};
}

Tokenizer::Tokenizer(std::shared_ptr<const Built> built) : built_(std::move(built)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Parts::build() && {
  auto built = std::make_shared<Tokenizer::Built>();
  for (std::size_t i = 0; i < added.size(); ++i) {
    AddedToken& token = added[i];
    built->added_by_id[token.id] = i;
    tokens.set(token.id, token.content);
    ids.set(token.content, token.id);
    if (token.content.empty()) continue;
    if (!token.normalized) {
      built->raw.add(token.content, static_cast<std::uint32_t>(i));
    } else if (normalizer) {
      built->normal.add(TRY(normalizer->run(token.content)), static_cast<std::uint32_t>(i));
    } else {
      built->normal.add(token.content, static_cast<std::uint32_t>(i));
    }
  }
  if (byte_decoder) {
    built->token_bytes.resize(tokens.size());
    for (TokenId id = 0; id < tokens.size(); ++id) {
      const std::string_view text = tokens[id];
      built->token_bytes[id] = bytes_of_letters(text).value_or(std::string(text));
    }
  }
  built->streams = can_stream(decoder);
  built->parts = std::move(*this);
  return Tokenizer(std::move(built));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, bool special) const {
  const Built& built = *built_;
  Built::Run run(text.size());
  run.ids.reserve(text.size() / 3 + 8);
  if (!mlxbase::is_utf8(text)) text = run.texts.emplace_back(lossy(text));
  if (special) run.ids = built.parts.before;
  TRY(built.split_added(text, built.raw, run, [&](std::string_view part, bool first) -> Status {
    if (built.parts.normalizer) part = run.texts.emplace_back(TRY(built.parts.normalizer->run(std::string(part))));
    return built.split_added(part, built.normal, run,
                             [&](std::string_view plain, bool first_too) { return built.encode_plain(plain, first && first_too, run); });
  }));
  if (special) run.ids.insert(run.ids.end(), built.parts.after.begin(), built.parts.after.end());
  return std::move(run.ids);
}

std::string Tokenizer::Built::decode(std::span<const TokenId> ids, bool skip_special) const {
  if (parts.byte_decoder) {
    std::string bytes;
    for (const TokenId id : ids) {
      if (id < token_bytes.size() && !skipped(id, skip_special)) bytes += token_bytes[id];
    }
    return lossy(bytes);
  }
  std::vector<std::string> texts;
  for (const TokenId id : ids) {
    if (parts.tokens.has(id) && !skipped(id, skip_special)) texts.emplace_back(parts.tokens[id]);
  }
  for (const auto& step : parts.decoder) step->run(texts);
  std::string out;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0 && parts.join_by_space) out += ' ';
    out += texts[i];
  }
  return out;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const { return built_->decode(ids, skip_special); }
std::string Tokenizer::bytes_of(TokenId id) const {
  const Built& built = *built_;
  if (built.parts.byte_decoder) return id < built.token_bytes.size() ? built.token_bytes[id] : std::string();
  if (!built.parts.tokens.has(id)) return {};
  if (built.is_byte(id)) return std::string(1, static_cast<char>(byte_of_token(built.parts.tokens[id])));
  // Decoders treat the first token differently, so the second of two is looked at.
  const TokenId twice[] = {id, id};
  const std::string first = built.decode(std::span(twice).first(1), false), both = built.decode(twice, false);
  return both.starts_with(first) ? both.substr(first.size()) : first;
}
std::size_t Tokenizer::size() const { return built_->parts.tokens.size(); }
std::optional<TokenId> Tokenizer::id_of(std::string_view token) const {
  const TokenId id = built_->parts.ids.find(token);
  return id == kNoToken ? std::nullopt : std::optional<TokenId>(id);
}
std::string_view Tokenizer::token(TokenId id) const { return built_->parts.tokens[id]; }
bool Tokenizer::is_special(TokenId id) const { return built_->skipped(id, true); }

// ---- streams
Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special) : built_(tokenizer.built_), skip_special_(skip_special) {}

std::string Detokenizer::push(TokenId id) {
  const Tokenizer::Built& built = *built_;
  if (built.skipped(id, skip_special_)) return {};
  if (built.parts.byte_decoder) {
    if (id < built.token_bytes.size()) bytes_ += built.token_bytes[id];
    const std::size_t held = unfinished(bytes_);
    std::string out = lossy(std::string_view(bytes_).substr(0, bytes_.size() - held));
    bytes_.erase(0, bytes_.size() - held);
    return out;
  }
  if (!built.parts.tokens.has(id)) return {};
  pending_.push_back(id);
  return certain(false);
}

std::string Detokenizer::finish() {
  if (built_->parts.byte_decoder) return lossy(std::exchange(bytes_, {}));
  return certain(true);
}

/// Tokens of bytes ("<0x0A>") are certain once one of another kind follows. What a decoder does to a token depends on whether it is the
/// first, so the text of the last few tokens is made again, and what was given before is taken off.
std::string Detokenizer::certain(bool last) {
  const Tokenizer::Built& built = *built_;
  if (!built.streams && !last) return {};  // a decoder whose first words depend on the last ones
  std::size_t sure = pending_.size();
  while (!last && sure > 0 && built.is_byte(pending_[sure - 1])) --sure;
  if (sure == 0) return {};
  const std::string text = built.decode(std::span(pending_).first(sure), false);
  if (!text.starts_with(given_)) return {};
  std::string out = text.substr(given_.size());
  given_ = text;
  if (sure > 8 && sure == pending_.size()) {  // from here on the last token stands for all before it, if it has a text
    const std::string alone = built.decode(std::span(pending_).last(1), false);
    if (!alone.empty()) {
      pending_.erase(pending_.begin(), pending_.end() - 1);
      given_ = alone;
    }
  }
  return out;
}

}  // namespace mlxhub::text
