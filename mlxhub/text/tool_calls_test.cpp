#include "mlxhub/text/tool_calls.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace mlxhub::text {
namespace {

const mlxbase::json::Value kTools = *mlxbase::json::parse(R"([{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}, "far": {"type": "integer"}}}}},
                                                             {"type": "function", "function": {"name": "go"}}])");

struct All {
  std::string text;
  std::vector<std::string> calls;
};
/// In pieces of that many bytes.
All read(const ToolSyntax& syntax, std::string_view said, std::size_t piece) {
  ToolCalls reader(syntax, kTools);
  All all;
  const auto take = [&](const ToolCalls::Step& step) {
    all.text += step.text;
    for (const ToolCall& call : step.calls) all.calls.push_back(call.name + call.arguments);
  };
  for (std::size_t at = 0; at < said.size(); at += piece) take(reader.push(said.substr(at, piece)));
  take(reader.finish());
  return all;
}

struct Case {
  std::string_view chat_template, said, text;
  std::vector<std::string> calls;
};

TEST(ToolCalls, AreFoundAsEachFamilyWritesThem) {
  const std::vector<Case> cases{
      {"<tool_call>", "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"sea\"}}\n</tool_call>", "", {R"(look{"at":"sea"})"}},
      {"<tool_call>", "Well.\n<tool_call>{\"name\":\"go\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"look\",\"arguments\":{\"far\":3}}</tool_call>\n", "Well.\n", {"go{}", R"(look{"far":3})"}},
      {"<tool_call>", "nothing to call < 3", "nothing to call < 3", {}},
      {"[TOOL_CALLS]", R"([TOOL_CALLS][{"name": "go", "arguments": {}}, {"name": "look", "arguments": {"at": "x"}}])", "", {"go{}", R"(look{"at":"x"})"}},
      {"<|tool_call|>", R"(<|tool_call|>[{"name": "go", "arguments": {}}])", "", {"go{}"}},
      {R"("parameters": ...)", R"({"name": "look", "parameters": {"at": "x"}})", "", {R"(look{"at":"x"})"}},
      {R"("parameters": ...)", R"(It is {"name": "look"})", R"(It is {"name": "look"})", {}},
      {"<tool_call><function=", "<tool_call>\n<function=look>\n<parameter=at>\n5\n</parameter>\n<parameter=far>\n5\n</parameter>\n</function>\n</tool_call>", "", {R"(look{"at":"5","far":5})"}},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {1U, 2U, 5U, 1000U}) {
      const All all = read(tool_syntax_of(c.chat_template), c.said, piece);
      EXPECT_EQ(all.text, c.text) << c.said << " in pieces of " << piece;
      EXPECT_EQ(all.calls, c.calls) << c.said << " in pieces of " << piece;
    }
  }
}

TEST(ToolCalls, WhatIsNoneComesOutAsItWasSaid) {
  const ToolSyntax hermes = tool_syntax_of("<tool_call>");
  for (const std::string_view said : {"<tool_call>{\"name\":\"fly\",\"arguments\":{}}</tool_call>", "<tool_call>no object</tool_call>", "<tool_call>{\"name\":\"go\"", "a <tool_call", "<tool_call>", "<tool_call>{\"name\":\"go\",\"arguments\":5}</tool_call> b"}) {
    for (const std::size_t piece : {1U, 1000U}) {
      const All all = read(hermes, said, piece);
      EXPECT_EQ(all.text, said);
      EXPECT_TRUE(all.calls.empty());
    }
  }
  EXPECT_EQ(read(tool_syntax_of("[TOOL_CALLS]"), R"([TOOL_CALLS][{"name":"fly"}])", 3).text, R"([TOOL_CALLS][{"name":"fly"}])");
}

}  // namespace
}  // namespace mlxhub::text
