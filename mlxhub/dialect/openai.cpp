#include "mlxhub/dialect/openai.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxhub/dialect/reading.h"

namespace mlxhub::dialect::openai {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::json::Value;

constexpr std::uint32_t kMostChoices = 64, kMostLogprobs = 20;

/// Members that change nothing here, whatever they say.
constexpr std::string_view kNoEffect[] = {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier"};

/// What both calls share. False if it is none of those.
Result<bool> common(const std::string& name, const Value& v, Ask& ask) {
  if (name == "model") {
    ask.model = v.string();
  } else if (name == "stream") {
    TRY(read_flag(v, name, ask.stream));
  } else if (name == "stream_options") {
    for (const auto& [key, option] : v.object()) {
      if (key == "include_usage") {
        TRY(read_flag(option, "stream_options.include_usage", ask.usage_in_stream));
      } else if (key != "include_obfuscation") {
        return wrong("stream_options." + key, "is not known");
      }
    }
  } else if (name == "n") {
    TRY(read_whole_as(v, name, 1, kMostChoices, ask.n));
  } else if (name == "max_tokens" || name == "max_completion_tokens") {
    TRY(read_whole_as(v, name, 1, UINT32_MAX, ask.most_tokens));
  } else if (name == "temperature") {
    TRY(read_number(v, name, 0, 2, ask.temperature));
  } else if (name == "top_p") {
    TRY(read_number(v, name, 0, 1, ask.top_p));
  } else if (name == "min_p") {
    TRY(read_number(v, name, 0, 1, ask.min_p));
  } else if (name == "top_k") {
    TRY(read_whole_as(v, name, 0, UINT32_MAX, ask.top_k));
  } else if (name == "presence_penalty") {
    TRY(read_number(v, name, -2, 2, ask.presence_penalty));
  } else if (name == "frequency_penalty") {
    TRY(read_number(v, name, -2, 2, ask.frequency_penalty));
  } else if (name == "repetition_penalty") {
    TRY(read_number(v, name, 0.01, 10, ask.repetition_penalty));
  } else if (name == "seed") {
    if (!v.is_null() && !v.is_integer()) return wrong(name, "a whole number is needed");
    if (!v.is_null()) ask.seed = v.u64(static_cast<std::uint64_t>(v.i64()));
  } else if (name == "stop") {
    TRY(read_texts(v, name, kMostStops, ask.stops));
  } else if (name == "logit_bias") {
    if (!v.is_null() && !v.is_object()) return wrong(name, "an object of token ids and numbers is needed");
    for (const auto& [token, by] : v.object()) {
      if (token.empty() || token.size() > 9 || token.find_first_not_of("0123456789") != std::string::npos) return wrong(name, "names are token ids");
      float value = 0;
      TRY(read_number(by, name, -100, 100, value));
      ask.bias.emplace_back(static_cast<std::uint32_t>(std::strtoul(token.c_str(), nullptr, 10)), value);
    }
  } else {
    return std::find(std::begin(kNoEffect), std::end(kNoEffect), name) != std::end(kNoEffect);
  }
  return true;
}

/// Contents are texts, or lists of parts that are texts.
Result<std::string> content_of(const Value& content) {
  std::string all = content.string();
  for (const Value& part : content.array()) {
    const std::string type = part["type"].string();
    if (type != "text" && type != "refusal") return fail(Code::unsupported, fmt::format("messages: parts of type '{}' are not built", mlxbase::printable(type)));
    all += part[type].string();
  }
  return all;
}

Result<Value> messages(const Value& given) {
  if (!given.is_array() || given.array().empty()) return wrong("messages", "a list with at least one message is needed");
  Value out{mlxbase::json::Array{}};
  for (const Value& m : given.array()) {
    const std::string role = m["role"].string();
    if (role.empty()) return wrong("messages", "a message has no role");
    if (role == "function" || !m["function_call"].is_null()) return fail(Code::unsupported, "messages: functions are not built; tools are");
    const auto& calls = m["tool_calls"].array();
    if (m["content"].if_string() == nullptr && !m["content"].is_array() && calls.empty()) return wrong("messages", "a message has no content");
    const std::string content = TRY(content_of(m["content"]));
    Value message = message_of(role == "developer" ? "system" : role, content);
    if (m["name"].if_string() != nullptr) message.set("name", m["name"].string());
    if (m["tool_call_id"].if_string() != nullptr) message.set("tool_call_id", m["tool_call_id"].string());
    if (!calls.empty()) {
      Value made{mlxbase::json::Array{}};
      for (const Value& call : calls) {
        const Value& function = call["function"];
        if (function["name"].string().empty()) return wrong("messages", "a call of a tool has no name");
        Value arguments = function["arguments"];
        if (const std::string* text = arguments.if_string()) {
          auto parsed = mlxbase::json::parse(text->empty() ? "{}" : *text);
          if (!parsed || !parsed->is_object()) return wrong("messages", "the arguments of a call are no JSON object");
          arguments = std::move(*parsed);
        }
        made.push(call_of(call["id"].string(), function["name"].string(), std::move(arguments)));
      }
      message.set("tool_calls", std::move(made));
    }
    out.push(std::move(message));
  }
  return out;
}

Result<std::optional<Value>> form_of(const Value& format) {
  const std::string type = format["type"].string();
  if (format.is_null() || type == "text") return std::optional<Value>();
  if (type == "json_object") return std::optional<Value>(true);
  if (type != "json_schema") return fail(Code::unsupported, fmt::format("response_format: '{}' is not built", mlxbase::printable(type)));
  const Value& schema = format["json_schema"]["schema"];
  if (!schema.is_object()) return wrong("response_format", "json_schema.schema is a JSON Schema");
  return std::optional<Value>(schema);
}

Result<void> read_tool_choice(const Value& choice, std::string& name, ToolChoice& out) {
  const std::string word = choice.string(), type = choice["type"].string();
  if (choice.is_null() || word == "auto") return {};
  if (word == "none" || word == "required") {
    out = word == "none" ? ToolChoice::none : ToolChoice::must;
    return {};
  }
  name = choice["function"]["name"].string();
  if (type != "function" || name.empty()) return wrong("tool_choice", "none, auto, required, or a function with its name is needed");
  out = ToolChoice::must;
  return {};
}

Value usage(const Costs& costs) {
  Value details = object(), out = object();
  details.set("cached_tokens", costs.cached_tokens);
  out.set("prompt_tokens", costs.prompt_tokens).set("completion_tokens", costs.answer_tokens).set("total_tokens", costs.prompt_tokens + costs.answer_tokens);
  out.set("prompt_tokens_details", std::move(details));
  return out;
}

Value reason(End end) {
  switch (end) {
    case End::stop: return "stop";
    case End::length: return "length";
    case End::calls: return "tool_calls";
    case End::none: break;
  }
  return {};
}

Value call_value(const Call& call) {
  Value function = object(), out = object();
  function.set("name", call.name).set("arguments", call.arguments);
  out.set("id", "call_" + call.id).set("type", "function").set("function", std::move(function));
  return out;
}

Value token_value(const TokenTold& told) {
  Value out = object(), bytes = list();
  for (const char c : told.bytes) bytes.push(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
  out.set("token", told.text).set("logprob", static_cast<double>(told.logprob)).set("bytes", std::move(bytes));
  return out;
}
Value logprobs(const std::vector<TokenTold>& tokens) {
  Value content = list();
  for (const TokenTold& told : tokens) {
    Value entry = token_value(told), top = list();
    for (const TokenTold& other : told.alternatives) top.push(token_value(other));
    entry.set("top_logprobs", std::move(top));
    content.push(std::move(entry));
  }
  Value out = object();
  out.set("content", std::move(content)).set("refusal", nullptr);
  return out;
}

class OpenAi : public Teller {
 public:
  OpenAi(const Ask& ask, Heading heading) : usage_in_stream_(ask.usage_in_stream), logprobs_(ask.logprobs.has_value()), heading_(std::move(heading)) {}
  std::string_view stream_type() const override { return "text/event-stream"; }
  std::string close(const Costs& costs) override {
    std::string out;
    if (usage_in_stream_) {
      Value event = envelope(true);
      event.set("choices", list()).set("usage", usage(costs));
      out = line(event);
    }
    return out + "data: [DONE]\n\n";
  }
  std::string end(std::size_t i, const Choice& ended, const Costs&) override { return chunk(i, {}, ended.end, false); }
  std::string piece(std::size_t i, const Said& said) override { return chunk(i, said, End::none, false); }
  std::string whole(const std::vector<Choice>& all, const Costs& costs) override {
    Value out = envelope(false), choices = list();
    for (std::size_t i = 0; i < all.size(); ++i) {
      Value choice = object();
      choice.set("index", i);
      tell_whole(i, all[i].said, choice);
      choice.set("logprobs", logprobs_ ? logprobs(all[i].said.tokens) : Value()).set("finish_reason", reason(all[i].end));
      choices.push(std::move(choice));
    }
    out.set("choices", std::move(choices)).set("usage", usage(costs));
    return mlxbase::json::dump(out);
  }
  std::string broken(const mlxbase::Error& error) override { return "data: " + error_body(error) + "\n\n"; }

 protected:
  virtual std::string_view prefix() const = 0;
  virtual std::string_view kind(bool chunk) const = 0;
  virtual void tell_piece(const Said& said, bool opening, Value& choice) = 0;
  virtual void tell_whole(std::size_t i, const Said& said, Value& choice) = 0;

  std::string chunk(std::size_t i, const Said& said, End end, bool opening) {
    Value choice = object();
    choice.set("index", i);
    tell_piece(said, opening, choice);
    choice.set("logprobs", logprobs_ && !said.tokens.empty() ? logprobs(said.tokens) : Value()).set("finish_reason", reason(end));
    Value out = envelope(true), choices = list();
    choices.push(std::move(choice));
    out.set("choices", std::move(choices));
    if (usage_in_stream_) out.set("usage", nullptr);
    return line(out);
  }

 private:
  static std::string line(const Value& value) { return "data: " + mlxbase::json::dump(value) + "\n\n"; }
  Value envelope(bool chunk) const {
    Value out = object();
    out.set("id", fmt::format("{}-{}", prefix(), heading_.id)).set("object", kind(chunk)).set("created", heading_.created_ns / 1'000'000'000).set("model", heading_.model);
    return out;
  }

  bool usage_in_stream_, logprobs_;
  Heading heading_;
};

class Chat final : public OpenAi {
 public:
  using OpenAi::OpenAi;
  std::string open(std::size_t choices, const Costs&) override {
    std::string out;
    for (std::size_t i = 0; i < choices; ++i) out += chunk(i, {}, End::none, true);
    return out;
  }

 private:
  std::string_view prefix() const override { return "chatcmpl"; }
  std::string_view kind(bool chunk) const override { return chunk ? "chat.completion.chunk" : "chat.completion"; }
  void tell_piece(const Said& said, bool opening, Value& choice) override {
    Value delta = object();
    if (opening) delta.set("role", "assistant").set("content", "");
    if (!said.text.empty()) delta.set("content", said.text);
    if (!said.calls.empty()) {
      const std::size_t i = choice["index"].u64();
      Value calls = list();
      for (const Call& call : said.calls) {
        Value made = object(), whole = call_value(call);
        made.set("index", calls_[i]++);
        for (const auto& [name, value] : whole.object()) made.set(name, value);
        calls.push(std::move(made));
      }
      delta.set("tool_calls", std::move(calls));
    }
    choice.set("delta", std::move(delta));
  }
  void tell_whole(std::size_t, const Said& said, Value& choice) override {
    Value message = object();
    message.set("role", "assistant").set("content", said.text.empty() && !said.calls.empty() ? Value() : Value(said.text)).set("refusal", nullptr);
    if (!said.calls.empty()) {
      Value calls = list();
      for (const Call& call : said.calls) calls.push(call_value(call));
      message.set("tool_calls", std::move(calls));
    }
    choice.set("message", std::move(message));
  }

  std::map<std::size_t, std::size_t> calls_;  // told so far, by choice
};

class Completion final : public OpenAi {
 public:
  Completion(const Ask& ask, Heading heading) : OpenAi(ask, std::move(heading)), echo_(ask.echo ? ask.prompts : std::vector<std::string>()), n_(ask.n) {}
  std::string open(std::size_t choices, const Costs&) override {
    std::string out;
    for (std::size_t i = 0; i < choices && !echo_.empty(); ++i) out += piece(i, {.text = echo_[i / n_], .calls = {}, .tokens = {}});
    return out;
  }

 private:
  std::string_view prefix() const override { return "cmpl"; }
  std::string_view kind(bool) const override { return "text_completion"; }
  void tell_piece(const Said& said, bool, Value& choice) override { choice.set("text", said.text); }
  void tell_whole(std::size_t i, const Said& said, Value& choice) override { choice.set("text", echo_.empty() ? said.text : echo_[i / n_] + said.text); }

  std::vector<std::string> echo_;
  std::size_t n_;
};

}  // namespace

Result<Ask> read_chat(std::string_view body) {
  const Value value = TRY(parse_body(body));
  Ask ask;
  bool logprobs = false;
  std::uint32_t top = 0;
  std::string tool;
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "messages") {
      ask.messages = TRY(messages(v));
    } else if (name == "logprobs") {
      TRY(read_flag(v, name, logprobs));
    } else if (name == "top_logprobs") {
      TRY(read_whole_as(v, name, 0, kMostLogprobs, top));
    } else if (name == "response_format") {
      ask.form = TRY(form_of(v));
    } else if (name == "tools") {
      ask.tools = TRY(read_tools(v, name));
    } else if (name == "tool_choice") {
      TRY(read_tool_choice(v, tool, ask.tool_choice));
    } else if (name == "parallel_tool_calls") {
      TRY(read_flag(v, name, ask.several_calls));
    } else if (name == "functions" || name == "function_call") {
      if (!v.is_null()) return fail(Code::unsupported, fmt::format("{}: not built; tools are", name));
    } else if (name == "modalities") {
      if (v.array().size() > 1 || (v.array().size() == 1 && v.array().front() != Value("text"))) return fail(Code::unsupported, "modalities: only text is built");
    } else if (!v.is_null()) {
      return unknown(name);
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  if (ask.messages.is_null()) return wrong("messages", "a list with at least one message is needed");
  if (ask.tools.is_null() && ask.tool_choice == ToolChoice::must) return wrong("tool_choice", "there are no tools");
  if (!tool.empty()) TRY(only_tool(ask.tools, tool));
  if (top > 0 && !logprobs) return wrong("top_logprobs", "logprobs must be true");
  if (logprobs) ask.logprobs = top;
  return ask;
}

Result<Ask> read_completion(std::string_view body) {
  const Value value = TRY(parse_body(body));
  Ask ask;
  ask.most_tokens = 16;
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "prompt") {
      if (v.is_array() && !v.array().empty() && !v.array().front().is_string()) return fail(Code::unsupported, "prompt: lists of tokens are not built; send text");
      TRY(read_texts(v, name, kMostChoices, ask.prompts));
    } else if (name == "echo") {
      TRY(read_flag(v, name, ask.echo));
    } else if (name == "logprobs") {
      if (!v.is_null()) return fail(Code::unsupported, "logprobs: not built for text completions; chat completions have them");
    } else if (name == "best_of") {
      if (!v.is_null() && v.u64() != 1) return fail(Code::unsupported, "best_of: not built");
    } else if (name == "suffix") {
      if (!v.string().empty()) return fail(Code::unsupported, "suffix: not built");
    } else if (!v.is_null()) {
      return unknown(name);
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  if (ask.prompts.empty()) return wrong("prompt", "a text, or a list of at most 64 of them, is needed");
  return ask;
}

std::unique_ptr<Teller> chat_teller(const Ask& ask, Heading heading) { return std::make_unique<Chat>(ask, std::move(heading)); }
std::unique_ptr<Teller> completion_teller(const Ask& ask, Heading heading) { return std::make_unique<Completion>(ask, std::move(heading)); }

std::string error_body(const mlxbase::Error& error) {
  Value inner = object();
  const int status = status_of(error.code);
  inner.set("message", error.message).set("type", status >= 500 ? "server_error" : "invalid_request_error").set("param", nullptr);
  inner.set("code", status == 404 ? Value("model_not_found") : Value());
  Value out = object();
  out.set("error", std::move(inner));
  return mlxbase::json::dump(out);
}

}  // namespace mlxhub::dialect::openai
