#include "mlxhub/schedule/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "mlxhub/text/stop.h"

namespace mlxhub::schedule {

using engine::Part;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr std::size_t kFirstRoom = 512;

struct Scheduler::Job {
  Job(Request r, Listener l, const text::Tokenizer& tokenizer, std::uint64_t chance)
      : request(std::move(r)), listener(std::move(l)), sampler(request.sampling, request.prompt, chance), detokenizer(tokenizer, !request.special), stops(request.stops) {}
  Request request;
  Listener listener;
  Sampler sampler;
  text::Detokenizer detokenizer;
  text::StopMatcher stops;
  Ticket ticket = 0;
  std::size_t capacity = 0;
  engine::Sequence sequence = 0;
  std::vector<Token> tokens;   // prompt and answer
  std::size_t run = 0;         // of them, that the engine has
  std::size_t cached = 0;
  std::vector<float> logits;
  std::vector<Chosen> untold;
  bool cancelled = false, done = false;
  std::size_t answered() const { return tokens.size() - request.prompt.size(); }
};

Scheduler::Scheduler(std::unique_ptr<engine::Engine> engine, const text::Tokenizer& tokenizer, const Options& options)
    : engine_(std::move(engine)), tokenizer_(tokenizer), options_(options), facts_(engine_->facts()), thread_([this] { work(); }) {}

Scheduler::~Scheduler() { end(); }

void Scheduler::end() {
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(ending_, true)) return;
  }
  changed_.notify_all();
  thread_.join();
  waiting_.clear();
  active_.clear();
}

Result<Ticket> Scheduler::submit(Request request, Listener listener) {
  if (request.prompt.empty()) return fail(Code::invalid, "the prompt has no tokens");
  if (request.prompt.size() >= facts_.context) return fail(Code::invalid, fmt::format("the prompt has {} tokens, and the model's context is {}", request.prompt.size(), facts_.context));
  for (const Token token : request.prompt) {
    if (token >= facts_.vocabulary) return fail(Code::invalid, fmt::format("the vocabulary has no token {}", token));
  }
  const std::size_t room = facts_.context - request.prompt.size();
  if (request.most_tokens == 0 || request.most_tokens > room) request.most_tokens = room;
  // Few answers are as long as they may be: room for a beginning, more once it is needed.
  const std::size_t capacity = request.prompt.size() + std::min(request.most_tokens, kFirstRoom);
  if (capacity * facts_.bytes_a_token > options_.cache_bytes) {
    return fail(Code::out_of_memory, fmt::format("{} tokens of prompt and answer need {} bytes of keys and values; {} are allowed", capacity, capacity * facts_.bytes_a_token, options_.cache_bytes));
  }
  const std::uint64_t chance = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32U;
  auto job = std::make_shared<Job>(std::move(request), std::move(listener), tokenizer_, chance);
  job->capacity = capacity;
  job->tokens = job->request.prompt;
  const std::scoped_lock lock(mutex_);
  if (ending_) return fail(Code::cancelled, "the server is ending");
  if (waiting_.size() >= options_.most_waiting) return fail(Code::busy, fmt::format("{} requests wait already", waiting_.size()));
  job->ticket = ++last_;
  ++stats_.requests;
  waiting_.push_back(job);
  changed_.notify_all();
  return job->ticket;
}

void Scheduler::cancel(Ticket ticket) {
  std::unique_lock lock(mutex_);
  const auto mark = [&](auto& jobs) {
    for (auto& job : jobs) {
      if (job->ticket != ticket || job->done) continue;
      job->cancelled = true;
      ++stats_.cancelled;
    }
  };
  mark(waiting_);
  mark(active_);
  changed_.notify_all();
  if (std::this_thread::get_id() != thread_.get_id()) told_.wait(lock, [&] { return telling_ != ticket; });
}

Stats Scheduler::stats() const {
  const std::scoped_lock lock(mutex_);
  Stats stats = stats_;
  stats.active = active_.size();
  stats.waiting = waiting_.size();
  return stats;
}

std::uint64_t Scheduler::bytes_in_use() const {
  std::uint64_t tokens = 0;
  for (const auto& job : active_) tokens += job->capacity;
  for (const Kept& kept : kept_) tokens += kept.capacity;
  return tokens * facts_.bytes_a_token;
}

void Scheduler::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !waiting_.empty() || !active_.empty(); });
    if (ending_) return;
    for (auto& job : active_) {
      if (job->cancelled && !job->done) finish(*job);
    }
    std::erase_if(active_, [](const auto& job) { return job->done; });
    std::erase_if(waiting_, [](const auto& job) { return job->cancelled; });
    admit();
    if (!active_.empty()) step(lock);
  }
}

void Scheduler::admit() {
  while (!waiting_.empty() && active_.size() < options_.most_active) {
    const std::shared_ptr<Job> job = waiting_.front();
    const std::uint64_t need = job->capacity * facts_.bytes_a_token;
    // The longest beginning that somebody has already. The last token of the prompt is run in any case: its logits are wanted.
    const auto common = [&](const std::vector<Token>& tokens, std::size_t run) {
      const std::size_t most = std::min({run, tokens.size(), job->tokens.size() - 1});
      std::size_t n = 0;
      while (n < most && tokens[n] == job->tokens[n]) ++n;
      return n;
    };
    engine::Sequence from = 0;
    std::size_t best = 0;
    for (const auto& other : active_) {
      if (const std::size_t n = common(other->tokens, other->run); n > best) best = n, from = other->sequence;
    }
    auto kept = kept_.end();
    for (auto at = kept_.begin(); at != kept_.end(); ++at) {
      if (const std::size_t n = common(at->tokens, at->tokens.size()); n > best) best = n, from = at->sequence, kept = at;
    }
    if (kept != kept_.end()) {  // used last
      Kept moved = std::move(*kept);
      kept_.erase(kept);
      kept_.push_back(std::move(moved));
    }
    while (!kept_.empty() && bytes_in_use() + need > options_.cache_bytes && kept_.front().sequence != from) {
      engine_->close(kept_.front().sequence);
      kept_.pop_front();
    }
    if (bytes_in_use() + need > options_.cache_bytes) {
      if (!active_.empty()) return;  // room comes when an answer ends
      for (const Kept& k : kept_) engine_->close(k.sequence);
      kept_.clear();
      best = 0;
    }
    waiting_.pop_front();
    const auto sequence = engine_->open(job->capacity);
    active_.push_back(job);
    if (!sequence) {
      ++stats_.failed;
      job->done = true;
      Event event{.finish = Finish::failed, .error = sequence.error()};
      job->listener(std::move(event));
      active_.pop_back();
      continue;
    }
    job->sequence = *sequence;
    job->logits.resize(facts_.vocabulary);
    if (best > 0) engine_->copy_prefix(from, job->sequence, best);
    job->run = job->cached = best;
    stats_.prompt_tokens += job->request.prompt.size();
    stats_.cached_tokens += best;
  }
}

void Scheduler::make_room(Job& job) {
  if (job.tokens.size() <= job.capacity) return;
  const std::size_t capacity = std::min(2 * job.capacity, job.request.prompt.size() + job.request.most_tokens);
  while (!kept_.empty() && bytes_in_use() + capacity * facts_.bytes_a_token > options_.cache_bytes) {
    engine_->close(kept_.front().sequence);
    kept_.pop_front();
  }
  Result<engine::Sequence> sequence = engine_->open(capacity);
  if (bytes_in_use() + capacity * facts_.bytes_a_token > options_.cache_bytes && sequence) {
    engine_->close(*sequence);
    sequence = Result<engine::Sequence>(fail(Code::out_of_memory, fmt::format("the answer outgrew the {} bytes that keys and values may take", options_.cache_bytes)));
  }
  if (!sequence) {
    ++stats_.failed;
    job.listener({.finish = Finish::failed, .error = sequence.error()});
    finish(job);
    return;
  }
  engine_->copy_prefix(job.sequence, *sequence, job.run);
  engine_->close(job.sequence);
  job.sequence = *sequence;
  job.capacity = capacity;
}

void Scheduler::step(std::unique_lock<std::mutex>& lock) {
  for (const auto& job : active_) make_room(*job);
  std::erase_if(active_, [](const auto& job) { return job->done; });
  std::vector<Part> parts;
  std::vector<std::shared_ptr<Job>> stepping;
  std::size_t prefill = options_.prefill_tokens;
  for (const auto& job : active_) {
    const std::size_t left = job->tokens.size() - job->run;
    const bool decodes = job->answered() > 0;
    const std::size_t take = decodes ? left : std::min(left, prefill);
    if (take == 0) continue;
    if (!decodes) prefill -= take;
    parts.push_back({.sequence = job->sequence,
                     .tokens = std::span<const Token>(job->tokens).subspan(job->run, take),
                     .logits = take == left ? std::span<float>(job->logits) : std::span<float>()});
    stepping.push_back(job);
  }
  ++stats_.steps;
  lock.unlock();  // tokens and logits of active jobs are this thread's alone
  const auto done = engine_->forward(parts);
  lock.lock();
  for (std::size_t i = 0; i < stepping.size(); ++i) {
    Job& job = *stepping[i];
    if (!done) {
      if (!job.cancelled) {
        ++stats_.failed;
        telling_ = job.ticket;
        lock.unlock();
        job.listener({.finish = Finish::failed, .error = done.error()});
        lock.lock();
        telling_ = 0;
        told_.notify_all();
      }
      engine_->close(job.sequence);
      job.done = true;
      continue;
    }
    job.run += parts[i].tokens.size();
    if (!parts[i].logits.empty() && !job.cancelled) advance(job, lock);
  }
  std::erase_if(active_, [](const auto& job) { return job->done; });
  // Whose prompt was run on goes behind the others whose prompts wait.
  std::stable_partition(active_.begin(), active_.end(), [&](const auto& job) { return job->answered() > 0 || parts.empty() || job != stepping.back(); });
}

void Scheduler::advance(Job& job, std::unique_lock<std::mutex>& lock) {
  telling_ = job.ticket;
  lock.unlock();
  if (job.request.guide && !job.request.guide->mask(job.logits, job.request.ends)) {
    job.listener({.finish = Finish::failed, .error = {mlxbase::Code::unsupported, "nothing that this model can say fits the form that was asked for"}});
    lock.lock();
    telling_ = 0;
    told_.notify_all();
    ++stats_.failed;
    if (!job.done) finish(job);
    return;
  }
  Chosen chosen = job.sampler.choose(job.logits);
  const Token token = chosen.token;
  job.tokens.push_back(token);
  Event event{.prompt_tokens = job.request.prompt.size(), .cached_tokens = job.cached, .answer_tokens = job.answered()};
  const bool ended = std::find(job.request.ends.begin(), job.request.ends.end(), token) != job.request.ends.end();
  if (ended) {
    event.finish = Finish::stop;
  } else {
    if (job.request.sampling.logprobs) job.untold.push_back(std::move(chosen));
    auto step = job.stops.push(job.detokenizer.push(token));
    event.text = std::move(step.text);
    if (step.stop) event.finish = Finish::stop, event.stop = step.stop;
    if (job.request.guide) {
      job.request.guide->accept(token);  // the mask let nothing else through
      if (event.finish == Finish::none && job.request.guide->must_end()) event.finish = Finish::stop;
    }
  }
  if (event.finish == Finish::none && job.answered() >= job.request.most_tokens) event.finish = Finish::length;
  if (event.finish != Finish::none && !event.stop) {
    auto rest = job.stops.push(job.detokenizer.finish());
    event.text += rest.text;
    if (rest.stop) {
      event.finish = Finish::stop;
      event.stop = rest.stop;
    } else {
      event.text += job.stops.finish();
    }
  }
  const bool finished = event.finish != Finish::none;
  if (!event.text.empty() || finished) {
    event.tokens = std::exchange(job.untold, {});
    job.listener(std::move(event));
  }
  lock.lock();
  telling_ = 0;
  told_.notify_all();
  ++stats_.answer_tokens;
  if (finished && !job.done) finish(job);
}

void Scheduler::finish(Job& job) {
  job.done = true;
  // The engine has all tokens but, at times, the last.
  job.tokens.resize(std::min(job.tokens.size(), job.run));
  kept_.push_back({.sequence = job.sequence, .tokens = std::move(job.tokens), .capacity = job.capacity});
  job.tokens = {};
  job.request.prompt.clear();
  while (kept_.size() > options_.kept) {
    engine_->close(kept_.front().sequence);
    kept_.pop_front();
  }
}

}  // namespace mlxhub::schedule
