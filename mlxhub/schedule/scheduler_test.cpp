#include "mlxhub/schedule/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mlxhub/engine/scripted.h"
#include "mlxhub/text/letters_fixture.h"

namespace mlxhub::schedule {
namespace {

constexpr Token kEnd = 2;

/// Answers with the letters one after the other: after token t comes t + 1, and the end after the last.
Token following(std::span<const Token> tokens) { return tokens.back() + 1 < 96 ? tokens.back() + 1 : kEnd; }

class Collected {
 public:
  Listener listener() {
    return [this](Event&& event) {
      text += event.text;
      for (Chosen& c : event.tokens) tokens.push_back(std::move(c));
      last = std::move(event);
      ++events;
      if (last.finish != Finish::none) ended.set_value();
    };
  }
  void wait() { ended.get_future().wait(); }
  std::string text;
  std::vector<Chosen> tokens;
  Event last;
  int events = 0;
  std::promise<void> ended;
};

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() : tokenizer_(*text::Tokenizer::from_json(text::letter_tokenizer())) {}
  void start(const Options& options = {}, const std::function<void(engine::ScriptedEngine&)>& prepare = {}) {
    auto engine = std::make_unique<engine::ScriptedEngine>(engine::Facts{.vocabulary = 96, .context = 2048, .bytes_a_token = 1}, following);
    engine_ = engine.get();
    if (prepare) prepare(*engine);
    scheduler_ = std::make_unique<Scheduler>(std::move(engine), tokenizer_, options);
  }
  static Request greedy(std::vector<Token> prompt, std::size_t most) {
    return {.prompt = std::move(prompt), .most_tokens = most, .sampling = {.temperature = 0}, .ends = {kEnd}};
  }
  text::Tokenizer tokenizer_;
  engine::ScriptedEngine* engine_ = nullptr;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, AnswersUntilTheMostTokensOrTheEnd) {
  start();
  Collected some, all;
  ASSERT_TRUE(scheduler_->submit(greedy({36}, 5), some.listener()));  // 'A'
  ASSERT_TRUE(scheduler_->submit(greedy({93}, 50), all.listener()));
  some.wait();
  all.wait();
  EXPECT_EQ(some.text, "BCDEF");
  EXPECT_EQ(some.last.finish, Finish::length);
  EXPECT_EQ(some.last.answer_tokens, 5U);
  EXPECT_EQ(all.text, "{|");
  EXPECT_EQ(all.last.finish, Finish::stop);
  EXPECT_EQ(all.last.answer_tokens, 3U);  // the end is one
}

TEST_F(SchedulerTest, StopsAtAStopStringAcrossTokens) {
  start();
  Collected got;
  Request request = greedy({36}, 50);
  request.stops = {"EFG"};
  ASSERT_TRUE(scheduler_->submit(std::move(request), got.listener()));
  got.wait();
  EXPECT_EQ(got.text, "BCD");
  EXPECT_EQ(got.last.finish, Finish::stop);
}

TEST_F(SchedulerTest, RunsAPieceOfALongPromptBesideTheAnswersInEveryStep) {
  std::promise<void> go;
  auto both = go.get_future().share();
  start({.prefill_tokens = 8}, [both](engine::ScriptedEngine& engine) { engine.before_step = [both] { both.wait(); }; });
  Collected answer, long_prompt;
  ASSERT_TRUE(scheduler_->submit(greedy({36}, 6), answer.listener()));
  ASSERT_TRUE(scheduler_->submit(greedy(std::vector<Token>(40, 36), 1), long_prompt.listener()));
  go.set_value();
  answer.wait();
  long_prompt.wait();
  scheduler_->end();
  std::size_t together = 0;
  for (const auto& step : engine_->steps()) {
    std::size_t prompts = 0;
    for (const std::size_t n : step.tokens) prompts += n > 1 ? n : 0;
    EXPECT_LE(prompts, 8U);
    together += step.tokens.size() == 2 ? 1 : 0;
  }
  EXPECT_GE(together, 4U);
  EXPECT_EQ(answer.text, "BCDEFG");
  EXPECT_EQ(long_prompt.text, "B");
}

TEST_F(SchedulerTest, DoesNotRunABeginningAgainThatItHasRun) {
  start();
  std::vector<Token> prompt(100, 40);
  for (int i = 0; i < 2; ++i) {
    Collected got;
    ASSERT_TRUE(scheduler_->submit(greedy(prompt, 3), got.listener()));
    got.wait();
    EXPECT_EQ(got.text, "FGH");
    EXPECT_EQ(got.last.cached_tokens, i == 0 ? 0U : 99U);
  }
}

TEST_F(SchedulerTest, SaysNothingMoreOnceItIsCancelled) {
  start();
  std::promise<void> begun;
  std::atomic<int> after{0};
  std::atomic<bool> cancelled{false};
  bool first = true;
  Request endless = greedy({36}, 0);
  endless.ends = {};
  endless.sampling.bias = {{kEnd, -100.0F}};
  const auto ticket = scheduler_->submit(std::move(endless), [&](Event&&) {
    if (std::exchange(first, false)) begun.set_value();
    if (cancelled) ++after;
  });
  ASSERT_TRUE(ticket);
  begun.get_future().wait();
  scheduler_->cancel(*ticket);
  cancelled = true;
  Collected next;
  ASSERT_TRUE(scheduler_->submit(greedy({36}, 3), next.listener()));
  next.wait();
  EXPECT_EQ(after, 0);
}

TEST_F(SchedulerTest, AFailureOfTheEngineEndsTheRequestsOfThatStepAlone) {
  start({}, [](engine::ScriptedEngine& engine) { engine.fail_at(1); });
  Collected first, second;
  ASSERT_TRUE(scheduler_->submit(greedy({36}, 5), first.listener()));
  first.wait();
  EXPECT_EQ(first.last.finish, Finish::failed);
  EXPECT_EQ(first.last.error.message, "told to fail");
  ASSERT_TRUE(scheduler_->submit(greedy({36}, 5), second.listener()));
  second.wait();
  EXPECT_EQ(second.text, "BCDEF");
}

TEST_F(SchedulerTest, RefusesWhatCanNeverFit) {
  start({.cache_bytes = 100});
  const auto refused = [&](Request request) {
    const auto ticket = scheduler_->submit(std::move(request), [](Event&&) {});
    return ticket ? mlxbase::Code{} : ticket.error().code;
  };
  EXPECT_EQ(refused(greedy({}, 5)), mlxbase::Code::invalid);
  EXPECT_EQ(refused(greedy({96}, 5)), mlxbase::Code::invalid);
  EXPECT_EQ(refused(greedy(std::vector<Token>(2048, 5), 1)), mlxbase::Code::invalid);
  EXPECT_EQ(refused(greedy(std::vector<Token>(90, 5), 20)), mlxbase::Code::out_of_memory);
}

TEST(Sampler, TheSameSeedGivesTheSameTokensAndAnotherOthers) {
  const auto draw = [](std::uint64_t seed) {
    Sampler sampler({.seed = seed}, {}, 0);
    std::vector<Token> out;
    for (int i = 0; i < 20; ++i) {
      std::vector<float> logits(50, 1.0F);
      out.push_back(sampler.choose(logits).token);
    }
    return out;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
}

TEST(Sampler, CutsKeepOnlyWhatTheyShould) {
  const std::vector<float> logits = {3, 2, 1, 0, -1};  // 0.636 0.234 0.086 0.032 0.012
  const auto drawn = [&](Sampling sampling) {
    sampling.seed = 1;
    Sampler sampler(sampling, {}, 0);
    std::map<Token, int> counts;
    for (int i = 0; i < 4000; ++i) {
      std::vector<float> row = logits;
      ++counts[sampler.choose(row).token];
    }
    return counts;
  };
  EXPECT_EQ(drawn({.top_k = 2}).size(), 2U);
  EXPECT_EQ(drawn({.top_p = 0.8F}).size(), 2U);
  EXPECT_EQ(drawn({.min_p = 0.1F}).size(), 3U);
  EXPECT_EQ(drawn({.temperature = 0}).size(), 1U);
  auto all = drawn({});
  EXPECT_NEAR(all[0] / 4000.0, 0.636, 0.03);
  EXPECT_NEAR(all[1] / 4000.0, 0.234, 0.03);
}

TEST(Sampler, PenaltiesBiasAndLogprobs) {
  Sampler sampler({.temperature = 0, .frequency_penalty = 1.5F, .bias = {{2, 5.0F}}, .logprobs = 2}, {}, 0);
  std::vector<float> row = {1, 0, 0};
  const Chosen first = sampler.choose(row);  // 1 0 5
  EXPECT_EQ(first.token, 2U);
  EXPECT_NEAR(first.logprob, -0.0247, 1e-3);
  ASSERT_EQ(first.alternatives.size(), 2U);
  EXPECT_EQ(first.alternatives[1].first, 0U);
  for (int i = 0; i < 2; ++i) row = {1, 0, 0}, sampler.choose(row);
  row = {1, 0, 0};
  EXPECT_EQ(sampler.choose(row).token, 0U);  // 2 was chosen three times: 5 - 4.5
}

}  // namespace
}  // namespace mlxhub::schedule
