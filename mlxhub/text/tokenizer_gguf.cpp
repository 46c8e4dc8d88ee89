// Reads the tokeniser of a GGUF file's metadata (`tokenizer.ggml.*`): byte-level BPE ("gpt2") and SentencePiece's BPE ("llama").
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/json.h"
#include "mlxhub/text/parts.h"

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace gguf = mlxbase::gguf;
namespace json = mlxbase::json;

std::unexpected<mlxbase::Error> corrupt(std::string_view what) { return fail(Code::corrupt, fmt::format("GGUF: tokenizer: {}", what)); }

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// What tokenizer.ggml.pre names: how text is cut, each pattern within the pieces of the one before.
struct PreTokenizer {
  std::string_view name;
  bool bos;            // unless the file says otherwise
  bool ignore_merges;  // a piece that is a token is that token
  std::vector<std::string> patterns;
};
const std::vector<PreTokenizer>& pre_tokenizers() {
  static const std::string gpt2(kGpt2), llama3(kLlama3), qwen2(kQwen2), digit(R"(\p{N})");
  static const std::vector<PreTokenizer> table = {
      {"gpt-2", false, false, {gpt2}},
      {"mpt", false, false, {gpt2}},
      {"olmo", false, false, {gpt2}},
      {"llama-bpe", true, true, {llama3}},
      {"llama3", true, true, {llama3}},
      {"llama-v3", true, true, {llama3}},
      {"qwen2", false, false, {qwen2}},
      {"qwen35", false, false, {std::string(kQwen35)}},
      {"deepseek-r1-qwen", false, false, {qwen2}},
      {"gpt-4o", false, true, {std::string(kGpt4o)}},
      {"smollm", false, false, {digit, gpt2}},
      {"starcoder", false, false, {digit, gpt2}},
      {"refact", false, false, {digit, gpt2}},
      {"command-r", false, false, {digit, gpt2}},
      {"deepseek-coder", false, false, {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", digit}},
      {"falcon", false, false, {R"([\p{P}\$\+<=>\^~\|`]+)", gpt2, "[0-9][0-9][0-9]"}},
  };
  return table;
}

/// The texts of an array of strings. Errors: corrupt, invalid (the header was read without it).
Result<std::vector<std::string_view>> texts(const gguf::Header& header, const std::string& key) {
  const gguf::Value* value = header.find(key);
  std::vector<std::string_view> out;
  if (value == nullptr) return out;
  if (value->type != gguf::Type::array || value->element != gguf::Type::string) return corrupt(fmt::format("{} is no list of texts", key));
  if (value->elements.empty() && value->count > 0)
    return fail(Code::invalid, fmt::format("GGUF: {} was not kept when the header was read", key));
  mlxbase::ByteReader reader(value->elements);
  out.reserve(value->count);
  for (std::uint64_t i = 0; i < value->count && reader.ok(); ++i) {
    const auto length = reader.get<std::uint64_t>();
    out.push_back(mlxbase::as_text(reader.get_bytes(static_cast<std::size_t>(length))));
  }
  if (!reader.ok()) return corrupt(fmt::format("{} is cut short", key));
  return out;
}

Result<std::vector<std::uint32_t>> words(const gguf::Header& header, const std::string& key, std::size_t count) {
  const gguf::Value* value = header.find(key);
  std::vector<std::uint32_t> out;
  if (value == nullptr) return out;
  if (value->type != gguf::Type::array || value->elements.size() != count * 4 || value->count != count)
    return corrupt(fmt::format("{} does not fit the tokens", key));
  mlxbase::ByteReader reader(value->elements);
  for (std::size_t i = 0; i < count; ++i) out.push_back(reader.get<std::uint32_t>());
  return out;
}

std::string text_of(const gguf::Header& header, std::string_view key) {
  const gguf::Value* value = header.find(key);
  return value == nullptr ? std::string() : value->text;
}
std::optional<std::uint64_t> number_of(const gguf::Header& header, std::string_view key) {
  const gguf::Value* value = header.find(key);
  return value == nullptr ? std::nullopt : value->if_unsigned();
}

enum TokenType : std::uint32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

void read_ends(const gguf::Header& header, bool bos, bool eos, Parts& parts) {
  const auto put = [&](std::string_view add, bool otherwise, std::string_view which, std::vector<TokenId>& to) {
    const auto id = number_of(header, which);
    if (number_of(header, add).value_or(otherwise ? 1 : 0) != 0 && id && parts.tokens.has(static_cast<TokenId>(*id)))
      to.push_back(static_cast<TokenId>(*id));
  };
  put("tokenizer.ggml.add_bos_token", bos, "tokenizer.ggml.bos_token_id", parts.before);
  put("tokenizer.ggml.add_eos_token", eos, "tokenizer.ggml.eos_token_id", parts.after);
}

mlxbase::Status read_byte_level(const gguf::Header& header, Parts& parts) {
  const std::string pre = text_of(header, "tokenizer.ggml.pre");
  const auto& table = pre_tokenizers();
  const auto row = std::find_if(table.begin(), table.end(), [&](const PreTokenizer& p) { return p.name == pre; });
  if (row == table.end()) return fail(Code::unsupported, fmt::format("GGUF: the pre-tokenizer \"{}\"", pre));
  parts.splitter = TRY(make_regex_splitter(row->patterns));
  parts.byte_decoder = true;
  TextMap bytes;
  bytes.reserve(parts.tokens.size());
  for (TokenId id = 0; id < parts.tokens.size(); ++id) {
    if (auto raw = bytes_of_letters(parts.tokens[id])) bytes.set(*raw, id);
  }
  auto bpe = std::make_unique<Bpe>(BpeConfig{.byte_level = true, .ignore_merges = row->ignore_merges}, std::move(bytes));
  const auto merges = TRY(texts(header, "tokenizer.ggml.merges"));
  bpe->reserve_merges(merges.size());
  std::uint32_t rank = 0;
  std::string made;
  for (const std::string_view merge : merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) return corrupt("a merge that is no pair");
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    made.assign(left).append(right);
    const TokenId a = parts.ids.find(left), b = parts.ids.find(right), c = parts.ids.find(made);
    if (a == kNoToken || b == kNoToken || c == kNoToken) return corrupt("a merge of tokens that are not in the vocabulary");
    bpe->add_merge(a, b, rank++, c);
  }
  parts.model = std::move(bpe);
  read_ends(header, row->bos, false, parts);
  return {};
}

/// SentencePiece merges the pair whose token has the best score: each way to cut a token in two is a merge of that token's rank.
mlxbase::Status read_sentence_piece(const gguf::Header& header, const std::vector<std::uint32_t>& types, Parts& parts) {
  const std::size_t count = parts.tokens.size();
  const auto scores = TRY(words(header, "tokenizer.ggml.scores", count));
  if (scores.size() != count) return corrupt("no scores");
  std::vector<TokenId> order(count);
  std::iota(order.begin(), order.end(), TokenId{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return std::bit_cast<float>(scores[a]) > std::bit_cast<float>(scores[b]); });
  BpeConfig config{.byte_fallback = true, .fuse_unknown = true};
  config.unknown = static_cast<TokenId>(number_of(header, "tokenizer.ggml.unknown_token_id").value_or(kNoToken));
  auto bpe = std::make_unique<Bpe>(std::move(config), parts.ids);
  bpe->reserve_merges(count * 2);
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const TokenId id = order[i];
    if (i > 0 && scores[id] != scores[order[i - 1]]) ++rank;
    const std::uint32_t type = types.empty() ? static_cast<std::uint32_t>(normal) : types[id];
    if (type != normal && type != user_defined && type != unused) continue;
    const std::string_view text = parts.tokens[id];
    for (std::size_t at = 1; at < text.size(); ++at) {
      if ((static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) continue;
      const TokenId a = parts.ids.find(text.substr(0, at)), b = parts.ids.find(text.substr(at));
      if (a != kNoToken && b != kNoToken) bpe->add_merge(a, b, rank, id);
    }
  }
  parts.model = std::move(bpe);
  const bool prefix = number_of(header, "tokenizer.ggml.add_space_prefix").value_or(1) != 0;
  const auto steps = TRY(json::parse(
      prefix
          ? R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})"
          : R"({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})"));
  parts.normalizer = TRY(make_normalizer(steps));
  const auto decoder = TRY(json::parse(
      R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})"));
  parts.decoder = TRY(make_decoder(decoder, parts.byte_decoder));
  if (!prefix) parts.decoder.pop_back();
  read_ends(header, true, false, parts);
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_gguf(const gguf::Header& header) {
  const std::string model = text_of(header, "tokenizer.ggml.model");
  if (model != "gpt2" && model != "llama") {
    return fail(model.empty() ? Code::corrupt : Code::unsupported,
                model.empty() ? std::string("GGUF: no tokenizer in it") : fmt::format("GGUF: the tokenizer \"{}\"", model));
  }
  const auto tokens = TRY(texts(header, "tokenizer.ggml.tokens"));
  if (tokens.empty()) return corrupt("no tokens");
  const auto types = TRY(words(header, "tokenizer.ggml.token_type", tokens.size()));
  Parts parts;
  parts.ids.reserve(tokens.size());
  for (TokenId id = 0; id < tokens.size(); ++id) {
    parts.tokens.set(id, tokens[id]);
    parts.ids.set(tokens[id], id);
    const std::uint32_t type = types.empty() ? static_cast<std::uint32_t>(normal) : types[id];
    if (type != unknown && type != control && type != user_defined) continue;
    parts.added.push_back({.id = id, .content = std::string(tokens[id]), .normalized = false, .special = type != user_defined});
  }
  if (model == "gpt2") {
    TRY(read_byte_level(header, parts));
  } else {
    TRY(read_sentence_piece(header, types, parts));
  }
  return std::move(parts).build();
}

}  // namespace mlxhub::text
