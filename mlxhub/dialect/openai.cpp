#include "mlxhub/dialect/openai.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "mlxbase/core/printable.h"

namespace mlxhub::dialect {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::json::Value;

constexpr std::uint32_t kMostChoices = 64, kMostLogprobs = 20;

std::unexpected<mlxbase::Error> wrong(std::string_view member, std::string_view what) {
  return fail(Code::invalid, fmt::format("{}: {}", mlxbase::printable(member), what));
}

Status number(const Value& value, std::string_view member, double least, double most, float& out) {
  if (value.is_null()) return {};
  const double v = value.number(std::nan(""));
  if (!value.is_number() || !(v >= least && v <= most)) return wrong(member, fmt::format("a number from {} to {} is needed", least, most));
  out = static_cast<float>(v);
  return {};
}
template <class T>
Status whole(const Value& value, std::string_view member, std::uint64_t least, std::uint64_t most, T& out) {
  if (value.is_null()) return {};
  const std::uint64_t v = value.u64(UINT64_MAX);
  if (!value.is_integer() || v < least || v > most) return wrong(member, fmt::format("a whole number from {} to {} is needed", least, most));
  out = static_cast<T>(v);
  return {};
}
Status flag(const Value& value, std::string_view member, bool& out) {
  if (value.is_null()) return {};
  if (value != Value(true) && value != Value(false)) return wrong(member, "true or false is needed");
  out = value.boolean();
  return {};
}

/// Members that change nothing here, whatever they say.
constexpr std::string_view kNoEffect[] = {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier", "parallel_tool_calls"};

/// What both calls share. False if it is none of those.
Result<bool> common(const std::string& name, const Value& v, Ask& ask) {
  if (name == "model") {
    ask.model = v.string();
  } else if (name == "stream") {
    TRY(flag(v, name, ask.stream));
  } else if (name == "stream_options") {
    for (const auto& [key, option] : v.object()) {
      if (key == "include_usage") {
        TRY(flag(option, "stream_options.include_usage", ask.usage_in_stream));
      } else if (key != "include_obfuscation") {
        return wrong("stream_options." + key, "is not known");
      }
    }
  } else if (name == "n") {
    TRY(whole(v, name, 1, kMostChoices, ask.n));
  } else if (name == "max_tokens" || name == "max_completion_tokens") {
    TRY(whole(v, name, 1, UINT32_MAX, ask.most_tokens));
  } else if (name == "temperature") {
    TRY(number(v, name, 0, 2, ask.temperature));
  } else if (name == "top_p") {
    TRY(number(v, name, 0, 1, ask.top_p));
  } else if (name == "min_p") {
    TRY(number(v, name, 0, 1, ask.min_p));
  } else if (name == "top_k") {
    TRY(whole(v, name, 0, UINT32_MAX, ask.top_k));
  } else if (name == "presence_penalty") {
    TRY(number(v, name, -2, 2, ask.presence_penalty));
  } else if (name == "frequency_penalty") {
    TRY(number(v, name, -2, 2, ask.frequency_penalty));
  } else if (name == "repetition_penalty") {
    TRY(number(v, name, 0.01, 10, ask.repetition_penalty));
  } else if (name == "seed") {
    if (!v.is_null() && !v.is_integer()) return wrong(name, "a whole number is needed");
    if (!v.is_null()) ask.seed = v.u64(static_cast<std::uint64_t>(v.i64()));
  } else if (name == "stop") {
    if (!v.is_null() && v.if_string() == nullptr && !v.is_array()) return wrong(name, "a text or a list of texts is needed");
    if (const std::string* one = v.if_string()) ask.stops = {*one};
    for (const Value& s : v.array()) {
      if (s.if_string() == nullptr) return wrong(name, "a text or a list of texts is needed");
      ask.stops.push_back(s.string());
    }
    if (ask.stops.size() > 16) return wrong(name, "at most 16 are taken");
  } else if (name == "logit_bias") {
    if (!v.is_null() && !v.is_object()) return wrong(name, "an object of token ids and numbers is needed");
    for (const auto& [token, by] : v.object()) {
      if (token.empty() || token.size() > 9 || token.find_first_not_of("0123456789") != std::string::npos) return wrong(name, "names are token ids");
      float value = 0;
      TRY(number(by, name, -100, 100, value));
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
    Value message{mlxbase::json::Object{}};
    message.set("role", role == "developer" ? "system" : role).set("content", content);
    if (m["name"].if_string() != nullptr) message.set("name", m["name"].string());
    out.push(std::move(message));
  }
  return out;
}

Result<Value> parse(std::string_view body) {
  Value value = TRY(mlxbase::json::parse(body, {.bytes = std::size_t{128} << 20U, .depth = 32}));
  if (!value.is_object()) return fail(Code::invalid, "the body is no JSON object");
  return value;
}

}  // namespace

Result<Ask> read_chat(std::string_view body) {
  const Value value = TRY(parse(body));
  Ask ask;
  bool logprobs = false;
  std::uint32_t top = 0;
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "messages") {
      ask.messages = TRY(messages(v));
    } else if (name == "logprobs") {
      TRY(flag(v, name, logprobs));
    } else if (name == "top_logprobs") {
      TRY(whole(v, name, 0, kMostLogprobs, top));
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
  const Value value = TRY(parse(body));
  Ask ask;
  ask.most_tokens = 16;
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "prompt") {
      if (const std::string* one = v.if_string()) ask.prompts = {*one};
      for (const Value& p : v.array()) {
        if (p.if_string() == nullptr) return fail(Code::unsupported, "prompt: lists of tokens are not built; send text");
        ask.prompts.push_back(p.string());
      }
    } else if (name == "echo") {
      TRY(flag(v, name, ask.echo));
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
  if (ask.prompts.empty() || ask.prompts.size() > kMostChoices) return wrong("prompt", "a text, or a list of at most 64 of them, is needed");
  return ask;
}

int status_of(Code code) {
  switch (code) {
    case Code::not_found: return 404;
    case Code::busy: return 429;
    case Code::out_of_memory:
    case Code::cancelled: return 503;
    case Code::invalid:
    case Code::corrupt:
    case Code::unsupported: return 400;
    default: return 500;
  }
}

std::string error_body(const mlxbase::Error& error) {
  Value inner{mlxbase::json::Object{}};
  const int status = status_of(error.code);
  inner.set("message", error.message).set("type", status >= 500 ? "server_error" : "invalid_request_error").set("param", nullptr);
  inner.set("code", status == 404 ? Value("model_not_found") : Value());
  Value out{mlxbase::json::Object{}};
  out.set("error", std::move(inner));
  return mlxbase::json::dump(out);
}

}  // namespace mlxhub::dialect
