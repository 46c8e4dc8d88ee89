#include "mlxhub/serve/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <mutex>
#include <random>
#include <utility>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"
#include "mlxhub/dialect/openai.h"

namespace mlxhub::serve {
namespace {

namespace http = mlxbase::http;
using dialect::Ask;
using mlxbase::Error;
using mlxbase::Result;
using mlxbase::json::Value;
using schedule::Chosen;
using schedule::Event;
using schedule::Finish;
using ReplyPtr = std::shared_ptr<http::Reply>;

Value object() { return Value{mlxbase::json::Object{}}; }
Value list() { return Value{mlxbase::json::Array{}}; }
std::int64_t now() { return mlxbase::system_clock().wall_ns() / 1'000'000'000; }

std::string fresh_id(std::string_view prefix) {
  static std::atomic<std::uint64_t> count{0};
  static const std::uint64_t run = std::random_device{}();
  return fmt::format("{}-{:08x}{:08x}", prefix, run, ++count);
}

void refuse(http::Reply& reply, const Error& error) { reply.send({.status = dialect::status_of(error.code), .body = dialect::error_body(error)}); }

/// One request with all its choices, until the last has ended.
class Answering : public std::enable_shared_from_this<Answering> {
 public:
  Answering(std::shared_ptr<Loaded> loaded, Ask ask, bool chat, ReplyPtr reply)
      : loaded_(std::move(loaded)), ask_(std::move(ask)), chat_(chat), reply_(std::move(reply)), id_(fresh_id(chat ? "chatcmpl" : "cmpl")), created_(now()) {}

  void start(const std::vector<std::vector<schedule::Token>>& prompts) {
    choices_.resize(prompts.size() * ask_.n);
    left_ = choices_.size();
    if (ask_.stream) {
      reply_->begin({.type = "text/event-stream", .headers = {{"X-Accel-Buffering", "no"}}});
      began_ = true;
      for (std::size_t i = 0; i < choices_.size(); ++i) {
        if (chat_) send_chunk(i, {}, {}, Finish::none, true);
        if (!chat_ && ask_.echo) send_chunk(i, ask_.prompts[i / ask_.n], {}, Finish::none, false);
      }
    }
    // The listeners hold this object, and the client's going ends them.
    reply_->on_gone([self = shared_from_this()] { self->cancel(); });
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      schedule::Request request{.prompt = prompts[i / ask_.n], .most_tokens = ask_.most_tokens, .stops = ask_.stops, .ends = loaded_->ends};
      request.sampling = {.temperature = ask_.temperature, .top_p = ask_.top_p, .min_p = ask_.min_p, .top_k = ask_.top_k, .presence_penalty = ask_.presence_penalty,
                          .frequency_penalty = ask_.frequency_penalty, .repetition_penalty = ask_.repetition_penalty, .seed = ask_.seed, .bias = ask_.bias, .logprobs = ask_.logprobs};
      if (ask_.seed) request.sampling.seed = *ask_.seed + i;
      const auto ticket = loaded_->scheduler->submit(std::move(request), [self = shared_from_this(), i](Event&& event) { self->on_event(i, std::move(event)); });
      if (!ticket) {
        failed(ticket.error());
        cancel();
        return;
      }
      const std::scoped_lock lock(mutex_);
      tickets_.push_back(*ticket);
    }
    bool gone = false;
    {
      const std::scoped_lock lock(mutex_);
      gone = cancelled_;
    }
    if (gone) cancel();  // those that were submitted meanwhile
  }

 private:
  struct Choice {
    std::string text;
    std::vector<Chosen> tokens;
    Finish finish = Finish::none;
    std::size_t prompt = 0, cached = 0, answer = 0;
  };

  void cancel() {
    std::vector<schedule::Ticket> tickets;
    {
      const std::scoped_lock lock(mutex_);
      cancelled_ = true;
      tickets = tickets_;
    }
    for (const auto ticket : tickets) loaded_->scheduler->cancel(ticket);
  }

  void failed(const Error& error) {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    if (began_) {
      reply_->write("data: " + dialect::error_body(error) + "\n\n");
      reply_->end();
    } else {
      refuse(*reply_, error);
    }
  }

  void on_event(std::size_t i, Event&& event) {
    if (event.finish == Finish::failed) return failed(event.error);
    Choice& choice = choices_[i];
    choice.prompt = event.prompt_tokens;
    choice.cached = event.cached_tokens;
    choice.answer = event.answer_tokens;
    choice.finish = event.finish;
    if (ask_.stream) {
      if (!event.text.empty() || !event.tokens.empty()) send_chunk(i, event.text, event.tokens, Finish::none, false);
      if (event.finish != Finish::none) send_chunk(i, {}, {}, event.finish, false);
    } else {
      choice.text += event.text;
      for (Chosen& c : event.tokens) choice.tokens.push_back(std::move(c));
    }
    if (event.finish != Finish::none && --left_ == 0) finished();
  }

  Value usage() const {
    std::size_t prompt = 0, answer = 0, cached = 0;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      answer += choices_[i].answer;
      if (i % ask_.n == 0) prompt += choices_[i].prompt, cached += choices_[i].cached;
    }
    Value details = object(), out = object();
    details.set("cached_tokens", cached);
    out.set("prompt_tokens", prompt).set("completion_tokens", answer).set("total_tokens", prompt + answer).set("prompt_tokens_details", std::move(details));
    return out;
  }
  Value envelope(bool chunk) const {
    Value out = object();
    out.set("id", id_).set("object", chat_ ? chunk ? "chat.completion.chunk" : "chat.completion" : "text_completion").set("created", created_).set("model", ask_.model);
    return out;
  }
  static Value reason(Finish finish) { return finish == Finish::stop ? Value("stop") : finish == Finish::length ? Value("length") : Value(); }

  Value token_value(schedule::Token token, float logprob) const {
    Value out = object(), bytes = list();
    const std::string text = loaded_->tokenizer->decode({&token, 1}, false);
    for (const char c : loaded_->tokenizer->bytes_of(token)) bytes.push(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
    out.set("token", text).set("logprob", static_cast<double>(logprob)).set("bytes", std::move(bytes));
    return out;
  }
  Value logprobs(const std::vector<Chosen>& tokens) const {
    if (!ask_.logprobs) return {};
    Value content = list();
    for (const Chosen& c : tokens) {
      Value entry = token_value(c.token, c.logprob), top = list();
      for (const auto& [token, logprob] : c.alternatives) top.push(token_value(token, logprob));
      entry.set("top_logprobs", std::move(top));
      content.push(std::move(entry));
    }
    Value out = object();
    out.set("content", std::move(content)).set("refusal", nullptr);
    return out;
  }

  void send_chunk(std::size_t i, const std::string& text, const std::vector<Chosen>& tokens, Finish finish, bool opening) {
    Value choice = object();
    choice.set("index", i);
    if (chat_) {
      Value delta = object();
      if (opening) delta.set("role", "assistant").set("content", "");
      if (!text.empty()) delta.set("content", text);
      choice.set("delta", std::move(delta));
    } else {
      choice.set("text", text);
    }
    choice.set("logprobs", tokens.empty() ? Value() : logprobs(tokens)).set("finish_reason", reason(finish));
    Value out = envelope(true), choices = list();
    choices.push(std::move(choice));
    out.set("choices", std::move(choices));
    if (ask_.usage_in_stream) out.set("usage", nullptr);
    reply_->write("data: " + mlxbase::json::dump(out) + "\n\n");
  }

  void finished() {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    if (ask_.stream) {
      if (ask_.usage_in_stream) {
        Value out = envelope(true);
        out.set("choices", list()).set("usage", usage());
        reply_->write("data: " + mlxbase::json::dump(out) + "\n\n");
      }
      reply_->write("data: [DONE]\n\n");
      reply_->end();
      return;
    }
    Value out = envelope(false), choices = list();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      const Choice& c = choices_[i];
      Value choice = object();
      choice.set("index", i);
      if (chat_) {
        Value message = object();
        message.set("role", "assistant").set("content", c.text).set("refusal", nullptr);
        choice.set("message", std::move(message));
      } else {
        choice.set("text", ask_.echo ? ask_.prompts[i / ask_.n] + c.text : c.text);
      }
      choice.set("logprobs", logprobs(c.tokens)).set("finish_reason", reason(c.finish));
      choices.push(std::move(choice));
    }
    out.set("choices", std::move(choices)).set("usage", usage());
    reply_->send({.body = mlxbase::json::dump(out)});
  }

  std::shared_ptr<Loaded> loaded_;
  Ask ask_;
  bool chat_;
  ReplyPtr reply_;
  std::string id_;
  std::int64_t created_;
  std::vector<Choice> choices_;  // of the scheduler's thread, once it has started
  std::size_t left_ = 0;
  std::mutex mutex_;
  std::vector<schedule::Ticket> tickets_;
  bool began_ = false, ended_ = false, cancelled_ = false;
};

Result<std::vector<schedule::Token>> chat_prompt(const Loaded& loaded, const Ask& ask) {
  if (loaded.chat == nullptr) {
    return mlxbase::fail(mlxbase::Code::unsupported, loaded.chat_error.empty() ? "this model has no chat template; /v1/completions takes plain text" : fmt::format("this model's chat template cannot be used: {}", mlxbase::printable(loaded.chat_error)));
  }
  Value variables = object();
  variables.set("messages", ask.messages).set("add_generation_prompt", true).set("bos_token", loaded.bos).set("eos_token", loaded.eos);
  const std::time_t seconds = static_cast<std::time_t>(now());
  std::tm local{};
  ::localtime_r(&seconds, &local);
  const std::string text = TRY(loaded.chat->render({.variables = variables, .now = local}));
  return loaded.tokenizer->encode(text, false);  // the template writes the special tokens itself
}

void complete(Library& library, const http::Request& request, const ReplyPtr& reply, bool chat) {
  auto ask = chat ? dialect::read_chat(request.body) : dialect::read_completion(request.body);
  if (!ask) return refuse(*reply, ask.error());
  auto loaded = library.get(ask->model);
  if (!loaded) return refuse(*reply, loaded.error());
  std::vector<std::vector<schedule::Token>> prompts;
  if (chat) {
    auto prompt = chat_prompt(**loaded, *ask);
    if (!prompt) return refuse(*reply, prompt.error());
    prompts.push_back(std::move(*prompt));
  } else {
    for (const std::string& text : ask->prompts) {
      auto prompt = (*loaded)->tokenizer->encode(text);
      if (!prompt) return refuse(*reply, prompt.error());
      prompts.push_back(std::move(*prompt));
    }
  }
  std::make_shared<Answering>(std::move(*loaded), std::move(*ask), chat, reply)->start(prompts);
}

void chat_completions(Library& library, const http::Request& request, const ReplyPtr& reply) { complete(library, request, reply, true); }
void completions(Library& library, const http::Request& request, const ReplyPtr& reply) { complete(library, request, reply, false); }

void models(Library& library, const http::Request&, const ReplyPtr& reply) {
  Value data = list();
  std::vector<std::string> named;
  const auto add = [&](const std::string& id, std::int64_t created, std::string_view owner) {
    if (std::find(named.begin(), named.end(), id) != named.end()) return;
    named.push_back(id);
    Value model = object();
    model.set("id", id).set("object", "model").set("created", created).set("owned_by", owner);
    data.push(std::move(model));
  };
  for (const auto& loaded : library.loaded()) add(loaded->id, loaded->created, "loaded");
  auto found = library.found();
  if (!found) return refuse(*reply, found.error());
  for (const Found& model : *found) add(model.id, 0, model.store);
  Value out = object();
  out.set("object", "list").set("data", std::move(data));
  reply->send({.body = mlxbase::json::dump(out)});
}

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
  std::string_view method, path;
  void (*run)(Library&, const http::Request&, const ReplyPtr&);
};
constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", chat_completions},
    {"POST", "/v1/completions", completions},
    {"GET", "/v1/models", models},
    {"GET", "/health", health},
    {"GET", "/metrics", metrics},
};

}  // namespace

http::Server::Handler make_service(Library& library) {
  return [&library](http::Request request, ReplyPtr reply) {
    bool path_known = false;
    for (const Route& route : kRoutes) {
      if (route.path != request.path) continue;
      path_known = true;
      if (route.method == request.method) return route.run(library, request, reply);
    }
    const int status = path_known ? 405 : 404;
    reply->send({.status = status, .body = fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,"code":null}}}})", path_known ? "this path does not take this method" : "there is no such path")});
  };
}

}  // namespace mlxhub::serve
