#pragma once
// What runs a model forward, whoever does the arithmetic. The scheduler sees only this; so do tests, with a scripted one.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxhub::engine {

using Token = std::uint32_t;
using Sequence = std::uint32_t;

struct Facts {
  std::string name;
  std::size_t vocabulary = 0;
  std::size_t context = 0;              // most tokens of a sequence
  std::uint64_t weight_bytes = 0;
  std::uint64_t bytes_a_token = 0;      // of keys and values
};

/// Some tokens of one sequence in a step, behind those that it has already.
struct Part {
  Sequence sequence = 0;
  std::span<const Token> tokens;
  std::span<float> logits;  // of the last token: one value a token of the vocabulary; empty: not wanted
};

/// One thread at a time.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const Facts& facts() const = 0;

  /// A new empty sequence with room for `capacity` tokens. Errors: invalid (more than the context), out_of_memory.
  virtual mlxbase::Result<Sequence> open(std::size_t capacity) = 0;
  virtual void close(Sequence sequence) = 0;
  /// Makes the sequence's first tokens those of another one: `count` of them, which `from` has. The sequence must be empty. What follows is as if
  /// they had been run.
  virtual void copy_prefix(Sequence from, Sequence to, std::size_t count) = 0;

  /// Runs all parts in one step. No sequence is in two parts. Errors: invalid (a token outside of the vocabulary, no room), engine; then no
  /// sequence of the step may be used further.
  virtual mlxbase::Status forward(std::span<const Part> parts) = 0;
};

}  // namespace mlxhub::engine
