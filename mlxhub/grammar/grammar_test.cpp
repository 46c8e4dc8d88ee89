#include "mlxhub/grammar/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mlxhub/grammar/automaton.h"
#include "mlxhub/grammar/guide.h"
#include "mlxhub/grammar/tools.h"

namespace mlxhub::grammar {
namespace {

using mlxbase::Code;
using testing::HasSubstr;

std::shared_ptr<const Grammar> made(std::string_view schema) {
  const auto parsed = mlxbase::json::parse(schema);
  EXPECT_TRUE(parsed) << schema;
  auto grammar = json_of(*parsed);
  EXPECT_TRUE(grammar) << schema << ": " << grammar.error().message;
  return grammar ? *grammar : nullptr;
}
bool fits(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  Automaton automaton(grammar);
  auto state = automaton.start();
  for (const char c : text) {
    const auto next = automaton.step(state, static_cast<unsigned char>(c));
    if (!next) return false;
    state = *next;
  }
  return automaton.may_end(state);
}
mlxbase::Error refusal(std::string_view schema) {
  const auto parsed = mlxbase::json::parse(schema);
  EXPECT_TRUE(parsed) << schema;
  const auto grammar = json_of(*parsed);
  EXPECT_FALSE(grammar) << schema;
  return grammar ? mlxbase::Error{} : grammar.error();
}

TEST(Grammar, AnyObjectIsWhatJsonAllows) {
  const auto grammar = *any_json_object();
  for (const std::string_view good : {"{}", "{ }", R"({"a":1})", R"({"a": [1, -2.5e+7, true, null, "x"], "b": {"c": []}})", "{\n  \"a\": {\n    \"b\": \"\\u00e9\\n\"\n  }\n}", R"({"é€😀":"\ud83d\ude00"})", R"({"a":0})"}) EXPECT_TRUE(fits(grammar, good)) << good;
  for (const std::string_view bad : {"", "[]", "{", R"({"a"})", R"({"a":01})", R"({"a":1,})", R"({a:1})", R"({"a":"\x"})", R"({"a":"\ud83d"})", "{\"a\":\"\n\"}", "{\"a\":\"\xC3\"}", "{\"a\":\"\xED\xA0\x80\"}", R"({"a":+1})", R"({"a":.5})", "{} ", "{}{}", R"({"a":tru})"})
    EXPECT_FALSE(fits(grammar, bad)) << bad;
}

TEST(Grammar, ObjectsHaveTheirMembersInOrder) {
  const auto grammar = made(R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"enum": ["a", "b", 3]}}}, "required": ["name", "tags"], "additionalProperties": false})");
  EXPECT_TRUE(fits(grammar, R"({"name": "x", "age": 5, "tags": ["a", 3]})"));
  EXPECT_TRUE(fits(grammar, R"({"name":"x","tags":[]})")) << "age may be left out";
  for (const std::string_view bad : {R"({"name":"x"})", R"({"age":5,"tags":[]})", R"({"name":"x","tags":[],"age":5})", R"({"name":"x","age":5.5,"tags":[]})", R"({"name":"x","tags":["c"]})", R"({"name":"x","tags":[],"more":1})"}) EXPECT_FALSE(fits(grammar, bad)) << bad;
  const auto optional = made(R"({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}}})");
  for (const std::string_view good : {"{}", R"({"a":null})", R"({"b":true})", R"({"a":null,"b":false})"}) EXPECT_TRUE(fits(optional, good)) << good;
  EXPECT_FALSE(fits(optional, R"({,"b":true})"));
  EXPECT_TRUE(fits(made(R"({"type": "object", "additionalProperties": {"type": "integer"}})"), R"({"x":1,"y":2})"));
}

TEST(Grammar, SchemasMayReferToThemselves) {
  const auto grammar = made(R"({"$defs": {"node": {"type": "object", "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"]}}, "$ref": "#/$defs/node"})");
  EXPECT_TRUE(fits(grammar, R"({"value":1,"next":{"value":2,"next":null}})"));
  EXPECT_FALSE(fits(grammar, R"({"value":1,"next":{"value":2}})"));
}

TEST(Grammar, LimitsAreCounted) {
  const auto items = made(R"({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3})");
  EXPECT_FALSE(fits(items, "[]"));
  EXPECT_FALSE(fits(items, "[true]"));
  EXPECT_TRUE(fits(items, "[true, false]"));
  EXPECT_TRUE(fits(items, "[true,false,true]"));
  EXPECT_FALSE(fits(items, "[true,false,true,true]"));
  const auto tuple = made(R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false, "minItems": 2})");
  EXPECT_TRUE(fits(tuple, R"([1,"a"])"));
  EXPECT_FALSE(fits(tuple, R"([1])"));
  EXPECT_FALSE(fits(tuple, R"([1,"a",2])"));
  EXPECT_TRUE(fits(made(R"({"type": "array", "maxItems": 0})"), "[]"));
  EXPECT_FALSE(fits(made(R"({"type": "array", "maxItems": 0})"), "[1]"));
  EXPECT_TRUE(fits(made(R"({"type": "array", "items": {"type": "integer"}, "minItems": 1})"), "[1,2,3,4]"));
  const auto text = made(R"({"type": "string", "minLength": 2, "maxLength": 3})");
  EXPECT_FALSE(fits(text, R"("a")"));
  EXPECT_TRUE(fits(text, R"("é€")"));
  EXPECT_TRUE(fits(text, R"("a\n\u0041")"));
  EXPECT_FALSE(fits(text, R"("abcd")"));
}

TEST(Grammar, WholeNumbersLieBetweenTheirBounds) {
  for (const auto& [least, most] : std::vector<std::pair<int, int>>{{0, 0}, {-12, 7}, {5, 1234}, {-1234, -99}, {100, 999}, {-3, 120}}) {
    const auto grammar = made(R"({"type": "integer", "minimum": )" + std::to_string(least) + R"(, "maximum": )" + std::to_string(most) + "}");
    for (int n = -1300; n <= 1300; ++n) ASSERT_EQ(fits(grammar, std::to_string(n)), least <= n && n <= most) << n << " in " << least << ".." << most;
    EXPECT_FALSE(fits(grammar, "00"));
  }
  EXPECT_TRUE(fits(made(R"({"type": "number", "minimum": 0})"), "0.5e3"));
  EXPECT_FALSE(fits(made(R"({"type": "number", "minimum": 0})"), "-1"));
  EXPECT_FALSE(fits(made(R"({"type": "integer"})"), "1.5"));
}

TEST(Grammar, DatesAndIdsHaveTheirForm) {
  const auto date = made(R"({"type": "string", "format": "date-time"})");
  EXPECT_TRUE(fits(date, R"("2026-02-28T23:59:59.125+01:00")"));
  EXPECT_TRUE(fits(date, R"("2026-12-31T00:00:00Z")"));
  for (const std::string_view bad : {R"("2026-02-29T00:00:00Z")", R"("2026-04-31T00:00:00Z")", R"("2026-13-01T00:00:00Z")", R"("2026-01-01T24:00:00Z")", R"("2026-01-01")"}) EXPECT_FALSE(fits(date, bad)) << bad;
  EXPECT_TRUE(fits(made(R"({"type": "string", "format": "uuid"})"), R"("123e4567-e89b-12d3-a456-426614174000")"));
}

TEST(Grammar, OneOfIsTakenWhereItsSchemasExcludeEachOther) {
  EXPECT_TRUE(fits(made(R"({"oneOf": [{"type": "string"}, {"type": "null"}]})"), "null"));
  const auto pets = made(R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind", "lives"]},
                                       {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}]})");
  EXPECT_TRUE(fits(pets, R"({"kind":"cat","lives":9})"));
  EXPECT_TRUE(fits(pets, R"({"kind":"dog"})"));
  EXPECT_FALSE(fits(pets, R"({"kind":"dog","lives":9})"));
  EXPECT_EQ(refusal(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})").code, Code::unsupported);
}

TEST(Grammar, RefusesByNameWhatItCannotPromise) {
  for (const auto& [schema, word] : std::vector<std::pair<std::string_view, std::string_view>>{{R"({"type": "string", "pattern": "^a$"})", "pattern"},
                                                                                                {R"({"not": {}})", "not"},
                                                                                                {R"({"type": "array", "uniqueItems": true})", "uniqueItems"},
                                                                                                {R"({"type": "number", "maximum": 2.5})", "maximum"},
                                                                                                {R"({"type": "string", "format": "hostname"})", "hostname"},
                                                                                                {R"({"$ref": "http://elsewhere/x"})", "$ref"},
                                                                                                {R"({"allOf": [{}, {}]})", "allOf"},
                                                                                                {R"({"type": "object", "properties": {"a": {"frobnicate": 1}}})", "frobnicate"},
                                                                                                {R"({"type": "object", "properties": {"a": {}}, "required": ["b"]})", "required"}}) {
    const auto error = refusal(schema);
    EXPECT_EQ(error.code, Code::unsupported) << schema;
    EXPECT_THAT(error.message, HasSubstr(word));
  }
  for (const std::string_view schema : {R"({"type": "thing"})", R"({"$ref": "#/$defs/none"})", R"({"enum": []})", R"({"type": "array", "minItems": 3, "maxItems": 2})", R"(5)", R"({"anyOf": []})", R"({"type": "integer", "minimum": 2, "maximum": 1})"})
    EXPECT_EQ(refusal(schema).code, Code::invalid) << schema;
}

TEST(Grammar, BombsAreRefusedOrHarmless) {
  EXPECT_EQ(refusal(R"({"type": "array", "items": {"type": "integer"}, "maxItems": 1000000000})").code, Code::unsupported);
  EXPECT_EQ(refusal(R"({"type": "string", "minLength": 4000000000})").code, Code::unsupported);
  std::string doubling = R"({"$defs": {"d0": {"type": "integer"})";
  for (int i = 1; i < 60; ++i) {
    const std::string below = R"({"$ref": "#/$defs/d)" + std::to_string(i - 1) + "\"}";
    doubling += ", \"d" + std::to_string(i) + R"(": {"anyOf": [)" + below + "," + below + "]}";
  }
  EXPECT_TRUE(fits(made(doubling + R"(}, "$ref": "#/$defs/d59"})"), "7")) << "two ways at each of 60 levels are not 2^60 places";
  // It never says anything: no text fits, and finding that out ends.
  EXPECT_FALSE(fits(made(R"({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"})"), "7"));
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "{\"a\":";
  EXPECT_FALSE(fits(*any_json_object(), deep)) << "a text cannot nest for ever";
}

TEST(Grammar, TextEndsWhereAMarkerBegins) {
  Builder builder;
  const NodeId start = builder.text_until("<ab<ac>", builder.literal("!", builder.end()), builder.end());
  const auto grammar = std::move(builder).build(start);
  for (const std::string_view good : {"", "anything", "<ab<ab<ac>!", "<<ab<ac>!", "<ab<a", "x<ab<ac>!"}) EXPECT_TRUE(fits(grammar, good)) << good;
  for (const std::string_view bad : {"<ab<ac>", "<ab<ac>?", "<ab<ac>!?"}) EXPECT_FALSE(fits(grammar, bad)) << bad;
}

TEST(Grammar, CallsOfToolsHaveTheFormOfTheirFamily) {
  const auto tools = *mlxbase::json::parse(R"([{"function": {"name": "look", "parameters": {"type": "object", "properties": {"far": {"type": "integer"}}, "required": ["far"]}}},
                                               {"function": {"name": "go", "parameters": {"type": "object", "properties": {"to": {"type": "string", "pattern": "x"}}}}}])");
  const auto hermes = text::tool_syntax_of("<tool_call>");
  const std::string look = R"(<tool_call>{"name": "look", "arguments": {"far": 1}}</tool_call>)";
  const auto must = *tool_answer(hermes, tools, {.must_call = true});
  EXPECT_TRUE(fits(must, look));
  EXPECT_TRUE(fits(must, look + "\n" + look));
  EXPECT_TRUE(fits(must, R"(<tool_call>{"name":"go","arguments":{"any":[1]}}</tool_call>)")) << "a schema that cannot be promised, and is not strict";
  for (const std::string& bad : {std::string("text"), "text" + look, std::string(R"(<tool_call>{"name":"look","arguments":{}}</tool_call>)"), std::string(R"(<tool_call>{"name":"fly","arguments":{}}</tool_call>)")}) EXPECT_FALSE(fits(must, bad)) << bad;
  EXPECT_FALSE(fits(*tool_answer(hermes, tools, {.must_call = true, .several = false}), look + look));
  const auto may = *tool_answer(hermes, tools, {});
  EXPECT_TRUE(fits(may, "text"));
  EXPECT_TRUE(fits(may, "text" + look));
  EXPECT_FALSE(fits(may, "text<tool_call>more text"));
  EXPECT_TRUE(fits(*tool_answer(text::tool_syntax_of("[TOOL_CALLS]"), tools, {}), R"([TOOL_CALLS][{"name": "look", "arguments": {"far": 1}}, {"name": "go", "arguments": {}}])"));
  EXPECT_TRUE(fits(*tool_answer(text::tool_syntax_of("<|python_tag|>"), tools, {.must_call = true}), R"({"name": "look", "parameters": {"far": 1}})"));
  const auto formed = *tool_answer(hermes, tools, {.form = mlxbase::json::Value(true)});
  EXPECT_TRUE(fits(formed, "{}"));
  EXPECT_TRUE(fits(formed, look));
  EXPECT_FALSE(fits(formed, "text"));
  auto strict = *mlxbase::json::parse(R"([{"function": {"name": "go", "strict": true, "parameters": {"type": "string", "pattern": "x"}}}])");
  EXPECT_EQ(tool_answer(hermes, strict, {}).error().code, Code::unsupported);
}

/// One special token, the signs of ASCII, and some tokens of several that JSON has often.
std::string json_tokenizer() {
  using mlxbase::json::Value;
  Value vocabulary{mlxbase::json::Object{}}, added{mlxbase::json::Array{}}, token{mlxbase::json::Object{}}, model{mlxbase::json::Object{}}, level{mlxbase::json::Object{}}, out{mlxbase::json::Object{}};
  token.set("id", 0).set("content", "<end>").set("special", true).set("normalized", false);
  added.push(std::move(token));
  vocabulary.set("<end>", 0).set("\xC4\xA0", 1).set("\xC4\x8A", 2);  // GPT-2's letters for the space and the new line
  int id = 3;
  for (char c = '!'; c <= '~'; ++c) vocabulary.set(std::string(1, c), id++);
  for (const std::string_view many : {"{\"", "\":", "\",\"", "],\"", "}}", "10", "\"}"}) vocabulary.set(many, id++);
  model.set("type", "BPE").set("vocab", std::move(vocabulary)).set("merges", mlxbase::json::Array{});
  level.set("type", "ByteLevel").set("add_prefix_space", false).set("use_regex", false);
  out.set("added_tokens", std::move(added)).set("pre_tokenizer", level).set("decoder", level).set("model", std::move(model));
  return mlxbase::json::dump(out);
}

TEST(Guide, WhateverIsDrawnFitsTheSchema) {
  const auto tokenizer = text::Tokenizer::from_json(json_tokenizer());
  ASSERT_TRUE(tokenizer);
  const auto vocabulary = std::make_shared<const Vocabulary>(*tokenizer);
  EXPECT_EQ(vocabulary->bytes(0), "") << "special";
  const std::string_view schema = R"({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}, "maxItems": 4}, "b": {"type": "string", "maxLength": 5}, "c": {"enum": ["x", "y"]}}, "required": ["a", "b", "c"]})";
  const auto grammar = made(schema);
  const std::vector<text::TokenId> ends{0};
  std::mt19937_64 random(1);
  int multi = 0;
  for (int round = 0; round < 20; ++round) {
    Guide guide(vocabulary, grammar);
    std::string text;
    while (!guide.must_end()) {
      std::vector<float> logits(tokenizer->size(), 0.0F);
      ASSERT_TRUE(guide.mask(logits, ends)) << text;
      EXPECT_FALSE(std::isfinite(logits[0])) << "it cannot end before it is whole";
      std::vector<text::TokenId> fitting;
      for (text::TokenId t = 1; t < logits.size(); ++t) {
        Guide other = guide;
        ASSERT_EQ(other.accept(t), std::isfinite(logits[t])) << "mask and accept disagree about " << t;
        if (std::isfinite(logits[t])) fitting.push_back(t);
      }
      ASSERT_FALSE(fitting.empty());
      const text::TokenId token = fitting[random() % fitting.size()];
      ASSERT_TRUE(guide.accept(token));
      text += vocabulary->bytes(token);
      if (vocabulary->bytes(token).size() > 1) ++multi;
    }
    EXPECT_TRUE(fits(grammar, text)) << text;
    const auto parsed = mlxbase::json::parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_LE((*parsed)["a"].array().size(), 4U);
    std::vector<float> logits(tokenizer->size(), 0.0F);
    ASSERT_TRUE(guide.mask(logits, ends));
    EXPECT_TRUE(std::isfinite(logits[0]) && !std::isfinite(logits[1])) << "only the end is left";
    EXPECT_FALSE(guide.accept(1));
  }
  EXPECT_GT(multi, 10) << "tokens of several signs were tried too";
}

}  // namespace
}  // namespace mlxhub::grammar
