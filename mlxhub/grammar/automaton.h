#pragma once
// A grammar as a machine that reads bytes: every set of places that a text may have come to is a state, made when it is first met.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "mlxhub/grammar/grammar.h"

namespace mlxhub::grammar {

/// One thread at a time.
class Automaton {
 public:
  using State = std::uint32_t;
  explicit Automaton(std::shared_ptr<const Grammar> grammar);

  State start() const { return start_; }
  /// Nothing: no text that fits begins so. That is said too where a text is nested too deeply, or leaves too many ways open.
  std::optional<State> step(State state, unsigned char byte);
  bool may_end(State state) const { return states_[state].may_end; }
  /// It fits, and nothing may follow.
  bool must_end(State state) const { return states_[state].may_end && states_[state].places.empty(); }
  std::size_t states() const { return states_.size(); }

 private:
  using Stack = std::uint32_t;  // index into frames_; 0: empty
  struct Place {
    NodeId node = 0;  // of bytes
    Stack stack = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Frame {
    NodeId back = 0;
    Stack below = 0;
    std::uint32_t depth = 0;
  };
  struct Known {
    std::vector<Place> places;
    bool may_end = false;
    std::vector<std::int32_t> next;  // by byte; kUnknown, kDead or a state
  };
  Stack push(NodeId back, Stack below);
  /// All places that are reached without reading a byte.
  State closed(std::vector<Place> from);

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Frame> frames_;
  std::unordered_map<std::uint64_t, Stack> stacks_;
  std::vector<Known> states_;
  std::map<std::pair<std::vector<Place>, bool>, State> known_;
  State start_ = 0;
};

}  // namespace mlxhub::grammar
