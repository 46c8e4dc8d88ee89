#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxhub/dialect/anthropic.h"
#include "mlxhub/dialect/ollama.h"
#include "mlxhub/dialect/openai.h"
#include "mlxhub/dialect/reading.h"

namespace mlxhub::dialect {
namespace {

using mlxbase::Code;
using mlxbase::json::Value;
using testing::HasSubstr;

constexpr std::string_view kTurns = R"("messages": [{"role": "user", "content": "Hi"}])";
std::string body(std::string_view more) { return R"({"model": "m", )" + std::string(kTurns) + std::string(more) + "}"; }

TEST(OpenAiDialect, ReadsWhatSampleAndLimits) {
  const auto ask = openai::read_chat(body(R"(, "temperature": 0.5, "top_p": 0.25, "seed": -1, "stop": ["a", "b"], "n": 2, "max_completion_tokens": 7, "logit_bias": {"5": -100},
    "logprobs": true, "top_logprobs": 3, "stream": true, "stream_options": {"include_usage": true}, "user": "somebody", "frequency_penalty": null)"));
  ASSERT_TRUE(ask) << ask.error().message;
  EXPECT_EQ(ask->model, "m");
  EXPECT_FLOAT_EQ(ask->temperature, 0.5F);
  EXPECT_FLOAT_EQ(ask->top_p, 0.25F);
  EXPECT_EQ(ask->seed, UINT64_MAX);
  EXPECT_EQ(ask->stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ask->n, 2U);
  EXPECT_EQ(ask->most_tokens, 7U);
  EXPECT_EQ(ask->logprobs, 3U);
  EXPECT_TRUE(ask->stream && ask->usage_in_stream);
}

TEST(OpenAiDialect, PutsPartsOfTextTogether) {
  const auto ask = openai::read_chat(R"({"model": "m", "messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})");
  ASSERT_TRUE(ask);
  EXPECT_EQ(mlxbase::json::dump(ask->messages), R"([{"role":"system","content":"ab"}])");
}

struct Refusal {
  std::string_view more, word;
  Code code = Code::invalid;
};

TEST(OpenAiDialect, RefusesByNameWhatItCannotHonour) {
  for (const auto& [more, word, code] : std::vector<Refusal>{{R"(, "frob": 1)", "frob"},
                                                             {R"(, "temperature": "warm")", "temperature"},
                                                             {R"(, "temperature": 3)", "temperature"},
                                                             {R"(, "n": 1.5)", "n:"},
                                                             {R"(, "n": 65)", "n:"},
                                                             {R"(, "stream": "yes")", "stream"},
                                                             {R"(, "stop": [1])", "stop"},
                                                             {R"(, "stop": ["","","","","","","","","","","","","","","","",""])", "16"},
                                                             {R"(, "logit_bias": {"x": 1})", "logit_bias"},
                                                             {R"(, "top_logprobs": 2)", "top_logprobs"},
                                                             {R"(, "stream_options": {"frob": 1})", "stream_options.frob"},
                                                             {R"(, "messages": [{"role": "user", "content": [{"type": "image_url"}]}])", "image_url", Code::unsupported}}) {
    const auto ask = openai::read_chat(body(more));
    ASSERT_FALSE(ask) << more;
    EXPECT_EQ(ask.error().code, code) << more;
    EXPECT_THAT(ask.error().message, HasSubstr(word));
    EXPECT_EQ(status_of(ask.error().code), 400);
  }
  EXPECT_EQ(openai::read_chat("[]").error().code, Code::invalid);
  EXPECT_EQ(openai::read_chat("{").error().code, Code::corrupt);
  EXPECT_EQ(openai::read_completion(R"({"model": "m"})").error().code, Code::invalid);
}

TEST(OpenAiDialect, TellsAStreamPieceByPiece) {
  const auto ask = openai::read_chat(body(R"(, "stream": true, "stream_options": {"include_usage": true})"));
  const auto teller = openai::chat_teller(*ask, {.id = "1", .model = "m", .created_ns = 5'000'000'000});
  const std::string opening = teller->open(1, {});
  EXPECT_EQ(opening, R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null})"
                     "\n\n");
  EXPECT_THAT(teller->piece(0, {.text = "He\"y", .calls = {}, .tokens = {}}), HasSubstr(R"("delta":{"content":"He\"y"})"));
  EXPECT_THAT(teller->end(0, {.said = {}, .end = End::length, .stop = {}}, {}), HasSubstr(R"("finish_reason":"length")"));
  const std::string last = teller->close({.prompt_tokens = 3, .cached_tokens = 1, .answer_tokens = 2});
  EXPECT_THAT(last, HasSubstr(R"("choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}})"));
  EXPECT_TRUE(last.ends_with("data: [DONE]\n\n"));
}

TEST(AnthropicDialect, ReadsSystemAndBlocks) {
  const auto ask = anthropic::read_messages(body(R"(, "max_tokens": 9, "system": [{"type": "text", "text": "S"}], "stop_sequences": ["x"], "metadata": {"user_id": "u"})"));
  ASSERT_TRUE(ask) << ask.error().message;
  EXPECT_EQ(mlxbase::json::dump(ask->messages), R"([{"role":"system","content":"S"},{"role":"user","content":"Hi"}])");
  EXPECT_EQ(ask->most_tokens, 9U);
  EXPECT_TRUE(anthropic::read_count(body("")));
  for (const auto& [more, word, code] : std::vector<Refusal>{{"", "max_tokens"},
                                                             {R"(, "max_tokens": 1, "temperature": 1.5)", "temperature"},
                                                             {R"(, "max_tokens": 1, "stop_sequences": "x")", "stop_sequences"},
                                                             {R"(, "max_tokens": 1, "frob": 1)", "frob"},
                                                             {R"(, "max_tokens": 1, "thinking": {"type": "enabled"})", "thinking", Code::unsupported},
                                                             {R"(, "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image"}]}])", "image", Code::unsupported},
                                                             {R"(, "max_tokens": 1, "messages": [{"role": "system", "content": "x"}])", "role"}}) {
    const auto refused = anthropic::read_messages(body(more));
    ASSERT_FALSE(refused) << more;
    EXPECT_EQ(refused.error().code, code) << more;
    EXPECT_THAT(refused.error().message, HasSubstr(word));
  }
}

TEST(AnthropicDialect, TellsEventsInTheirOrder) {
  const auto ask = anthropic::read_messages(body(R"(, "max_tokens": 9)"));
  const auto teller = anthropic::teller(*ask, {.id = "1", .model = "m"});
  std::string all = teller->open(1, {.prompt_tokens = 4});
  all += teller->piece(0, {.text = "a", .calls = {}, .tokens = {}});
  all += teller->piece(0, {.text = "b", .calls = {}, .tokens = {}});
  all += teller->end(0, {.said = {}, .end = End::stop, .stop = "x"}, {.prompt_tokens = 4, .answer_tokens = 2});
  all += teller->close({});
  std::vector<std::string> names;
  for (std::size_t at = 0; (at = all.find("event: ", at)) != std::string::npos; at += 7) names.push_back(all.substr(at + 7, all.find('\n', at) - at - 7));
  EXPECT_EQ(names, (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_THAT(all, HasSubstr(R"("stop_reason":"stop_sequence","stop_sequence":"x")"));
  EXPECT_THAT(anthropic::error_body({Code::out_of_memory, "full"}), HasSubstr("overloaded_error"));
}

TEST(OllamaDialect, ReadsOptionsAndDurations) {
  const auto ask = ollama::read_chat(body(R"(, "options": {"temperature": 0, "num_predict": -1, "num_ctx": 4096, "repeat_last_n": -1, "stop": "x"}, "keep_alive": "1h30m", "stream": false)"));
  ASSERT_TRUE(ask) << ask.error().message;
  EXPECT_EQ(ask->temperature, 0);
  EXPECT_EQ(ask->most_tokens, 0U);
  EXPECT_EQ(ask->keep_seconds, 5400);
  EXPECT_EQ(ask->repetition_last, 0U);
  const auto plain = ollama::read_chat(body(""));
  EXPECT_TRUE(plain->stream) << "Ollama streams unless told otherwise";
  EXPECT_EQ(plain->top_k, 40U);
  const auto seconds = [&](std::string_view text) { return ollama::read_chat(body(R"(, "keep_alive": )" + std::string(text)))->keep_seconds; };
  EXPECT_EQ(seconds("0"), 0);
  EXPECT_EQ(seconds("-1"), -1);
  EXPECT_EQ(seconds(R"("-1s")"), -1);
  EXPECT_EQ(seconds(R"("500ms")"), 1) << "rounded up";
  EXPECT_EQ(seconds(R"("0")"), 0);
  for (const std::string_view bad : {R"("")", R"("5")", R"("m")", R"("5 m")", R"("5x")", "{}", "true"}) EXPECT_FALSE(ollama::read_chat(body(R"(, "keep_alive": )" + std::string(bad)))) << bad;
}

TEST(OllamaDialect, GeneratesFromATemplateUnlessRaw) {
  const auto chat = ollama::read_generate(R"({"model": "m", "prompt": "p", "system": "s"})");
  EXPECT_EQ(mlxbase::json::dump(chat->messages), R"([{"role":"system","content":"s"},{"role":"user","content":"p"}])");
  const auto raw = ollama::read_generate(R"({"model": "m", "prompt": "p", "raw": true})");
  EXPECT_TRUE(raw->messages.is_null());
  EXPECT_EQ(raw->prompts, (std::vector<std::string>{"p"}));
  const auto load = ollama::read_generate(R"({"model": "m"})");
  EXPECT_TRUE(load->messages.is_null() && load->prompts.empty());
}

TEST(OllamaDialect, TellsOneObjectALine) {
  const auto teller = ollama::chat_teller({}, {.id = "1", .model = "m", .created_ns = 1'000'000'001});
  EXPECT_EQ(teller->piece(0, {.text = "a", .calls = {}, .tokens = {}}), R"({"model":"m","created_at":"1970-01-01T00:00:01.000000001Z","message":{"role":"assistant","content":"a"},"done":false})"
                                                           "\n");
  EXPECT_THAT(teller->end(0, {.said = {}, .end = End::length, .stop = {}}, {.prompt_tokens = 3, .answer_tokens = 2}), HasSubstr(R"("done":true,"done_reason":"length")"));
  EXPECT_EQ(ollama::error_body({Code::invalid, "why"}), R"({"error":"why"})");
}

TEST(Tools, AreReadAlikeInAllDialects) {
  const auto openai_ask = openai::read_chat(body(R"(, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}, {"type": "function", "function": {"name": "g"}}], "tool_choice": {"type": "function", "function": {"name": "g"}}, "parallel_tool_calls": false)"));
  ASSERT_TRUE(openai_ask) << openai_ask.error().message;
  EXPECT_EQ(mlxbase::json::dump(openai_ask->tools), R"([{"type":"function","function":{"name":"g"}}])");
  EXPECT_EQ(openai_ask->tool_choice, ToolChoice::must);
  EXPECT_FALSE(openai_ask->several_calls);
  const auto anthropic_ask = anthropic::read_messages(body(R"(, "max_tokens": 1, "tools": [{"name": "f", "description": "d", "input_schema": {}}], "tool_choice": {"type": "any"})"));
  ASSERT_TRUE(anthropic_ask) << anthropic_ask.error().message;
  EXPECT_EQ(mlxbase::json::dump(anthropic_ask->tools), R"([{"type":"function","function":{"name":"f","description":"d","parameters":{}}}])");
  EXPECT_EQ(anthropic_ask->tool_choice, ToolChoice::must);
  for (const std::string_view bad : {R"(, "tools": [{"type": "web_search"}])", R"(, "tools": [{"type": "function", "function": {"name": ""}}])", R"(, "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}])",
                                     R"(, "tool_choice": "required")", R"(, "tool_choice": "sometimes")", R"(, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"type": "function", "function": {"name": "g"}})",
                                     R"(, "functions": [])", R"(, "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "5"}}]}])"}) EXPECT_FALSE(openai::read_chat(body(bad))) << bad;
}

TEST(Tools, CallsAreToldInEachDialect) {
  const Choice choice{.said = {.text = "", .calls = {{.id = "7", .name = "f", .arguments = R"({"a":1})"}}, .tokens = {}}, .end = End::calls, .stop = {}};
  EXPECT_THAT(openai::chat_teller({}, {})->whole({choice}, {}), HasSubstr(R"("content":null,"refusal":null,"tool_calls":[{"id":"call_7","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls")"));
  EXPECT_THAT(openai::chat_teller({}, {})->piece(0, choice.said), HasSubstr(R"("delta":{"tool_calls":[{"index":0,"id":"call_7")"));
  EXPECT_THAT(anthropic::teller({}, {})->whole({choice}, {}), HasSubstr(R"("content":[{"type":"tool_use","id":"toolu_7","name":"f","input":{"a":1}}],"stop_reason":"tool_use")"));
  EXPECT_THAT(anthropic::teller({}, {})->piece(0, choice.said), HasSubstr(R"("delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"})"));
  EXPECT_THAT(ollama::chat_teller({}, {})->whole({choice}, {}), HasSubstr(R"("tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}])"));
}

}  // namespace
}  // namespace mlxhub::dialect
