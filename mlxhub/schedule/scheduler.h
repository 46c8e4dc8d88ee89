#pragma once
// Many requests on one engine: one thread runs, in every step, a row for each answer that is being made and a bounded piece of the prompts that
// wait, so that nobody waits for another's long prompt. Beginnings that were run before are not run again.
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxhub/engine/engine.h"
#include "mlxhub/grammar/guide.h"
#include "mlxhub/schedule/sampler.h"
#include "mlxhub/text/tokenizer.h"

namespace mlxhub::schedule {

struct Request {
  std::vector<Token> prompt;  // at least one
  std::size_t most_tokens = 0;  // of the answer; 0: what the context has room for
  Sampling sampling;
  std::vector<std::string> stops;
  std::vector<Token> ends;  // tokens that end the answer and are no part of its text
  bool special = false;     // special tokens are a part of the text
  std::optional<grammar::Guide> guide;  // the answer fits its grammar, as far as it comes
};

enum class Finish : std::uint8_t { none, stop, length, failed };

struct Event {
  std::string text;             // whole characters; may be empty
  std::vector<Chosen> tokens;   // since the last event, if log probabilities were asked for
  Finish finish = Finish::none;
  std::optional<std::size_t> stop;  // which of the request's stop strings ended it
  mlxbase::Error error;         // if it failed
  std::size_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;  // so far
};
/// Called by the scheduler's thread; must not block. After an event that finishes, none comes.
using Listener = std::function<void(Event&&)>;
using Ticket = std::uint64_t;

struct Options {
  std::size_t most_active = 32;        // sequences in a step
  std::size_t most_waiting = 1024;
  std::size_t prefill_tokens = 256;    // of prompts in a step
  std::uint64_t cache_bytes = std::uint64_t{2} << 30U;  // of keys and values, of answers that are being made and of beginnings kept
  std::size_t kept = 8;                // beginnings kept
};

struct Stats {
  std::size_t active = 0, waiting = 0;
  std::uint64_t requests = 0, cancelled = 0, failed = 0, steps = 0;
  std::uint64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;
};

class Scheduler {
 public:
  /// `tokenizer` must outlive it.
  Scheduler(std::unique_ptr<engine::Engine> engine, const text::Tokenizer& tokenizer, const Options& options = {});
  /// Cancels everything.
  ~Scheduler();

  /// Errors: invalid (it cannot fit the context, or an empty prompt), out_of_memory (it never fits the cache; with the sum), busy (too many wait).
  mlxbase::Result<Ticket> submit(Request request, Listener listener);
  /// No event comes any more once this returned, unless it is called by the listener itself. A ticket that has ended is no error.
  void cancel(Ticket ticket);
  /// Cancels everything; nothing is taken any more.
  void end();
  Stats stats() const;
  const engine::Facts& facts() const { return facts_; }

 private:
  struct Job;
  struct Kept {
    engine::Sequence sequence = 0;
    std::vector<Token> tokens;
    std::size_t capacity = 0;
  };
  void work();
  void admit();
  void make_room(Job& job);
  void step(std::unique_lock<std::mutex>& lock);
  void advance(Job& job, std::unique_lock<std::mutex>& lock);
  void finish(Job& job);
  std::uint64_t bytes_in_use() const;

  std::unique_ptr<engine::Engine> engine_;
  const text::Tokenizer& tokenizer_;
  Options options_;
  engine::Facts facts_;
  mutable std::mutex mutex_;
  std::condition_variable changed_, told_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::vector<std::shared_ptr<Job>> active_;
  std::deque<Kept> kept_;  // used last at the end
  Ticket last_ = 0, telling_ = 0;
  Stats stats_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace mlxhub::schedule
