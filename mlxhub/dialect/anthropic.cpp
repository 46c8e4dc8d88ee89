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

Value object() { return Value{mlxbase::json::Object{}}; }
Value list() { return Value{mlxbase::json::Array{}}; }

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

Result<void> read_message(const Value& m, Value& out) {
  const std::string role = m["role"].string();
  if (role != "user" && role != "assistant") return wrong("messages", "the role of a message is user or assistant");
  const std::string text = TRY(text_of(m["content"], "messages"));
  out.push(message_of(role, text));
  return {};
}

Result<Ask> read(std::string_view body, bool count) {
  const Value value = TRY(parse_body(body));
  Ask ask;
  Value system, messages = list();
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
      if (!v.array().empty()) return fail(Code::unsupported, "tools: calls of tools are not built");
    } else if (name == "tool_choice") {
      if (!v.is_null() && v["type"].string() != "auto" && v["type"].string() != "none") return fail(Code::unsupported, "tool_choice: calls of tools are not built");
    } else if (name == "thinking") {
      if (!v.is_null() && v["type"].string() != "disabled") return fail(Code::unsupported, "thinking: not built; what a model thinks aloud is part of its text");
    } else if (std::find(std::begin(kNoEffect), std::end(kNoEffect), name) != std::end(kNoEffect) || (count && name == "max_tokens")) {
      continue;
    } else if (count && !v.is_null()) {
      return wrong(name, "is not known here, so it cannot be honoured");
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
      return wrong(name, "is not known here, so it cannot be honoured");
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  if (messages.array().empty()) return wrong("messages", "a list with at least one message is needed");
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
    if (said.text.empty()) return {};
    std::string out;
    if (!open_) {
      Value block = object(), start = object();
      block.set("type", "text").set("text", "");
      start.set("type", "content_block_start").set("index", blocks_).set("content_block", std::move(block));
      out += event(start);
      open_ = true;
    }
    Value delta = object(), told = object();
    delta.set("type", "text_delta").set("text", said.text);
    told.set("type", "content_block_delta").set("index", blocks_).set("delta", std::move(delta));
    return out + event(told);
  }
  std::string end(std::size_t, const Choice& ended, const Costs& costs) override {
    std::string out = stop_block();
    Value delta = object(), told = object();
    delta.set("stop_reason", reason(ended)).set("stop_sequence", ended.stop ? Value(*ended.stop) : Value());
    told.set("type", "message_delta").set("delta", std::move(delta)).set("usage", usage(costs));
    return out + event(told);
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
    return mlxbase::json::dump(message(std::move(content), only, costs));
  }
  std::string broken(const mlxbase::Error& error) override { return "event: error\ndata: " + error_body(error) + "\n\n"; }

 private:
  static std::string event(const Value& value) { return fmt::format("event: {}\ndata: {}\n\n", value["type"].string(), mlxbase::json::dump(value)); }
  static Value reason(const Choice& choice) {
    if (choice.end == End::none) return {};
    return choice.end == End::length ? "max_tokens" : choice.stop ? "stop_sequence" : "end_turn";
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
