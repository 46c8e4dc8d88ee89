#pragma once
// From one row of logits to a token.
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mlxhub/engine/engine.h"

namespace mlxhub::schedule {

using engine::Token;

struct Sampling {
  float temperature = 1;  // 0: the likeliest
  float top_p = 1, min_p = 0;
  std::uint32_t top_k = 0;  // 0: all
  float presence_penalty = 0, frequency_penalty = 0;  // of tokens of the answer, as OpenAI defines them
  float repetition_penalty = 1;                       // of tokens of prompt and answer, as transformers defines it
  std::size_t repetition_last = 0;                    // of how many of the last tokens; 0: of all
  std::optional<std::uint64_t> seed;
  std::vector<std::pair<Token, float>> bias;
  std::optional<std::uint32_t> logprobs;  // how many alternatives to tell; 0: only that of the token
};

struct Chosen {
  Token token = 0;
  float logprob = 0;                                // natural logarithm, before temperature and cuts; if asked for
  std::vector<std::pair<Token, float>> alternatives;  // likeliest first
};

/// One a sequence. The same seed, settings and logits give the same tokens.
class Sampler {
 public:
  Sampler(Sampling sampling, std::span<const Token> prompt, std::uint64_t chance);
  /// Changes the logits.
  Chosen choose(std::span<float> logits);

 private:
  Token draw(std::span<const float> logits);
  void see(Token token);

  Sampling sampling_;
  std::mt19937_64 random_;
  std::unordered_map<Token, std::uint32_t> answered_;  // how often
  std::unordered_map<Token, std::uint32_t> seen_;  // how often, of those that the repetition penalty sees
  std::deque<Token> last_;                         // the same in order, if there is a limit
  std::vector<std::pair<float, Token>> room_;
};

}  // namespace mlxhub::schedule
