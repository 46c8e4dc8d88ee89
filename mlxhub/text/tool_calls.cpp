#include "mlxhub/text/tool_calls.h"

#include <algorithm>
#include <utility>

namespace mlxhub::text {

using mlxbase::json::Value;

namespace {

constexpr std::string_view kSpace = " \t\r\n";

constexpr ToolSyntax kHermes{.begin = "<tool_call>", .end = "</tool_call>", .arguments = "arguments"};                          // Qwen 2.5 and 3, SmolLM3, Hermes
constexpr ToolSyntax kQwenCoder{.begin = "<tool_call>", .end = "</tool_call>", .arguments = "arguments", .elements = true};     // Qwen3-Coder
constexpr ToolSyntax kMistral{.begin = "[TOOL_CALLS]", .end = "", .arguments = "arguments", .list = true};
constexpr ToolSyntax kGranite{.begin = "<|tool_call|>", .end = "", .arguments = "arguments", .list = true};
constexpr ToolSyntax kLlama3{.begin = "", .end = "", .arguments = "parameters"};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kSpace);
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

ToolSyntax tool_syntax_of(std::string_view chat_template) {
  const auto says = [&](std::string_view what) { return chat_template.find(what) != std::string_view::npos; };
  if (says("[TOOL_CALLS]")) return kMistral;
  if (says("<|tool_call|>")) return kGranite;
  if (says("<tool_call>")) return says("<function=") ? kQwenCoder : kHermes;
  if (says("\"parameters\":") || says("<|python_tag|>")) return kLlama3;
  return kHermes;
}

std::vector<std::string_view> tool_markers() { return {"<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|tool_call|>"}; }

ToolCalls::ToolCalls(const ToolSyntax& syntax, const Value& tools) : syntax_(syntax), tools_(tools), marker_({std::string(syntax.begin)}) {}

const Value* ToolCalls::tool(std::string_view name) const {
  for (const Value& tool : tools_.array()) {
    if (tool["function"]["name"] == Value(name)) return &tool["function"];
  }
  return nullptr;
}

bool ToolCalls::one(const Value& call, std::vector<ToolCall>& calls) const {
  const Value& name = call["name"];
  if (tool(name.string()) == nullptr) return false;
  Value arguments = call[syntax_.arguments];
  if (arguments.is_null()) arguments = call[syntax_.arguments == "arguments" ? "parameters" : "arguments"];
  if (const std::string* text = arguments.if_string()) {  // some models write the object as a text
    auto parsed = mlxbase::json::parse(*text);
    if (!parsed) return false;
    arguments = std::move(*parsed);
  }
  if (arguments.is_null()) arguments = Value{mlxbase::json::Object{}};
  if (!arguments.is_object()) return false;
  calls.push_back({.name = name.string(), .arguments = mlxbase::json::dump(arguments)});
  return true;
}

bool ToolCalls::elements(std::string_view written, std::vector<ToolCall>& calls) const {
  constexpr std::string_view kFunction = "<function=", kFunctionEnd = "</function>", kParameter = "<parameter=", kParameterEnd = "</parameter>";
  const auto close = written.find('>');
  if (!written.starts_with(kFunction) || close == std::string_view::npos || !written.ends_with(kFunctionEnd)) return false;
  const std::string name(written.substr(kFunction.size(), close - kFunction.size()));
  const Value* const known = tool(name);
  if (known == nullptr) return false;
  std::string_view left = trimmed(written.substr(close + 1, written.size() - close - 1 - kFunctionEnd.size()));
  Value arguments{mlxbase::json::Object{}};
  while (!left.empty()) {
    const auto named = left.find('>'), ended = left.find(kParameterEnd);
    if (!left.starts_with(kParameter) || named == std::string_view::npos || ended == std::string_view::npos || ended < named) return false;
    const std::string key(left.substr(kParameter.size(), named - kParameter.size()));
    std::string_view text = left.substr(named + 1, ended - named - 1);
    if (text.starts_with('\n')) text.remove_prefix(1);
    if (text.ends_with('\n')) text.remove_suffix(1);
    auto value = mlxbase::json::parse(text);
    const bool is_text = (*known)["parameters"]["properties"][key]["type"] == Value("string");
    arguments.set(key, is_text || !value ? Value(text) : std::move(*value));
    left = trimmed(left.substr(ended + kParameterEnd.size()));
  }
  calls.push_back({.name = name, .arguments = mlxbase::json::dump(arguments)});
  return true;
}

bool ToolCalls::read(std::string_view written, std::vector<ToolCall>& calls) const {
  written = trimmed(written);
  if (syntax_.elements && written.starts_with("<function=")) return elements(written, calls);
  const auto parsed = mlxbase::json::parse(written);
  if (!parsed) return false;
  if (!parsed->is_array()) return one(*parsed, calls);
  std::vector<ToolCall> all;
  for (const Value& call : parsed->array()) {
    if (!one(call, all)) return false;
  }
  calls.insert(calls.end(), all.begin(), all.end());
  return !all.empty();
}

ToolCalls::Step ToolCalls::push(std::string_view text) {
  Step step;
  if (syntax_.begin.empty()) {
    if (plain_) return {.text = std::string(text), .calls = {}};
    held_ += text;
    const auto first = held_.find_first_not_of(kSpace);
    if (first != std::string::npos && held_[first] != '{') {
      plain_ = true;
      step.text = std::exchange(held_, {});
    }
    return step;
  }
  std::string left(text);
  for (;;) {
    if (!inside_) {
      auto found = marker_.push(left);
      // White space between calls is no text of the answer.
      if (!called_ || !trimmed(found.text).empty()) step.text += found.text;
      if (!found.stop) return step;
      inside_ = true;
      left = std::move(found.rest);
      marker_ = StopMatcher({std::string(syntax_.begin)});
    }
    held_ += left;
    if (syntax_.end.empty()) return step;
    const auto end = held_.find(syntax_.end);
    if (end == std::string::npos) return step;
    if (read(std::string_view(held_).substr(0, end), step.calls)) {
      called_ = true;
    } else {
      step.text += syntax_.begin;
      step.text += held_.substr(0, end + syntax_.end.size());
    }
    left = held_.substr(end + syntax_.end.size());
    held_.clear();
    inside_ = false;
  }
}

ToolCalls::Step ToolCalls::finish() {
  Step step;
  if (!inside_ && !syntax_.begin.empty()) {
    step.text = marker_.finish();
    if (called_ && trimmed(step.text).empty()) step.text.clear();
    return step;
  }
  if (!held_.empty() && !read(held_, step.calls)) {
    if (inside_) step.text = syntax_.begin;
    step.text += held_;
  } else if (held_.empty() && inside_) {
    step.text = syntax_.begin;
  }
  held_.clear();
  inside_ = false;
  return step;
}

}  // namespace mlxhub::text
