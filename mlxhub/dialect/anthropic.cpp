#include "mlxhub/dialect/anthropic.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxhub/dialect/reading.h"

namespace mlxhub::dialect::anthropic {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::json::Value;

/// Members that change nothing here, whatever they say: every beginning of a prompt is kept anyway, and nothing leaves this machine.
constexpr std::string_view kNoEffect[] = {"metadata", "service_tier", "cache_control", "diagnostics", "inference_geo", "user_profile_id", "workspace_id"};

/// A text, or a list of blocks of text.
Result<std::string> text_of(const Value& value, std::string_view member) {
  if (const std::string* text = value.if_string()) return *text;
  if (!value.is_array()) return wrong(member, "a text or a list of blocks is needed");
  std::string all;
  for (const Value& block : value.array()) {
    const std::string type = block["type"].string();
    if (type != "text") return fail(Code::unsupported, fmt::format("{}: blocks of type '{}' are not built", member, mlxbase::printable(type)));
    all += block["text"].string();
  }
  return all;
}

/// One message may become several: what tools gave back are messages of their own.
Result<void> read_message(const Value& m, Value& out) {
  const std::string role = m["role"].string();
  if (role != "user" && role != "assistant") return wrong("messages", "the role of a message is user or assistant");
  if (!m["content"].is_array()) {
    const std::string text = TRY(text_of(m["content"], "messages"));
    out.push(message_of(role, text));
    return {};
  }
  std::string text;
  Value calls = list();
  bool results = false;
  for (const Value& block : m["content"].array()) {
    const std::string type = block["type"].string();
    if (type == "text") {
      text += block["text"].string();
    } else if (type == "tool_use" && role == "assistant") {
      if (!block["input"].is_object() || block["name"].string().empty()) return wrong("messages", "a tool_use needs a name, and an input that is an object");
      calls.push(call_of(block["id"].string(), block["name"].string(), block["input"]));
    } else if (type == "tool_result" && role == "user") {
      const std::string result = block["content"].is_null() ? std::string() : TRY(text_of(block["content"], "messages"));
      Value message = message_of("tool", result);
      message.set("tool_call_id", block["tool_use_id"].string());
      out.push(std::move(message));
      results = true;
    } else if (type == "thinking" || type == "redacted_thinking") {
      continue;  // of an earlier answer: templates leave it out too
    } else {
      return fail(Code::unsupported, fmt::format("messages: blocks of type '{}' are not built", mlxbase::printable(type)));
    }
  }
  if (results && text.empty()) return {};
  Value message = message_of(role, text);
  if (!calls.array().empty()) message.set("tool_calls", std::move(calls));
  out.push(std::move(message));
  return {};
}

/// {"name", "description", "input_schema"} as OpenAI writes it.
Result<Value> tools_of(const Value& given) {
  if (!given.is_null() && !given.is_array()) return wrong("tools", "a list of tools is needed");
  Value all = list();
  for (const Value& tool : given.array()) {
    const std::string type = tool["type"].string("custom");
    if (type != "custom") return fail(Code::unsupported, fmt::format("tools: tools of type '{}' are not built", mlxbase::printable(type)));
    Value function = object(), made = object();
    function.set("name", tool["name"]).set("description", tool["description"].string()).set("parameters", tool["input_schema"]);
    if (!tool["strict"].is_null()) function.set("strict", tool["strict"]);
    made.set("type", "function").set("function", std::move(function));
    all.push(std::move(made));
  }
  return read_tools(all, "tools");
}

Result<void> read_tool_choice(const Value& choice, std::string& name, Ask& ask) {
  if (choice.is_null()) return {};
  const std::string type = choice["type"].string();
  bool one = false;
  TRY(read_flag(choice["disable_parallel_tool_use"], "tool_choice.disable_parallel_tool_use", one));
  ask.several_calls = !one;
  if (type == "auto") return {};
  if (type == "none" || type == "any" || type == "tool") {
    ask.tool_choice = type == "none" ? ToolChoice::none : ToolChoice::must;
    name = choice["name"].string();
    if (type != "tool" || !name.empty()) return {};
  }
  return wrong("tool_choice", "auto, any, none, or a tool with its name is needed");
}

Result<Ask> read(std::string_view body, bool count) {
  const Value value = TRY(parse_body(body));
  Ask ask;
  Value system, messages = list();
  std::string tool;
  for (const auto& [name, v] : value.object()) {
    if (name == "model") {
      ask.model = v.string();
    } else if (name == "messages") {
      if (!v.is_array() || v.array().empty()) return wrong(name, "a list with at least one message is needed");
      for (const Value& m : v.array()) TRY(read_message(m, messages));
    } else if (name == "system") {
      if (v.is_null()) continue;
      const std::string text = TRY(text_of(v, name));
      system = message_of("system", text);
    } else if (name == "tools") {
      ask.tools = TRY(tools_of(v));
    } else if (name == "tool_choice") {
      TRY(read_tool_choice(v, tool, ask));
    } else if (name == "output_config") {
      for (const auto& [key, option] : v.object()) {
        if (option.is_null()) continue;
        if (key != "format" || option["type"] != Value("json_schema") || !option["schema"].is_object()) return fail(Code::unsupported, fmt::format("output_config.{}: not built, but a format by JSON Schema", mlxbase::printable(key)));
        ask.form = option["schema"];
      }
    } else if (name == "thinking") {
      if (!v.is_null() && v["type"].string() != "disabled") return fail(Code::unsupported, "thinking: not built; what a model thinks aloud is part of its text");
    } else if (std::find(std::begin(kNoEffect), std::end(kNoEffect), name) != std::end(kNoEffect) || (count && name == "max_tokens")) {
      continue;
    } else if (count && !v.is_null()) {
      return unknown(name);
    } else if (name == "max_tokens") {
      TRY(read_whole_as(v, name, 1, UINT32_MAX, ask.most_tokens));
    } else if (name == "stream") {
      TRY(read_flag(v, name, ask.stream));
    } else if (name == "temperature") {
      TRY(read_number(v, name, 0, 1, ask.temperature));
    } else if (name == "top_p") {
      TRY(read_number(v, name, 0, 1, ask.top_p));
    } else if (name == "top_k") {
      TRY(read_whole_as(v, name, 0, UINT32_MAX, ask.top_k));
    } else if (name == "stop_sequences") {
      if (v.is_string()) return wrong(name, "a list of texts is needed");
      TRY(read_texts(v, name, kMostStops, ask.stops));
    } else if (!v.is_null()) {
      return unknown(name);
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  if (messages.array().empty()) return wrong("messages", "a list with at least one message is needed");
  if (ask.tools.is_null() && ask.tool_choice == ToolChoice::must) return wrong("tool_choice", "there are no tools");
  if (!tool.empty()) TRY(only_tool(ask.tools, tool));
  if (!count && ask.most_tokens == 0) return wrong("max_tokens", "it has to be said");
  ask.messages = list();
  if (!system.is_null()) ask.messages.push(std::move(system));
  for (const Value& m : messages.array()) ask.messages.push(m);
  return ask;
}

class Messages final : public Teller {
 public:
  explicit Messages(Heading heading) : heading_(std::move(heading)) {}
  std::string_view stream_type() const override { return "text/event-stream"; }

  std::string open(std::size_t, const Costs& so_far) override {
    Value start = object();
    start.set("type", "message_start").set("message", message(list(), {}, so_far));
    return event(start);
  }
  std::string piece(std::size_t, const Said& said) override {
    std::string out;
    if (!said.text.empty()) {
      if (!open_) {
        Value block = object();
        block.set("type", "text").set("text", "");
        out += start_block(std::move(block));
      }
      Value delta = object();
      delta.set("type", "text_delta").set("text", said.text);
      out += told(std::move(delta));
    }
    for (const Call& call : said.calls) {
      out += stop_block();
      Value block = object(), delta = object();
      block.set("type", "tool_use").set("id", "toolu_" + call.id).set("name", call.name).set("input", object());
      out += start_block(std::move(block));
      delta.set("type", "input_json_delta").set("partial_json", call.arguments);
      out += told(std::move(delta));
      out += stop_block();
    }
    return out;
  }
  std::string end(std::size_t, const Choice& ended, const Costs& costs) override {
    std::string out = stop_block();
    Value delta = object(), last = object();
    delta.set("stop_reason", reason(ended)).set("stop_sequence", ended.stop ? Value(*ended.stop) : Value());
    last.set("type", "message_delta").set("delta", std::move(delta)).set("usage", usage(costs));
    return out + event(last);
  }
  std::string close(const Costs&) override {
    Value stop = object();
    stop.set("type", "message_stop");
    return event(stop);
  }
  std::string whole(const std::vector<Choice>& choices, const Costs& costs) override {
    const Choice& only = choices.front();
    Value content = list();
    if (!only.said.text.empty()) {
      Value block = object();
      block.set("type", "text").set("text", only.said.text);
      content.push(std::move(block));
    }
    for (const Call& call : only.said.calls) {
      auto input = mlxbase::json::parse(call.arguments);
      Value block = object();
      block.set("type", "tool_use").set("id", "toolu_" + call.id).set("name", call.name).set("input", input ? std::move(*input) : object());
      content.push(std::move(block));
    }
    return mlxbase::json::dump(message(std::move(content), only, costs));
  }
  std::string broken(const mlxbase::Error& error) override { return "event: error\ndata: " + error_body(error) + "\n\n"; }

 private:
  static std::string event(const Value& value) { return fmt::format("event: {}\ndata: {}\n\n", value["type"].string(), mlxbase::json::dump(value)); }
  static Value reason(const Choice& choice) {
    if (choice.end == End::none) return {};
    return choice.end == End::calls ? "tool_use" : choice.end == End::length ? "max_tokens" : choice.stop ? "stop_sequence" : "end_turn";
  }
  static Value usage(const Costs& costs) {
    Value out = object();
    out.set("input_tokens", costs.prompt_tokens - costs.cached_tokens).set("cache_read_input_tokens", costs.cached_tokens).set("cache_creation_input_tokens", 0).set("output_tokens", costs.answer_tokens);
    return out;
  }
  Value message(Value content, const Choice& choice, const Costs& costs) const {
    Value out = object();
    out.set("id", "msg_" + heading_.id).set("type", "message").set("role", "assistant").set("model", heading_.model).set("content", std::move(content));
    out.set("stop_reason", reason(choice)).set("stop_sequence", choice.stop ? Value(*choice.stop) : Value()).set("usage", usage(costs));
    return out;
  }
  std::string start_block(Value block) {
    Value start = object();
    start.set("type", "content_block_start").set("index", blocks_).set("content_block", std::move(block));
    open_ = true;
    return event(start);
  }
  std::string told(Value delta) const {
    Value out = object();
    out.set("type", "content_block_delta").set("index", blocks_).set("delta", std::move(delta));
    return event(out);
  }
  std::string stop_block() {
    if (!std::exchange(open_, false)) return {};
    Value stop = object();
    stop.set("type", "content_block_stop").set("index", blocks_++);
    return event(stop);
  }

  Heading heading_;
  std::size_t blocks_ = 0;
  bool open_ = false;
};

}  // namespace

Result<Ask> read_messages(std::string_view body) { return read(body, false); }
Result<Ask> read_count(std::string_view body) { return read(body, true); }

std::unique_ptr<Teller> teller(const Ask&, Heading heading) { return std::make_unique<Messages>(std::move(heading)); }

std::string error_body(const mlxbase::Error& error) {
  const int status = status_of(error.code);
  Value inner = object(), out = object();
  inner.set("type", status == 404 ? "not_found_error" : status == 429 ? "rate_limit_error" : status == 503 ? "overloaded_error" : status >= 500 ? "api_error" : "invalid_request_error");
  inner.set("message", error.message);
  out.set("type", "error").set("error", std::move(inner));
  return mlxbase::json::dump(out);
}

}  // namespace mlxhub::dialect::anthropic
