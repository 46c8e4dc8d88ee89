#include "mlxhub/serve/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"
#include "mlxhub/dialect/anthropic.h"
#include "mlxhub/dialect/ollama.h"
#include "mlxhub/dialect/openai.h"
#include "mlxhub/dialect/reading.h"
#include "mlxhub/serve/answering.h"

namespace mlxhub::serve {
namespace {

namespace http = mlxbase::http;
using dialect::Ask;
using dialect::list;
using dialect::object;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::json::Value;
using ReplyPtr = std::shared_ptr<http::Reply>;
using Tokens = std::vector<schedule::Token>;

void refuse(const ReplyPtr& reply, const Error& error, dialect::ErrorBody body = dialect::openai::error_body) { reply->send({.status = dialect::status_of(error.code), .body = body(error)}); }
void send(const ReplyPtr& reply, const Value& value) { reply->send({.body = mlxbase::json::dump(value)}); }

// ---- answers: every dialect reads its body to the one internal request
Result<Tokens> chat_tokens(const Loaded& loaded, const Ask& ask) {
  const std::string text = TRY(chat_text(loaded, ask));
  return loaded.tokenizer->encode(text, false);  // the template writes the special tokens itself
}
Result<std::vector<Tokens>> prompts_of(const Loaded& loaded, const Ask& ask) {
  std::vector<Tokens> prompts;
  if (!ask.messages.is_null()) prompts.push_back(TRY(chat_tokens(loaded, ask)));
  for (const std::string& text : ask.prompts) prompts.push_back(TRY(loaded.tokenizer->encode(text)));
  return prompts;
}

/// A model with a name that nobody chose: the only one that is loaded.
Result<std::shared_ptr<Loaded>> named_or_only(Library& library, const std::string& name) {
  if (!name.empty()) return library.get(name);
  auto loaded = library.loaded();
  if (loaded.size() == 1) return loaded.front();
  return dialect::wrong("model", fmt::format("a name is needed: {} models are loaded", loaded.size()));
}

/// How long the model stays after this request, if the request says so.
void keep(Loaded& loaded, const Ask& ask) {
  if (ask.keep_seconds) loaded.keep_ns = *ask.keep_seconds < 0 ? -1 : std::min<std::int64_t>(*ask.keep_seconds, 1'000'000'000) * 1'000'000'000;
}

void complete(Library& library, const ReplyPtr& reply, Result<Ask> ask, const Dialect& dialect) {
  if (!ask) return refuse(reply, ask.error(), dialect.error_body);
  const std::int64_t began = mlxbase::system_clock().steady_ns();
  auto loaded = library.get(ask->model);
  if (!loaded) return refuse(reply, loaded.error(), dialect.error_body);
  const std::int64_t load_ns = mlxbase::system_clock().steady_ns() - began;
  const auto prompts = prompts_of(**loaded, *ask);
  if (!prompts) return refuse(reply, prompts.error(), dialect.error_body);
  keep(**loaded, *ask);
  answer(std::move(*loaded), std::move(*ask), dialect, *prompts, load_ns, reply);
}

constexpr Dialect kOpenAiChat{dialect::openai::chat_teller, dialect::openai::error_body}, kOpenAiText{dialect::openai::completion_teller, dialect::openai::error_body},
    kAnthropic{dialect::anthropic::teller, dialect::anthropic::error_body}, kOllamaChat{dialect::ollama::chat_teller, dialect::ollama::error_body},
    kOllamaText{dialect::ollama::generate_teller, dialect::ollama::error_body};

void openai_chat(Library& library, const http::Request& request, const ReplyPtr& reply) { complete(library, reply, dialect::openai::read_chat(request.body), kOpenAiChat); }
void openai_completions(Library& library, const http::Request& request, const ReplyPtr& reply) { complete(library, reply, dialect::openai::read_completion(request.body), kOpenAiText); }
void anthropic_messages(Library& library, const http::Request& request, const ReplyPtr& reply) { complete(library, reply, dialect::anthropic::read_messages(request.body), kAnthropic); }

void ollama(Library& library, const ReplyPtr& reply, Result<Ask> ask, bool chat) {
  const Dialect& dialect = chat ? kOllamaChat : kOllamaText;
  if (!ask || !ask->messages.is_null() || !ask->prompts.empty()) return complete(library, reply, std::move(ask), dialect);
  const bool unload = ask->keep_seconds == 0;
  if (unload) {
    if (!library.let_go(ask->model)) return refuse(reply, {mlxbase::Code::not_found, fmt::format("'{}' is not loaded", mlxbase::printable(ask->model))}, dialect.error_body);
  } else {
    auto loaded = library.get(ask->model);
    if (!loaded) return refuse(reply, loaded.error(), dialect.error_body);
    keep(**loaded, *ask);
  }
  reply->send({.body = dialect::ollama::loaded_body(heading_for(*ask), chat, unload)});
}
void ollama_chat(Library& library, const http::Request& request, const ReplyPtr& reply) { ollama(library, reply, dialect::ollama::read_chat(request.body), true); }
void ollama_generate(Library& library, const http::Request& request, const ReplyPtr& reply) { ollama(library, reply, dialect::ollama::read_generate(request.body), false); }

// ---- what surrounds answers
void anthropic_count(Library& library, const http::Request& request, const ReplyPtr& reply) {
  const auto count = [&]() -> Result<Value> {
    const Ask ask = TRY(dialect::anthropic::read_count(request.body));
    const auto loaded = TRY(library.get(ask.model));
    Value out = object();
    const Tokens tokens = TRY(chat_tokens(*loaded, ask));
    out.set("input_tokens", tokens.size());
    return out;
  }();
  if (!count) return refuse(reply, count.error(), dialect::anthropic::error_body);
  send(reply, *count);
}

/// Reads a body of a few members, refuses all others, and answers with what `run` makes of it and the model.
template <class Run>
void small(Library& library, const http::Request& request, const ReplyPtr& reply, std::initializer_list<std::string_view> members, Run run) {
  const auto out = [&]() -> Result<Value> {
    const Value body = TRY(dialect::parse_body(request.body));
    for (const auto& [name, v] : body.object()) {
      if (name != "model" && std::find(members.begin(), members.end(), name) == members.end()) return dialect::unknown(name);
    }
    const auto loaded = TRY(named_or_only(library, body["model"].string()));
    return run(*loaded, body);
  }();
  if (!out) return refuse(reply, out.error());
  send(reply, *out);
}

void tokenize(Library& library, const http::Request& request, const ReplyPtr& reply) {
  small(library, request, reply, {"content", "add_special", "with_pieces"}, [](const Loaded& loaded, const Value& body) -> Result<Value> {
    if (body["content"].if_string() == nullptr) return dialect::wrong("content", "a text is needed");
    bool special = false, pieces = false;
    TRY(dialect::read_flag(body["add_special"], "add_special", special));
    TRY(dialect::read_flag(body["with_pieces"], "with_pieces", pieces));
    Value out = object(), all = list();
    for (const schedule::Token token : TRY(loaded.tokenizer->encode(body["content"].string(), special))) {
      if (!pieces) {
        all.push(token);
        continue;
      }
      const std::string bytes = loaded.tokenizer->bytes_of(token);
      Value piece = object();
      piece.set("id", token);
      if (mlxbase::is_utf8(bytes)) {
        piece.set("piece", bytes);
      } else {
        Value raw = list();
        for (const char c : bytes) raw.push(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
        piece.set("piece", std::move(raw));
      }
      all.push(std::move(piece));
    }
    out.set("tokens", std::move(all));
    return out;
  });
}

void detokenize(Library& library, const http::Request& request, const ReplyPtr& reply) {
  small(library, request, reply, {"tokens"}, [](const Loaded& loaded, const Value& body) -> Result<Value> {
    if (!body["tokens"].is_array()) return dialect::wrong("tokens", "a list of token ids is needed");
    Tokens tokens;
    for (const Value& token : body["tokens"].array()) {
      if (!token.is_integer() || token.u64(UINT64_MAX) >= loaded.tokenizer->size()) return dialect::wrong("tokens", fmt::format("token ids are below {}", loaded.tokenizer->size()));
      tokens.push_back(static_cast<schedule::Token>(token.u64()));
    }
    Value out = object();
    out.set("content", loaded.tokenizer->decode(tokens, false));
    return out;
  });
}

/// The prompt that a chat would become.
void apply_template(Library& library, const http::Request& request, const ReplyPtr& reply) {
  const auto out = [&]() -> Result<Value> {
    const Value body = TRY(dialect::parse_body(request.body));
    const auto loaded = TRY(named_or_only(library, body["model"].string()));
    Value named = body;
    named.set("model", loaded->id);
    const Ask ask = TRY(dialect::openai::read_chat(mlxbase::json::dump(named)));
    const std::string text = TRY(chat_text(*loaded, ask));
    Value made = object();
    made.set("prompt", text);
    return made;
  }();
  if (!out) return refuse(reply, out.error());
  send(reply, *out);
}

Value listed(const std::string& id, std::int64_t created, std::string_view owner) {
  Value model = object();
  model.set("id", id).set("object", "model").set("created", created).set("owned_by", owner);
  return model;
}

void models(Library& library, const http::Request&, const ReplyPtr& reply) {
  Value data = list();
  std::vector<std::string> named;
  const auto add = [&](const std::string& id, std::int64_t created, std::string_view owner) {
    if (std::find(named.begin(), named.end(), id) != named.end()) return;
    named.push_back(id);
    data.push(listed(id, created, owner));
  };
  for (const auto& loaded : library.loaded()) add(loaded->id, loaded->created, "loaded");
  auto found = library.found();
  if (!found) return refuse(reply, found.error());
  for (const Found& model : *found) add(model.id, model.modified_ns / 1'000'000'000, model.store);
  Value out = object();
  out.set("object", "list").set("data", std::move(data));
  send(reply, out);
}

void one_model(Library& library, const http::Request& request, const ReplyPtr& reply) {
  const std::string name = http::percent_decoded(std::string_view(request.path).substr(std::string_view("/v1/models/").size()));
  if (const auto loaded = library.if_loaded(name)) return send(reply, listed(loaded->id, loaded->created, "loaded"));
  const auto found = library.find(name);
  if (!found) return refuse(reply, found.error());
  send(reply, listed(found->id, found->modified_ns / 1'000'000'000, found->store));
}

// ---- Ollama's lists
std::string_view word_of(model::Coding coding) {
  switch (coding) {
    case model::Coding::f32: return "F32";
    case model::Coding::f16: return "F16";
    case model::Coding::q4_0: return "Q4_0";
    case model::Coding::q4_1: return "Q4_1";
    case model::Coding::q5_0: return "Q5_0";
    case model::Coding::q5_1: return "Q5_1";
    case model::Coding::q8_0: return "Q8_0";
    case model::Coding::q2_k: return "Q2_K";
    case model::Coding::q3_k: return "Q3_K";
    case model::Coding::q4_k: return "Q4_K";
    case model::Coding::q5_k: return "Q5_K";
    case model::Coding::q6_k: return "Q6_K";
    case model::Coding::iq4_nl: return "IQ4_NL";
    case model::Coding::iq4_xs: return "IQ4_XS";
    case model::Coding::bf16: return "BF16";
    case model::Coding::mxfp4: return "MXFP4";
    case model::Coding::affine: return "affine";
  }
  return "unknown";
}

std::uint64_t parameters_of(const model::Decoder& decoder) {
  const auto size = [](const model::Matrix& m) { return static_cast<std::uint64_t>(m.rows) * m.columns; };
  std::uint64_t all = size(decoder.embedding) + (decoder.output.data == decoder.embedding.data ? 0 : size(decoder.output)) + decoder.output_norm.size();
  for (const model::Layer& l : decoder.layers) {
    for (const model::Matrix* m : {&l.query, &l.key, &l.value, &l.attention_out, &l.gate, &l.up, &l.down}) all += size(*m);
    for (const model::Floats* f : {&l.attention_norm, &l.feed_norm, &l.query_bias, &l.key_bias, &l.value_bias, &l.query_norm, &l.key_norm}) all += f->size();
  }
  return all;
}
std::string parameters_text(std::uint64_t n) { return n >= 1'000'000'000 ? fmt::format("{:.1f}B", static_cast<double>(n) / 1e9) : fmt::format("{:.2f}M", static_cast<double>(n) / 1e6); }

/// What is known without opening the file; the rest if it is open.
Value details(const Found& found, const model::Model* opened) {
  Value out = object(), families = list();
  out.set("parent_model", "").set("format", found.format).set("family", opened == nullptr ? "" : opened->decoder.family);
  if (opened != nullptr) families.push(opened->decoder.family);
  out.set("families", std::move(families)).set("parameter_size", opened == nullptr ? "" : parameters_text(parameters_of(opened->decoder)));
  out.set("quantization_level", opened == nullptr || opened->decoder.layers.empty() ? "" : word_of(opened->decoder.layers.front().query.coding));
  return out;
}

void ollama_tags(Library& library, const http::Request&, const ReplyPtr& reply) {
  const auto found = library.found();
  if (!found) return refuse(reply, found.error(), dialect::ollama::error_body);
  Value out = object(), all = list();
  for (const Found& f : *found) {
    const auto loaded = library.if_loaded(f.id);
    Value model = object();
    model.set("name", f.id).set("model", f.id).set("modified_at", dialect::ollama::time_text(f.modified_ns)).set("size", f.bytes).set("digest", f.digest);
    model.set("details", details(f, loaded == nullptr ? nullptr : loaded->model.get()));
    all.push(std::move(model));
  }
  out.set("models", std::move(all));
  send(reply, out);
}

void ollama_ps(Library& library, const http::Request&, const ReplyPtr& reply) {
  Value out = object(), all = list();
  const std::int64_t wall = mlxbase::system_clock().wall_ns(), steady = mlxbase::system_clock().steady_ns();
  constexpr std::int64_t kForEver = std::int64_t{100} * 365 * 86400 * 1'000'000'000 / 2;
  for (const auto& loaded : library.loaded()) {
    const std::int64_t keep = loaded->pinned || loaded->keep_ns < 0 ? kForEver : loaded->used_ns + loaded->keep_ns - steady;
    Value model = object();
    model.set("name", loaded->id).set("model", loaded->id).set("size", loaded->scheduler->facts().weight_bytes).set("digest", loaded->found.digest);
    model.set("details", details(loaded->found, loaded->model.get())).set("expires_at", dialect::ollama::time_text(wall + keep)).set("size_vram", 0);
    all.push(std::move(model));
  }
  out.set("models", std::move(all));
  send(reply, out);
}

void ollama_show(Library& library, const http::Request& request, const ReplyPtr& reply) {
  const auto shown = [&]() -> Result<Value> {
    const Value body = TRY(dialect::parse_body(request.body));
    std::string name = body["model"].string();
    if (name.empty()) name = body["name"].string();
    if (name.empty()) return dialect::wrong("model", "a name is needed");
    const auto loaded = library.if_loaded(name);
    std::unique_ptr<model::Model> opened;
    Found found;
    if (loaded == nullptr) {
      found = TRY(library.find(name));
      opened = TRY(model::open(library.fs(), found.path));
    } else {
      found = loaded->found;
    }
    const model::Model* const model = loaded == nullptr ? opened.get() : loaded->model.get();
    Value out = object(), info = object(), able = list();
    able.push("completion");
    if (model != nullptr && model->chat_template.find("tools") != std::string::npos) able.push("tools");
    out.set("modelfile", fmt::format("FROM {}\n", found.path)).set("parameters", "").set("template", model == nullptr ? "" : model->chat_template).set("details", details(found, model));
    if (model != nullptr) {
      const model::Decoder& d = model->decoder;
      info.set("general.architecture", d.family).set("general.parameter_count", parameters_of(d));
      const auto fact = [&](std::string_view key, std::size_t value) { info.set(fmt::format("{}.{}", d.family, key), value); };
      fact("context_length", d.context), fact("embedding_length", d.hidden), fact("block_count", d.layers.size()), fact("feed_forward_length", d.feed);
      fact("attention.head_count", d.heads), fact("attention.head_count_kv", d.kv_heads), fact("vocab_size", d.vocabulary);
    }
    out.set("model_info", std::move(info)).set("capabilities", std::move(able)).set("modified_at", dialect::ollama::time_text(found.modified_ns));
    return out;
  }();
  if (!shown) return refuse(reply, shown.error(), dialect::ollama::error_body);
  send(reply, *shown);
}

/// Clients look here for what the server can do: it is the version of Ollama whose API is spoken.
void ollama_version(Library&, const http::Request&, const ReplyPtr& reply) { reply->send({.body = R"({"version":"0.6.6","server":"mlxhub 0.1.0"})"}); }

void root(Library&, const http::Request&, const ReplyPtr& reply) { reply->send({.type = "text/plain; charset=utf-8", .body = "mlxhub is running\n"}); }

void health(Library&, const http::Request&, const ReplyPtr& reply) { reply->send({.body = R"({"status":"ok"})"}); }

void metrics(Library& library, const http::Request&, const ReplyPtr& reply) {
  schedule::Stats all;
  std::uint64_t weights = 0;
  const auto loaded = library.loaded();
  for (const auto& model : loaded) {
    const schedule::Stats s = model->scheduler->stats();
    all.active += s.active, all.waiting += s.waiting, all.requests += s.requests, all.cancelled += s.cancelled, all.failed += s.failed, all.steps += s.steps;
    all.prompt_tokens += s.prompt_tokens, all.cached_tokens += s.cached_tokens, all.answer_tokens += s.answer_tokens;
    weights += model->scheduler->facts().weight_bytes;
  }
  std::string text;
  const auto line = [&](std::string_view name, std::string_view kind, std::string_view help, std::uint64_t value) {
    text += fmt::format("# HELP mlxhub_{0} {1}\n# TYPE mlxhub_{0} {2}\nmlxhub_{0} {3}\n", name, help, kind, value);
  };
  line("models_loaded", "gauge", "Models that answer.", loaded.size());
  line("weight_bytes", "gauge", "Bytes of the weights that are mapped.", weights);
  line("requests_active", "gauge", "Answers that are being made.", all.active);
  line("requests_waiting", "gauge", "Requests that wait for room.", all.waiting);
  line("requests_total", "counter", "Requests taken.", all.requests);
  line("requests_cancelled_total", "counter", "Requests whose client went away.", all.cancelled);
  line("requests_failed_total", "counter", "Requests that failed in the engine.", all.failed);
  line("steps_total", "counter", "Steps of the engines.", all.steps);
  line("prompt_tokens_total", "counter", "Tokens of prompts.", all.prompt_tokens);
  line("prompt_tokens_cached_total", "counter", "Tokens of prompts that were known already.", all.cached_tokens);
  line("answer_tokens_total", "counter", "Tokens of answers.", all.answer_tokens);
  reply->send({.type = "text/plain; version=0.0.4", .body = std::move(text)});
}

struct Route {
  std::string_view method, path;  // a path that ends with a slash (but "/") stands for all below it
  void (*run)(Library&, const http::Request&, const ReplyPtr&);
};
constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", openai_chat},
    {"POST", "/v1/completions", openai_completions},
    {"GET", "/v1/models", models},
    {"GET", "/v1/models/", one_model},
    {"POST", "/tokenize", tokenize},
    {"POST", "/detokenize", detokenize},
    {"POST", "/apply-template", apply_template},
    {"POST", "/v1/messages", anthropic_messages},
    {"POST", "/v1/messages/count_tokens", anthropic_count},
    {"POST", "/api/chat", ollama_chat},
    {"POST", "/api/generate", ollama_generate},
    {"GET", "/api/tags", ollama_tags},
    {"GET", "/api/ps", ollama_ps},
    {"POST", "/api/show", ollama_show},
    {"GET", "/api/version", ollama_version},
    {"HEAD", "/", root},
    {"GET", "/", root},
    {"GET", "/health", health},
    {"GET", "/metrics", metrics},
};

bool fits(std::string_view route, std::string_view path) { return route == path || (route.size() > 1 && route.ends_with('/') && path.starts_with(route) && path.size() > route.size()); }

}  // namespace

http::Server::Handler make_service(Library& library) {
  return [&library](http::Request request, ReplyPtr reply) {
    bool path_known = false;
    for (const Route& route : kRoutes) {
      if (!fits(route.path, request.path)) continue;
      path_known = true;
      if (route.method == request.method) return route.run(library, request, reply);
    }
    const Error error{mlxbase::Code::not_found, path_known ? "this path does not take this method" : "there is no such path"};
    const bool anthropic = request.path.starts_with("/v1/messages"), ollama = request.path.starts_with("/api/");
    const auto body = anthropic ? dialect::anthropic::error_body : ollama ? dialect::ollama::error_body : dialect::openai::error_body;
    reply->send({.status = path_known ? 405 : 404, .body = body(error)});
  };
}

}  // namespace mlxhub::serve
