// Reads tokenizer.json. Vocabulary and merges, which are all but a few kilobytes of it, are walked through; the rest becomes json::Value.
#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxhub/text/json_cursor.h"
#include "mlxhub/text/parts.h"

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace json = mlxbase::json;

constexpr std::size_t kLargest = std::size_t{512} << 20U;
constexpr double kMostTokens = 16'000'000;

std::unexpected<mlxbase::Error> corrupt(std::string_view what) { return fail(Code::corrupt, fmt::format("tokenizer.json: {}", what)); }

/// Slices of the members of one object, by name.
Result<std::map<std::string, std::string_view>> members(std::string_view object) {
  std::map<std::string, std::string_view> out;
  JsonCursor cursor(object);
  if (cursor.begin('{')) {
    do {
      std::string name(cursor.name());
      out[std::move(name)] = cursor.skip();
    } while (cursor.more('}'));
  }
  if (!cursor.ok()) return corrupt(fmt::format("no JSON at byte {}", cursor.position()));
  return out;
}

/// A small part as a value; null if it is not there.
Result<json::Value> part(const std::map<std::string, std::string_view>& object, const std::string& name) {
  const auto found = object.find(name);
  if (found == object.end()) return json::Value();
  return json::parse(found->second);
}

/// {"text": id, …}
Status read_vocabulary(std::string_view object, Parts& parts) {
  JsonCursor cursor(object);
  parts.ids.reserve(object.size() / 24);
  if (cursor.begin('{')) {
    do {
      const std::string text(cursor.name());
      const double id = cursor.number();
      if (!cursor.ok() || id < 0 || id > kMostTokens) return corrupt("a token without a number");
      parts.ids.set(text, static_cast<TokenId>(id));
      parts.tokens.set(static_cast<TokenId>(id), text);
    } while (cursor.more('}'));
  }
  if (!cursor.ok()) return corrupt("the vocabulary is damaged");
  return {};
}

struct MergeTexts {
  std::string left, right;
};

template <class Take>
Status read_merges(std::string_view list, Take take) {
  JsonCursor cursor(list);
  if (cursor.begin('[')) {
    std::string left, right;
    do {
      if (cursor.peek() == '[') {
        cursor.expect('[');
        left = cursor.text();
        cursor.expect(',');
        right = cursor.text();
        cursor.expect(']');
      } else {
        const std::string_view both = cursor.text();
        const std::size_t space = both.find(' ');
        if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos)
          return corrupt("a merge that is no pair");
        left = both.substr(0, space);
        right = both.substr(space + 1);
      }
      if (!cursor.ok()) break;
      TRY(take(left, right));
    } while (cursor.more(']'));
  }
  if (!cursor.ok()) return corrupt("the merges are damaged");
  return {};
}

/// The map from what pieces are made of to ids: the vocabulary, or its bytes.
TextMap piece_texts(const Parts& parts, bool bytes) {
  if (!bytes) return parts.ids;
  TextMap out;
  out.reserve(parts.tokens.size());
  for (TokenId id = 0; id < parts.tokens.size(); ++id) {
    if (!parts.tokens.has(id)) continue;
    if (auto raw = bytes_of_letters(parts.tokens[id])) out.set(*raw, id);
  }
  return out;
}

Result<std::unique_ptr<Model>> read_bpe(const std::map<std::string, std::string_view>& model, bool bytes, Parts& parts) {
  BpeConfig config;
  config.byte_level = bytes;
  config.ignore_merges = TRY(part(model, "ignore_merges")).boolean(false);
  config.byte_fallback = TRY(part(model, "byte_fallback")).boolean(false) && !bytes;
  config.fuse_unknown = TRY(part(model, "fuse_unk")).boolean(false);
  config.continuing_prefix = TRY(part(model, "continuing_subword_prefix")).string();
  config.end_suffix = TRY(part(model, "end_of_word_suffix")).string();
  const json::Value unknown = TRY(part(model, "unk_token"));
  if (const std::string* text = unknown.if_string()) config.unknown = parts.ids.find(*text);
  if (bytes && !(config.continuing_prefix.empty() && config.end_suffix.empty()))
    return fail(Code::unsupported, "tokenizer.json: ByteLevel with a prefix or suffix");
  if (TRY(part(model, "dropout")).number(0) > 0) return fail(Code::unsupported, "tokenizer.json: dropout");
  const std::size_t prefix = config.continuing_prefix.size();
  auto bpe = std::make_unique<Bpe>(std::move(config), piece_texts(parts, bytes));
  const auto merges = model.find("merges");
  if (merges == model.end()) return corrupt("no merges");
  bpe->reserve_merges(merges->second.size() / 16);
  std::uint32_t rank = 0;
  std::string made;
  TRY(read_merges(merges->second, [&](const std::string& left, const std::string& right) -> Status {
    made = left;
    made.append(right, right.size() < prefix ? right.size() : prefix);
    const TokenId a = parts.ids.find(left), b = parts.ids.find(right), c = parts.ids.find(made);
    if (a == kNoToken || b == kNoToken || c == kNoToken) return corrupt("a merge of tokens that are not in the vocabulary");
    bpe->add_merge(a, b, rank++, c);
    return {};
  }));
  return Result<std::unique_ptr<Model>>(std::move(bpe));
}

Result<std::unique_ptr<Model>> read_unigram(const std::map<std::string, std::string_view>& model, Parts& parts) {
  std::vector<Unigram::Piece> pieces;
  const auto vocabulary = model.find("vocab");
  JsonCursor cursor(vocabulary == model.end() ? std::string_view() : vocabulary->second);
  if (cursor.begin('[')) {
    do {
      cursor.expect('[');
      std::string text(cursor.text());
      cursor.expect(',');
      const double score = cursor.number();
      cursor.expect(']');
      parts.ids.set(text, static_cast<TokenId>(pieces.size()));
      parts.tokens.set(static_cast<TokenId>(pieces.size()), text);
      pieces.push_back({std::move(text), score});
    } while (cursor.more(']'));
  }
  if (!cursor.ok()) return corrupt("the vocabulary is damaged");
  const json::Value unknown = TRY(part(model, "unk_id"));
  const TokenId id = unknown.is_number() ? static_cast<TokenId>(unknown.u64(kNoToken)) : kNoToken;
  const bool fallback = TRY(part(model, "byte_fallback")).boolean(false);
  return Result<std::unique_ptr<Model>>(std::make_unique<Unigram>(pieces, id, fallback));
}

Result<std::unique_ptr<Model>> read_model(std::string_view text, bool bytes, Parts& parts) {
  const auto model = TRY(members(text));
  std::string type = TRY(part(model, "type")).string();
  if (type.empty()) type = model.contains("merges") ? "BPE" : (model.contains("unk_id") ? "Unigram" : "WordPiece");
  if (type == "Unigram") return read_unigram(model, parts);
  const auto vocabulary = model.find("vocab");
  if (vocabulary == model.end()) return corrupt("no vocabulary");
  TRY(read_vocabulary(vocabulary->second, parts));
  if (type == "BPE") return read_bpe(model, bytes, parts);
  if (type == "WordPiece") {
    const json::Value prefix = TRY(part(model, "continuing_subword_prefix"));
    const json::Value longest = TRY(part(model, "max_input_chars_per_word"));
    const TokenId unknown = parts.ids.find(TRY(part(model, "unk_token")).string("[UNK]"));
    if (unknown == kNoToken) return corrupt("WordPiece without its unknown token");
    return Result<std::unique_ptr<Model>>(
        std::make_unique<WordPiece>(parts.ids, unknown, prefix.string("##"), static_cast<std::size_t>(longest.u64(100))));
  }
  return fail(Code::unsupported, fmt::format("tokenizer.json: the model {}", type));
}

Status read_added(const json::Value& list, Parts& parts) {
  for (const json::Value& one : list.array()) {
    AddedToken token;
    const std::uint64_t id = one["id"].u64(kNoToken);
    if (id > static_cast<std::uint64_t>(kMostTokens)) return corrupt("an added token without a number");
    token.id = static_cast<TokenId>(id);
    token.content = one["content"].string();
    token.single_word = one["single_word"].boolean(false);
    token.lstrip = one["lstrip"].boolean(false);
    token.rstrip = one["rstrip"].boolean(false);
    token.special = one["special"].boolean(false);
    token.normalized = one["normalized"].boolean(!token.special);
    parts.added.push_back(std::move(token));
  }
  return {};
}

/// What encode(special) puts at the ends.
Status read_ends(const json::Value& processor, Parts& parts) {
  const std::string type = processor["type"].string();
  if (processor.is_null() || type == "ByteLevel") return {};
  if (type == "Sequence") {
    for (const json::Value& one : processor["processors"].array()) TRY(read_ends(one, parts));
    return {};
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    parts.before.push_back(static_cast<TokenId>(processor["cls"].array().size() == 2 ? processor["cls"].array()[1].u64() : 0));
    parts.after.push_back(static_cast<TokenId>(processor["sep"].array().size() == 2 ? processor["sep"].array()[1].u64() : 0));
    return {};
  }
  if (type != "TemplateProcessing") return fail(Code::unsupported, fmt::format("tokenizer.json: the post-processor {}", type));
  bool text_seen = false;
  for (const json::Value& piece : processor["single"].array()) {
    if (!piece["Sequence"].is_null()) {
      text_seen = true;
      continue;
    }
    const std::string name = piece["SpecialToken"]["id"].string();
    for (const json::Value& id : processor["special_tokens"][name]["ids"].array()) {
      (text_seen ? parts.after : parts.before).push_back(static_cast<TokenId>(id.u64()));
    }
  }
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view text) {
  if (text.size() > kLargest) return fail(Code::unsupported, fmt::format("a tokenizer.json of {} bytes", text.size()));
  const auto document = TRY(members(text));
  Parts parts;
  parts.normalizer = TRY(make_normalizer(TRY(part(document, "normalizer"))));
  bool bytes = false;
  parts.splitter = TRY(make_splitter(TRY(part(document, "pre_tokenizer")), bytes));
  const auto model = document.find("model");
  if (model == document.end()) return corrupt("no model");
  parts.model = TRY(read_model(model->second, bytes, parts));
  TRY(read_added(TRY(part(document, "added_tokens")), parts));
  TRY(read_ends(TRY(part(document, "post_processor")), parts));
  const json::Value decoder = TRY(part(document, "decoder"));
  parts.decoder = TRY(make_decoder(decoder, parts.byte_decoder));
  parts.join_by_space = decoder.is_null();
  return std::move(parts).build();
}

}  // namespace mlxhub::text
