#include "mlxhub/grammar/automaton.h"

#include <algorithm>
#include <set>
#include <utility>

namespace mlxhub::grammar {
namespace {

constexpr std::int32_t kUnknown = -2, kDead = -1;
constexpr std::uint32_t kMostDepth = 400;      // rules in rules: a level of JSON takes two or three
constexpr std::size_t kMostPlaces = 2048;      // of a state
constexpr std::size_t kMostStates = 32'768;    // 1 KB each
constexpr std::size_t kMostFrames = 1'000'000;

}  // namespace

Automaton::Automaton(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)), frames_(1) { start_ = closed({{.node = grammar_->start, .stack = 0}}); }

Automaton::Stack Automaton::push(NodeId back, Stack below) {
  const std::uint64_t key = std::uint64_t{back} << 32U | below;
  if (const auto at = stacks_.find(key); at != stacks_.end()) return at->second;
  frames_.push_back({.back = back, .below = below, .depth = frames_[below].depth + 1});
  return stacks_[key] = static_cast<Stack>(frames_.size() - 1);
}

Automaton::State Automaton::closed(std::vector<Place> from) {
  std::set<Place> seen;
  std::vector<Place> places;
  bool may_end = false;
  while (!from.empty() && seen.size() < kMostPlaces) {
    const Place place = from.back();
    from.pop_back();
    if (!seen.insert(place).second) continue;
    const Node& node = grammar_->nodes[place.node];
    switch (node.kind) {
      case Node::Kind::bytes: places.push_back(place); break;
      case Node::Kind::split:
        from.push_back({node.next, place.stack});
        from.push_back({node.other, place.stack});
        break;
      case Node::Kind::call: {
        // A call at the end of a rule returns to where that rule returns.
        const Node& after = grammar_->nodes[node.next];
        if (after.kind == Node::Kind::finish) {
          from.push_back({grammar_->rules[node.other], place.stack});
        } else if (frames_[place.stack].depth < kMostDepth && frames_.size() < kMostFrames) {
          from.push_back({grammar_->rules[node.other], push(node.next, place.stack)});
        }
        break;
      }
      case Node::Kind::finish:
        if (place.stack == 0) {
          may_end = true;
        } else {
          from.push_back({frames_[place.stack].back, frames_[place.stack].below});
        }
        break;
    }
  }
  std::sort(places.begin(), places.end());
  const auto [at, fresh] = known_.try_emplace({places, may_end}, static_cast<State>(states_.size()));
  if (fresh) states_.push_back({.places = std::move(places), .may_end = may_end, .next = std::vector<std::int32_t>(256, kUnknown)});
  return at->second;
}

std::optional<Automaton::State> Automaton::step(State state, unsigned char byte) {
  const std::int32_t known = states_[state].next[byte];
  if (known >= 0) return static_cast<State>(known);
  if (known == kDead || states_.size() >= kMostStates) return std::nullopt;
  std::vector<Place> to;
  for (const Place& place : states_[state].places) {
    const Node& node = grammar_->nodes[place.node];
    if (has(grammar_->sets[node.set], byte)) to.push_back({node.next, place.stack});
  }
  std::int32_t next = kDead;
  if (!to.empty()) {
    const State reached = closed(std::move(to));
    if (states_[reached].may_end || !states_[reached].places.empty()) next = static_cast<std::int32_t>(reached);
  }
  states_[state].next[byte] = next;
  return next == kDead ? std::nullopt : std::optional<State>(static_cast<State>(next));
}

}  // namespace mlxhub::grammar
