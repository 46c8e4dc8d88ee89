#include "mlxhub/dialect/openai.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
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
constexpr std::string_view kNoEffect[] = {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier", "parallel_tool_calls"};

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

Result<Value> messages(const Value& given) {
  if (!given.is_array() || given.array().empty()) return wrong("messages", "a list with at least one message is needed");
  Value out{mlxbase::json::Array{}};
  for (const Value& m : given.array()) {
    const std::string role = m["role"].string();
    if (role.empty()) return wrong("messages", "a message has no role");
    if (role == "tool" || role == "function" || !m["tool_calls"].array().empty()) return fail(Code::unsupported, "messages: calls of tools are not built");
    if (m["content"].if_string() == nullptr && !m["content"].is_array()) return wrong("messages", "a message has no content");
    std::string content = m["content"].string();
    for (const Value& part : m["content"].array()) {
      if (part["type"].string() != "text") return fail(Code::unsupported, fmt::format("messages: parts of type '{}' are not built", mlxbase::printable(part["type"].string())));
      content += part["text"].string();
    }
    Value message = message_of(role == "developer" ? "system" : role, content);
    if (m["name"].if_string() != nullptr) message.set("name", m["name"].string());
    out.push(std::move(message));
  }
  return out;
}

Value object() { return Value{mlxbase::json::Object{}}; }
Value list() { return Value{mlxbase::json::Array{}}; }

Value usage(const Costs& costs) {
  Value details = object(), out = object();
  details.set("cached_tokens", costs.cached_tokens);
  out.set("prompt_tokens", costs.prompt_tokens).set("completion_tokens", costs.answer_tokens).set("total_tokens", costs.prompt_tokens + costs.answer_tokens);
  out.set("prompt_tokens_details", std::move(details));
  return out;
}

Value reason(End end) { return end == End::stop ? Value("stop") : end == End::length ? Value("length") : Value(); }

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
    choice.set("delta", std::move(delta));
  }
  void tell_whole(std::size_t, const Said& said, Value& choice) override {
    Value message = object();
    message.set("role", "assistant").set("content", said.text).set("refusal", nullptr);
    choice.set("message", std::move(message));
  }
};

class Completion final : public OpenAi {
 public:
  Completion(const Ask& ask, Heading heading) : OpenAi(ask, std::move(heading)), echo_(ask.echo ? ask.prompts : std::vector<std::string>()), n_(ask.n) {}
  std::string open(std::size_t choices, const Costs&) override {
    std::string out;
    for (std::size_t i = 0; i < choices && !echo_.empty(); ++i) out += piece(i, {.text = echo_[i / n_], .tokens = {}});
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
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "messages") {
      ask.messages = TRY(messages(v));
    } else if (name == "logprobs") {
      TRY(read_flag(v, name, logprobs));
    } else if (name == "top_logprobs") {
      TRY(read_whole_as(v, name, 0, kMostLogprobs, top));
    } else if (name == "response_format") {
      if (!v.is_null() && v["type"].string() != "text") return fail(Code::unsupported, "response_format: only text is built; a form cannot be enforced yet");
    } else if (name == "tools" || name == "functions") {
      if (!v.array().empty()) return fail(Code::unsupported, fmt::format("{}: calls of tools are not built", name));
    } else if (name == "tool_choice" || name == "function_call") {
      if (!v.is_null() && v.string() != "none" && v.string() != "auto") return fail(Code::unsupported, fmt::format("{}: calls of tools are not built", name));
    } else if (!v.is_null()) {
      return wrong(name, "is not known here, so it cannot be honoured");
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  if (ask.messages.is_null()) return wrong("messages", "a list with at least one message is needed");
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
      return wrong(name, "is not known here, so it cannot be honoured");
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
