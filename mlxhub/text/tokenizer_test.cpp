#include "mlxhub/text/tokenizer.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/bytes.h"

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using Ids = std::vector<TokenId>;

Tokenizer made(const std::string& json) {
  auto tokenizer = Tokenizer::from_json(json);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

/// GPT-2's way: bytes, a regular expression, merges.
const std::string kByteLevel = R"({
  "added_tokens": [
    {"id": 20, "content": "<|end|>", "special": true, "normalized": false},
    {"id": 21, "content": "<tool>", "special": false, "normalized": false, "lstrip": true, "rstrip": true},
    {"id": 22, "content": "ab", "special": false, "normalized": false, "single_word": true}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\p{L}+| ?[^\\s\\p{L}]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [20], "tokens": ["<|end|>"]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"h": 0, "e": 1, "l": 2, "o": 3, "Ġ": 4, "he": 5, "ll": 6, "hell": 7, "hello": 8, "ł": 9, "ð": 10, "Ł": 11, "Ļ": 12, "Ĥ": 13,
    "Ã": 14, "©": 15, "Ã©": 16, "x": 17},
    "merges": ["h e", "l l", ["he", "ll"], "hell o", "Ã ©"]}})";

TEST(Tokenizer, MergesBytesByRank) {
  const Tokenizer tokenizer = made(kByteLevel);
  EXPECT_EQ(*tokenizer.encode("hello hell", false), (Ids{8, 4, 7}));
  EXPECT_EQ(*tokenizer.encode("e\u0301x", false), (Ids{16, 17})) << "composed first";
  EXPECT_EQ(*tokenizer.encode("hello"), (Ids{20, 8}));
  EXPECT_EQ(tokenizer.decode(Ids{20, 8, 4, 16}), "hello é");
  EXPECT_EQ(tokenizer.decode(Ids{20, 8}, false), "<|end|>hello");
  EXPECT_EQ(tokenizer.decode(Ids{14, 8, 15}), "\xEF\xBF\xBDhello\xEF\xBF\xBD");
  EXPECT_EQ(tokenizer.id_of("Ã©"), 16U);
  EXPECT_EQ(tokenizer.id_of("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer.token(16), "Ã©");
}

TEST(Tokenizer, FindsAddedTokensInText) {
  const Tokenizer tokenizer = made(kByteLevel);
  EXPECT_EQ(*tokenizer.encode("hello<|end|>x", false), (Ids{8, 20, 17}));
  EXPECT_EQ(*tokenizer.encode("x  <tool>  x", false), (Ids{17, 21, 17})) << "white space beside it goes";
  EXPECT_EQ(*tokenizer.encode("ab x", false), (Ids{22, 4, 17}));
  EXPECT_EQ(*tokenizer.encode("abx", false), (Ids{17})) << "only as a word of its own; a and b are not in this vocabulary";
  EXPECT_TRUE(tokenizer.is_special(20));
  EXPECT_FALSE(tokenizer.is_special(21));
}

/// SentencePiece's way in tokenizer.json: no pieces, bytes as a last resort.
const std::string kFallback = R"({
  "added_tokens": [{"id": 0, "content": "<unk>", "special": true, "normalized": false}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null, "post_processor": null,
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
    "vocab": {"<unk>": 0, "<0xE2>": 1, "<0x82>": 2, "<0xAC>": 3, "▁": 4, "a": 5, "b": 6, "▁a": 7, "ab": 8},
    "merges": ["▁ a", "a b"]}})";

TEST(Tokenizer, FallsBackToBytes) {
  const Tokenizer tokenizer = made(kFallback);
  EXPECT_EQ(*tokenizer.encode("ab a€", false), (Ids{7, 6, 7, 1, 2, 3}));
  EXPECT_EQ(*tokenizer.encode("zza", false), (Ids{4, 0, 5})) << "unknown ones side by side are one";
  EXPECT_EQ(tokenizer.decode(Ids{7, 6, 7, 1, 2, 3}), "ab a€");
  EXPECT_EQ(tokenizer.decode(Ids{7, 1, 2}), "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Tokenizer, MergesLongPiecesLikeShortOnes) {
  const Tokenizer tokenizer = made(kFallback);
  std::string text;
  Ids expected{7, 6};
  for (int i = 0; i < 500; ++i) text += "ab";
  for (int i = 1; i < 500; ++i) expected.push_back(8);
  EXPECT_EQ(*tokenizer.encode(text, false), expected);
}

TEST(Tokenizer, SplitsWordsAsBertDoes) {
  const Tokenizer tokenizer = made(
      R"({"added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
    "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##able": 4, ",": 5, "e": 6, "中": 7}}})");
  EXPECT_EQ(*tokenizer.encode("Unable, É 中中 zz"), (Ids{1, 3, 4, 5, 6, 7, 7, 0, 2}));
  EXPECT_EQ(tokenizer.decode(Ids{3, 4, 5, 6}), "unable, e");
}

TEST(Tokenizer, ChoosesTheLikeliestPieces) {
  const Tokenizer tokenizer = made(
      R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
    "post_processor": null, "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["▁", -3], ["a", -2.5], ["b", -2.5], ["ab", -4], ["▁ab", -9]]}})");
  EXPECT_EQ(*tokenizer.encode("ab ab", false), (Ids{1, 4, 1, 4}));
  EXPECT_EQ(*tokenizer.encode("zzb", false), (Ids{1, 0, 3}));
  EXPECT_EQ(tokenizer.decode(Ids{1, 4, 1, 4}), "ab ab");
}

TEST(Tokenizer, RefusesWhatItDoesNotKnowByName) {
  const auto refused = [](const std::string& json) { return Tokenizer::from_json(json).error(); };
  EXPECT_EQ(refused("{").code, Code::corrupt);
  EXPECT_EQ(refused("{}").code, Code::corrupt);
  EXPECT_EQ(refused(R"({"normalizer": {"type": "Precompiled"}, "model": {"type": "BPE", "vocab": {}, "merges": []}})").message,
            "tokenizer.json: the normalizer Precompiled");
  EXPECT_EQ(refused(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})").code, Code::corrupt);
  EXPECT_EQ(refused(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}, "model": {}})").code,
            Code::unsupported);
}

TEST(Tokenizer, ReadsEveryShorterFileWithoutHarm) {
  for (std::size_t n = 0; n < kByteLevel.size(); ++n) EXPECT_FALSE(Tokenizer::from_json(kByteLevel.substr(0, n)));
}

TEST(Tokenizer, TakesBytesThatAreNoUtf8) {
  const Tokenizer tokenizer = made(kByteLevel);
  EXPECT_EQ(*tokenizer.encode("x\xFFx\xE2\x82", false), (Ids{17, 17})) << "U+FFFD is not in this vocabulary";
}

namespace gguf = mlxbase::gguf;

gguf::Value list_of(const std::vector<std::string>& texts) {
  mlxbase::ByteWriter out;
  for (const std::string& text : texts) {
    out.put(std::uint64_t{text.size()});
    out.put_bytes(mlxbase::as_bytes(text));
  }
  return {.type = gguf::Type::array, .element = gguf::Type::string, .count = texts.size(), .elements = out.take()};
}
template <class Word>
gguf::Value words_of(gguf::Type type, const std::vector<Word>& words) {
  mlxbase::ByteWriter out;
  for (const Word word : words) out.put(std::bit_cast<std::uint32_t>(word));
  return {.type = gguf::Type::array, .element = type, .count = words.size(), .elements = out.take()};
}
gguf::Header byte_level_header() {
  gguf::Header header;
  header.metadata = {{"tokenizer.ggml.model", gguf::string_value("gpt2")},
                     {"tokenizer.ggml.pre", gguf::string_value("llama-bpe")},
                     {"tokenizer.ggml.tokens", list_of({"h", "e", "he", "Ġ", "Ġh", "<|begin|>"})},
                     {"tokenizer.ggml.token_type", words_of<std::int32_t>(gguf::Type::i32, {1, 1, 1, 1, 1, 3})},
                     {"tokenizer.ggml.merges", list_of({"h e", "Ġ h"})},
                     {"tokenizer.ggml.bos_token_id", gguf::u32_value(5)}};
  return header;
}

TEST(TokenizerFromGguf, ReadsByteLevelMerges) {
  const auto tokenizer = Tokenizer::from_gguf(byte_level_header());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(*tokenizer->encode("he he<|begin|>h"), (Ids{5, 2, 3, 2, 5, 0}));
  EXPECT_EQ(tokenizer->decode(Ids{5, 2, 4}), "he h");
}

TEST(TokenizerFromGguf, MergesByScore) {
  gguf::Header header;
  header.metadata = {{"tokenizer.ggml.model", gguf::string_value("llama")},
                     {"tokenizer.ggml.tokens", list_of({"<unk>", "<s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "ab", "▁a"})},
                     {"tokenizer.ggml.scores", words_of<float>(gguf::Type::f32, {0, 0, 0, 0, -5, -5, -5, -2, -1})},
                     {"tokenizer.ggml.token_type", words_of<std::int32_t>(gguf::Type::i32, {2, 3, 6, 6, 1, 1, 1, 1, 1})},
                     {"tokenizer.ggml.bos_token_id", gguf::u32_value(1)},
                     {"tokenizer.ggml.unknown_token_id", gguf::u32_value(0)}};
  const auto tokenizer = Tokenizer::from_gguf(header);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(*tokenizer->encode("abab é"), (Ids{1, 8, 6, 7, 4, 2, 3}));
  EXPECT_EQ(tokenizer->decode(Ids{1, 8, 6, 7, 4, 2, 3}), "abab é");
}

TEST(TokenizerFromGguf, RefusesWhatItDoesNotKnowByName) {
  gguf::Header header = byte_level_header();
  header.metadata[1].value = gguf::string_value("other");
  EXPECT_EQ(Tokenizer::from_gguf(header).error().message, "GGUF: the pre-tokenizer \"other\"");
  header = byte_level_header();
  header.metadata[2].value.elements.pop_back();
  EXPECT_EQ(Tokenizer::from_gguf(header).error().code, Code::corrupt);
  header = byte_level_header();
  header.metadata[4].value = list_of({"h x"});
  EXPECT_EQ(Tokenizer::from_gguf(header).error().code, Code::corrupt);
  EXPECT_EQ(Tokenizer::from_gguf({}).error().code, Code::corrupt);
}

TEST(Tokenizer, TellsTheBytesOfOneToken) {
  const Tokenizer levels = made(kByteLevel), fallback = made(kFallback);
  EXPECT_EQ(levels.bytes_of(14), "\xC3") << "half a character";
  EXPECT_EQ(levels.bytes_of(4), " ");
  EXPECT_EQ(levels.bytes_of(20), "<|end|>");
  EXPECT_EQ(levels.bytes_of(1000), "");
  EXPECT_EQ(fallback.bytes_of(2), "\x82");
  EXPECT_EQ(fallback.bytes_of(7), " a") << "as it is within a text, not at its start";
  EXPECT_EQ(fallback.bytes_of(8), "ab");
}

TEST(Detokenizer, GivesWholeCharactersOnly) {
  const Tokenizer tokenizer = made(kByteLevel);
  Detokenizer stream(tokenizer);
  EXPECT_EQ(stream.push(8), "hello");
  EXPECT_EQ(stream.push(14), "");
  EXPECT_EQ(stream.push(15), "é");
  EXPECT_EQ(stream.push(20), "") << "special";
  EXPECT_EQ(stream.push(14), "");
  EXPECT_EQ(stream.push(17), "\xEF\xBF\xBDx");
  EXPECT_EQ(stream.push(14), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
}

TEST(Detokenizer, TogetherSaysWhatDecodeSays) {
  const Tokenizer tokenizer = made(kFallback);
  Ids ids{7, 6};
  for (int i = 0; i < 30; ++i) ids.insert(ids.end(), {7, 1, 2, 3, 4, 4, 8, 1, 5});
  for (std::size_t n = 0; n <= ids.size(); ++n) {
    Detokenizer stream(tokenizer);
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += stream.push(ids[i]);
    text += stream.finish();
    ASSERT_EQ(text, tokenizer.decode(std::span(ids).first(n))) << n;
  }
}

}  // namespace
}  // namespace mlxhub::text
