#pragma once
// An engine that says what it was told to: everything above is tested without weights.
#include <functional>
#include <map>
#include <vector>

#include "mlxhub/engine/engine.h"

namespace mlxhub::engine {

class ScriptedEngine final : public Engine {
 public:
  /// `next`: the likeliest token after a sequence's tokens; all others get logits that fall with their distance from it.
  using Next = std::function<Token(std::span<const Token>)>;
  ScriptedEngine(Facts facts, Next next) : facts_(std::move(facts)), next_(std::move(next)) {}

  const Facts& facts() const override { return facts_; }
  mlxbase::Result<Sequence> open(std::size_t capacity) override;
  void close(Sequence sequence) override { sequences_.erase(sequence); }
  void copy_prefix(Sequence from, Sequence to, std::size_t count) override;
  mlxbase::Status forward(std::span<const Part> parts) override;

  /// For tests: what was asked of it.
  struct Step {
    std::vector<std::size_t> tokens;  // of each part
  };
  const std::vector<Step>& steps() const { return steps_; }
  std::size_t open_sequences() const { return sequences_.size(); }
  /// The step of this number, counted from 0, fails.
  void fail_at(std::size_t step) { fail_at_ = step; }
  /// Called at the start of each step.
  std::function<void()> before_step;

 private:
  struct Held {
    std::size_t capacity = 0;
    std::vector<Token> tokens;
  };
  Facts facts_;
  Next next_;
  std::map<Sequence, Held> sequences_;
  Sequence last_ = 0;
  std::vector<Step> steps_;
  std::size_t fail_at_ = SIZE_MAX;
};

}  // namespace mlxhub::engine
