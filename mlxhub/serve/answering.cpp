#include "mlxhub/serve/answering.h"

#include <fmt/format.h>

#include <atomic>
#include <ctime>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"
#include "mlxhub/grammar/guide.h"
#include "mlxhub/grammar/tools.h"
#include "mlxhub/text/tool_calls.h"

namespace mlxhub::serve {

namespace http = mlxbase::http;
using dialect::Ask;
using dialect::End;
using dialect::TokenTold;
using mlxbase::Error;
using mlxbase::Result;
using mlxbase::json::Value;
using schedule::Chosen;
using schedule::Event;
using schedule::Finish;

namespace {

class Answering : public std::enable_shared_from_this<Answering> {
 public:
  Answering(std::shared_ptr<Loaded> loaded, Ask ask, const Dialect& dialect, std::int64_t load_ns, std::shared_ptr<http::Reply> reply)
      : loaded_(std::move(loaded)), ask_(std::move(ask)), reply_(std::move(reply)), error_body_(dialect.error_body), load_ns_(load_ns) {
    dialect::Heading heading = heading_for(ask_);
    id_ = heading.id;
    teller_ = dialect.teller(ask_, std::move(heading));
  }

  void start(const std::vector<std::vector<schedule::Token>>& prompts) {
    const auto shape = grammar();
    if (!shape) return failed(shape.error());
    states_.resize(prompts.size() * ask_.n);
    choices_.resize(states_.size());
    left_ = states_.size();
    if (tools()) readers_.assign(states_.size(), text::ToolCalls(loaded_->tool_syntax, ask_.tools));
    started_ns_ = mlxbase::system_clock().steady_ns();
    if (ask_.stream) {
      for (const auto& prompt : prompts) states_[static_cast<std::size_t>(&prompt - prompts.data()) * ask_.n].prompt = prompt.size();
      reply_->begin({.type = std::string(teller_->stream_type()), .headers = {{"X-Accel-Buffering", "no"}}});
      began_ = true;
      reply_->write(teller_->open(states_.size(), costs()));
    }
    std::optional<grammar::Guide> guide;  // copied for each choice: what one learns of the grammar, all know
    if (*shape != nullptr) guide.emplace(loaded_->vocabulary(), *shape);
    // The listeners hold this object, and the client's going ends them.
    reply_->on_gone([self = shared_from_this()] { self->cancel(); });
    for (std::size_t i = 0; i < states_.size(); ++i) {
      schedule::Request request{.prompt = prompts[i / ask_.n], .most_tokens = ask_.most_tokens, .stops = ask_.stops, .ends = loaded_->ends};
      request.sampling = {.temperature = ask_.temperature, .top_p = ask_.top_p, .min_p = ask_.min_p, .top_k = ask_.top_k, .presence_penalty = ask_.presence_penalty,
                          .frequency_penalty = ask_.frequency_penalty, .repetition_penalty = ask_.repetition_penalty, .repetition_last = ask_.repetition_last, .seed = ask_.seed, .bias = ask_.bias, .logprobs = ask_.logprobs};
      if (ask_.seed) request.sampling.seed = *ask_.seed + i;
      request.special = tools();
      request.guide = guide;
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
  struct State {
    std::size_t prompt = 0, cached = 0, answer = 0;
    bool called = false;
  };

  bool tools() const { return !ask_.tools.is_null() && ask_.tool_choice != dialect::ToolChoice::none; }

  /// What the answer has to look like; null: anything.
  Result<std::shared_ptr<const grammar::Grammar>> grammar() const {
    if (tools()) {
      const text::ToolSyntax& syntax = loaded_->tool_syntax;
      const bool must = ask_.tool_choice == dialect::ToolChoice::must;
      // Where nothing marks a call, or models have words of their own for it, they say what they like unless they have to call.
      if (!must && !ask_.form && (syntax.begin.empty() || syntax.elements)) return std::shared_ptr<const grammar::Grammar>();
      return grammar::tool_answer(syntax, ask_.tools, {.must_call = must, .several = ask_.several_calls, .form = ask_.form});
    }
    if (!ask_.form) return std::shared_ptr<const grammar::Grammar>();
    return *ask_.form == Value(true) ? grammar::any_json_object() : grammar::json_of(*ask_.form);
  }

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
      reply_->write(teller_->broken(error));
      reply_->end();
    } else {
      reply_->send({.status = dialect::status_of(error.code), .body = error_body_(error)});
    }
  }

  // Of the scheduler's thread, as are all that it calls.
  void on_event(std::size_t i, Event&& event) {
    if (event.finish == Finish::failed) return failed(event.error);
    if (first_ns_ == 0) first_ns_ = mlxbase::system_clock().steady_ns();
    State& state = states_[i];
    state.prompt = event.prompt_tokens, state.cached = event.cached_tokens, state.answer = event.answer_tokens;
    dialect::Choice& choice = choices_[i];
    dialect::Said said{.text = std::move(event.text), .calls = {}, .tokens = {}};
    if (!readers_.empty()) {
      auto step = readers_[i].push(said.text);
      said.text = std::move(step.text);
      if (event.finish != Finish::none) {
        auto rest = readers_[i].finish();
        said.text += rest.text;
        step.calls.insert(step.calls.end(), rest.calls.begin(), rest.calls.end());
      }
      for (text::ToolCall& call : step.calls) said.calls.push_back({.id = fmt::format("{}{:04x}", id_, ++calls_), .name = std::move(call.name), .arguments = std::move(call.arguments)});
      if (!said.calls.empty()) states_[i].called = true;
    }
    for (const Chosen& chosen : event.tokens) said.tokens.push_back(told(chosen));
    if (event.finish != Finish::none) choice.end = event.finish == Finish::length ? End::length : state.called ? End::calls : End::stop;
    if (event.stop) choice.stop = ask_.stops[*event.stop];
    if (ask_.stream) {
      if (!said.text.empty() || !said.calls.empty() || !said.tokens.empty()) reply_->write(teller_->piece(i, said));
      if (event.finish != Finish::none) reply_->write(teller_->end(i, choice, costs()));
    } else {
      choice.said.text += said.text;
      for (dialect::Call& call : said.calls) choice.said.calls.push_back(std::move(call));
      for (TokenTold& token : said.tokens) choice.said.tokens.push_back(std::move(token));
    }
    if (event.finish != Finish::none && --left_ == 0) finished();
  }

  dialect::Costs costs() const {
    dialect::Costs all;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      all.answer_tokens += states_[i].answer;
      if (i % ask_.n == 0) all.prompt_tokens += states_[i].prompt, all.cached_tokens += states_[i].cached;
    }
    const std::int64_t now = mlxbase::system_clock().steady_ns(), first = first_ns_ == 0 ? now : first_ns_;
    all.load_ns = load_ns_, all.prompt_ns = first - started_ns_, all.answer_ns = now - first;
    return all;
  }
  TokenTold told(schedule::Token token, float logprob) const {
    return {.text = loaded_->tokenizer->decode({&token, 1}, false), .bytes = loaded_->tokenizer->bytes_of(token), .logprob = logprob, .alternatives = {}};
  }
  TokenTold told(const Chosen& chosen) const {
    TokenTold out = told(chosen.token, chosen.logprob);
    for (const auto& [token, logprob] : chosen.alternatives) out.alternatives.push_back(told(token, logprob));
    return out;
  }

  void finished() {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    if (ask_.stream) {
      reply_->write(teller_->close(costs()));
      reply_->end();
    } else {
      reply_->send({.body = teller_->whole(choices_, costs())});
    }
  }

  std::shared_ptr<Loaded> loaded_;
  Ask ask_;
  std::shared_ptr<http::Reply> reply_;
  std::unique_ptr<dialect::Teller> teller_;
  dialect::ErrorBody error_body_;
  std::vector<State> states_;  // with all below, of the scheduler's thread once it has started
  std::vector<dialect::Choice> choices_;
  std::vector<text::ToolCalls> readers_;  // one a choice, if there are tools
  std::string id_;
  std::size_t calls_ = 0;
  std::size_t left_ = 0;
  std::int64_t load_ns_, started_ns_ = 0, first_ns_ = 0;
  std::mutex mutex_;
  std::vector<schedule::Ticket> tickets_;
  bool began_ = false, ended_ = false, cancelled_ = false;
};

}  // namespace

dialect::Heading heading_for(const Ask& ask) {
  static std::atomic<std::uint64_t> count{0};
  static const std::uint64_t run = std::random_device{}();
  return {.id = fmt::format("{:08x}{:08x}", run, ++count), .model = ask.model, .created_ns = mlxbase::system_clock().wall_ns()};
}

Result<std::string> chat_text(const Loaded& loaded, const Ask& ask) {
  if (loaded.chat == nullptr) {
    return mlxbase::fail(mlxbase::Code::unsupported, loaded.chat_error.empty() ? "this model has no chat template; /v1/completions takes plain text" : fmt::format("this model's chat template cannot be used: {}", mlxbase::printable(loaded.chat_error)));
  }
  const bool tools = !ask.tools.is_null() && ask.tool_choice != dialect::ToolChoice::none;
  if (tools && !loaded.chat_takes_tools) return mlxbase::fail(mlxbase::Code::unsupported, "tools: this model's chat template has no place for them");
  Value variables{mlxbase::json::Object{}};
  if (tools) variables.set("tools", ask.tools);
  variables.set("messages", ask.messages).set("add_generation_prompt", true).set("bos_token", loaded.bos).set("eos_token", loaded.eos);
  const std::time_t seconds = static_cast<std::time_t>(mlxbase::system_clock().wall_ns() / 1'000'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return loaded.chat->render({.variables = variables, .now = local});
}

void answer(std::shared_ptr<Loaded> loaded, Ask ask, const Dialect& dialect, const std::vector<std::vector<schedule::Token>>& prompts, std::int64_t load_ns, std::shared_ptr<http::Reply> reply) {
  std::make_shared<Answering>(std::move(loaded), std::move(ask), dialect, load_ns, std::move(reply))->start(prompts);
}

}  // namespace mlxhub::serve
