#include "mlxhub/dialect/ollama.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxhub/dialect/reading.h"

namespace mlxhub::dialect::ollama {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::json::Value;

/// Options that say how Ollama shall use the machine; here they change nothing. num_ctx is one: a prompt has always the model's whole context.
constexpr std::string_view kMachine[] = {"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "low_vram", "use_mmap", "use_mlock", "f16_kv", "vocab_only", "num_keep"};

Status read_options(const Value& options, Ask& ask) {
  if (!options.is_null() && !options.is_object()) return wrong("options", "an object is needed");
  for (const auto& [name, v] : options.object()) {
    const std::string member = "options." + name;
    if (name == "temperature") {
      TRY(read_number(v, member, 0, 100, ask.temperature));
    } else if (name == "top_p") {
      TRY(read_number(v, member, 0, 1, ask.top_p));
    } else if (name == "min_p") {
      TRY(read_number(v, member, 0, 1, ask.min_p));
    } else if (name == "top_k") {
      TRY(read_whole_as(v, member, 0, UINT32_MAX, ask.top_k));
    } else if (name == "presence_penalty") {
      TRY(read_number(v, member, -2, 2, ask.presence_penalty));
    } else if (name == "frequency_penalty") {
      TRY(read_number(v, member, -2, 2, ask.frequency_penalty));
    } else if (name == "repeat_penalty") {
      TRY(read_number(v, member, 0.01, 10, ask.repetition_penalty));
    } else if (name == "repeat_last_n") {
      if (!v.is_integer() || v.i64(-2) < -1) return wrong(member, "a whole number from -1 is needed");
      if (v.i64() == 0) return wrong(member, "0 would switch the penalty off; say repeat_penalty 1");
      ask.repetition_last = v.i64() < 0 ? 0 : static_cast<std::uint32_t>(v.u64());
    } else if (name == "seed") {
      if (!v.is_integer()) return wrong(member, "a whole number is needed");
      ask.seed = v.u64(static_cast<std::uint64_t>(v.i64()));
    } else if (name == "num_predict") {
      if (!v.is_integer() || v.i64(1) == 0 || v.i64(1) < -2) return wrong(member, "a whole number from 1, or -1 for no limit, is needed");
      ask.most_tokens = v.i64(1) < 0 ? 0 : static_cast<std::size_t>(v.u64());
    } else if (name == "stop") {
      TRY(read_texts(v, member, kMostStops, ask.stops));
    } else if (name == "mirostat" || name == "tfs_z" || name == "typical_p") {
      const bool off = name == "mirostat" ? v.i64(-1) == 0 : v.number() == 1;
      if (!off) return fail(Code::unsupported, fmt::format("{}: this way of sampling is not built", member));
    } else if (name == "mirostat_eta" || name == "mirostat_tau" || name == "penalize_newline") {
      continue;  // nothing without mirostat; newlines are penalised like all tokens
    } else if (std::find(std::begin(kMachine), std::end(kMachine), name) == std::end(kMachine)) {
      return unknown(member);
    }
  }
  return {};
}

/// Numbers are seconds; texts are Go's durations: "5m", "1h30m", "-1s", "500ms".
Result<std::int64_t> keep_alive(const Value& v) {
  if (v.is_integer()) return v.i64();
  if (v.is_number()) return static_cast<std::int64_t>(std::clamp(v.number(), -1.0, 1e12));
  std::string_view text;
  if (const std::string* given = v.if_string()) text = *given;
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::int64_t milliseconds = 0;
  if (text.empty()) return wrong("keep_alive", "a number of seconds, or a text like 5m, is needed");
  while (!text.empty()) {
    std::int64_t n = 0;
    std::size_t digits = 0;
    while (digits < text.size() && digits < 9 && text[digits] >= '0' && text[digits] <= '9') n = n * 10 + (text[digits++] - '0');
    text.remove_prefix(digits);
    const auto [unit, factor] = text.starts_with("ms") ? std::pair{2, 1} : text.starts_with('s') ? std::pair{1, 1000} : text.starts_with('m') ? std::pair{1, 60'000} : text.starts_with('h') ? std::pair{1, 3'600'000} : std::pair{0, 0};
    if (digits == 0 || (factor == 0 && n != 0)) return wrong("keep_alive", "a number of seconds, or a text like 5m, is needed");
    milliseconds += n * factor;
    text.remove_prefix(static_cast<std::size_t>(unit));
    if (factor == 0) break;
  }
  return negative ? -1 : (milliseconds + 999) / 1000;
}

/// What both calls share. False if it is none of those.
Result<bool> common(const std::string& name, const Value& v, Ask& ask) {
  if (name == "model") {
    ask.model = v.string();
  } else if (name == "stream") {
    TRY(read_flag(v, name, ask.stream));
  } else if (name == "options") {
    TRY(read_options(v, ask));
  } else if (name == "keep_alive") {
    if (!v.is_null()) ask.keep_seconds = TRY(keep_alive(v));
  } else if (name == "format") {
    if (v.is_object()) {
      ask.form = v;
    } else if (v == Value("json")) {
      ask.form = Value(true);
    } else if (!v.is_null() && v != Value("")) {
      return wrong(name, "json, or a JSON Schema, is needed");
    }
  } else if (name == "think") {
    if (!v.is_null() && v != Value(false)) return fail(Code::unsupported, "think: not built; what a model thinks aloud is part of its text");
  } else {
    return false;
  }
  return true;
}

Ask fresh() {
  Ask ask;
  ask.stream = true;
  ask.temperature = 0.8F, ask.top_p = 0.9F, ask.top_k = 40;  // Ollama's own
  ask.repetition_last = 64;
  return ask;
}

class Ollama final : public Teller {
 public:
  Ollama(Heading heading, bool chat) : heading_(std::move(heading)), chat_(chat) {}
  std::string_view stream_type() const override { return "application/x-ndjson"; }
  std::string open(std::size_t, const Costs&) override { return {}; }
  std::string piece(std::size_t, const Said& said) override { return said.text.empty() && said.calls.empty() ? std::string() : mlxbase::json::dump(told(said, false)) + "\n"; }
  std::string end(std::size_t, const Choice& ended, const Costs& costs) override { return mlxbase::json::dump(done(told({}, true), ended, costs)) + "\n"; }
  std::string close(const Costs&) override { return {}; }
  std::string whole(const std::vector<Choice>& choices, const Costs& costs) override { return mlxbase::json::dump(done(told(choices.front().said, true), choices.front(), costs)); }
  std::string broken(const mlxbase::Error& error) override { return error_body(error) + "\n"; }

 private:
  Value told(const Said& said, bool last) const {
    Value out = object();
    out.set("model", heading_.model).set("created_at", time_text(heading_.created_ns));
    if (chat_) {
      Value message = message_of("assistant", said.text), calls{mlxbase::json::Array{}};
      for (const Call& call : said.calls) {
        Value function = object(), made = object();
        auto arguments = mlxbase::json::parse(call.arguments);
        function.set("name", call.name).set("arguments", arguments ? std::move(*arguments) : object());
        made.set("function", std::move(function));
        calls.push(std::move(made));
      }
      if (!said.calls.empty()) message.set("tool_calls", std::move(calls));
      out.set("message", std::move(message));
    } else {
      out.set("response", said.text);
    }
    out.set("done", last);
    return out;
  }
  static Value done(Value out, const Choice& ended, const Costs& costs) {
    out.set("done_reason", ended.end == End::length ? "length" : "stop");
    out.set("total_duration", costs.load_ns + costs.prompt_ns + costs.answer_ns).set("load_duration", costs.load_ns);
    out.set("prompt_eval_count", costs.prompt_tokens).set("prompt_eval_duration", costs.prompt_ns);
    out.set("eval_count", costs.answer_tokens).set("eval_duration", costs.answer_ns);
    return out;
  }

  Heading heading_;
  bool chat_;
};

}  // namespace

Result<Ask> read_chat(std::string_view body) {
  const Value value = TRY(parse_body(body));
  Ask ask = fresh();
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "messages") {
      if (!v.is_null() && !v.is_array()) return wrong(name, "a list of messages is needed");
      if (!v.array().empty()) ask.messages = Value{mlxbase::json::Array{}};
      for (const Value& m : v.array()) {
        const std::string role = m["role"].string();
        if (role != "system" && role != "user" && role != "assistant" && role != "tool") return wrong(name, "the role of a message is system, user, assistant or tool");
        if (!m["images"].array().empty()) return fail(Code::unsupported, "messages: images are not built");
        Value message = message_of(role, m["content"].string()), calls{mlxbase::json::Array{}};
        if (!m["tool_name"].string().empty()) message.set("name", m["tool_name"].string());
        for (const Value& call : m["tool_calls"].array()) {
          const Value& function = call["function"];
          if (function["name"].string().empty() || !function["arguments"].is_object()) return wrong(name, "a call of a tool needs a name, and arguments that are an object");
          calls.push(call_of(call["id"].string(), function["name"].string(), function["arguments"]));
        }
        if (!calls.array().empty()) message.set("tool_calls", std::move(calls));
        ask.messages.push(std::move(message));
      }
    } else if (name == "tools") {
      ask.tools = TRY(read_tools(v, name));
    } else if (!v.is_null()) {
      return unknown(name);
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  return ask;
}

Result<Ask> read_generate(std::string_view body) {
  const Value value = TRY(parse_body(body));
  Ask ask = fresh();
  std::string prompt, system;
  bool raw = false;
  for (const auto& [name, v] : value.object()) {
    if (TRY(common(name, v, ask))) continue;
    if (name == "prompt") {
      prompt = v.string();
    } else if (name == "system") {
      system = v.string();
    } else if (name == "raw") {
      TRY(read_flag(v, name, raw));
    } else if (name == "suffix" || name == "template") {
      if (!v.string().empty()) return fail(Code::unsupported, fmt::format("{}: not built", name));
    } else if (name == "images" || name == "context") {
      if (!v.array().empty()) return fail(Code::unsupported, fmt::format("{}: not built", name));
    } else if (!v.is_null()) {
      return unknown(name);
    }
  }
  if (ask.model.empty()) return wrong("model", "a name is needed");
  if (prompt.empty()) return ask;
  if (raw) {
    ask.prompts = {prompt};
  } else {
    ask.messages = Value{mlxbase::json::Array{}};
    if (!system.empty()) ask.messages.push(message_of("system", system));
    ask.messages.push(message_of("user", prompt));
  }
  return ask;
}

std::unique_ptr<Teller> chat_teller(const Ask&, Heading heading) { return std::make_unique<Ollama>(std::move(heading), true); }
std::unique_ptr<Teller> generate_teller(const Ask&, Heading heading) { return std::make_unique<Ollama>(std::move(heading), false); }

std::string loaded_body(const Heading& heading, bool chat, bool unloaded) {
  Value out = object();
  out.set("model", heading.model).set("created_at", time_text(heading.created_ns));
  if (chat) {
    out.set("message", message_of("assistant", ""));
  } else {
    out.set("response", "");
  }
  out.set("done", true).set("done_reason", unloaded ? "unload" : "load");
  return mlxbase::json::dump(out);
}

std::string time_text(std::int64_t wall_ns) {
  const std::time_t seconds = static_cast<std::time_t>(wall_ns / 1'000'000'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, wall_ns % 1'000'000'000);
}

std::string error_body(const mlxbase::Error& error) {
  Value out = object();
  out.set("error", error.message);
  return mlxbase::json::dump(out);
}

}  // namespace mlxhub::dialect::ollama
