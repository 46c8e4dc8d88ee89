#include "mlxhub/engine/scripted.h"

#include <fmt/format.h>

#include <cassert>

namespace mlxhub::engine {

using mlxbase::Code;
using mlxbase::fail;

mlxbase::Result<Sequence> ScriptedEngine::open(std::size_t capacity) {
  if (capacity > facts_.context) return fail(Code::invalid, fmt::format("{} tokens are more than the context of {}", capacity, facts_.context));
  sequences_[++last_].capacity = capacity;
  return last_;
}

void ScriptedEngine::copy_prefix(Sequence from, Sequence to, std::size_t count) {
  const std::vector<Token>& source = sequences_.at(from).tokens;
  assert(count <= source.size() && sequences_.at(to).tokens.empty());
  sequences_.at(to).tokens.assign(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(count));
}

mlxbase::Status ScriptedEngine::forward(std::span<const Part> parts) {
  if (before_step) before_step();
  Step step;
  for (const Part& part : parts) step.tokens.push_back(part.tokens.size());
  steps_.push_back(std::move(step));
  if (steps_.size() == fail_at_ + 1) return fail(Code::engine, "told to fail");
  for (const Part& part : parts) {
    Held& held = sequences_.at(part.sequence);
    held.tokens.insert(held.tokens.end(), part.tokens.begin(), part.tokens.end());
    if (held.tokens.size() > held.capacity) return fail(Code::invalid, "the sequence has no room");
    if (part.logits.empty()) continue;
    const auto likeliest = static_cast<std::ptrdiff_t>(next_(held.tokens));
    for (std::size_t t = 0; t < part.logits.size(); ++t) {
      const auto distance = static_cast<std::ptrdiff_t>(t) - likeliest;
      part.logits[t] = distance == 0 ? 10.0F : 1.0F / static_cast<float>(1 + (distance < 0 ? -distance : distance));
    }
  }
  return {};
}

}  // namespace mlxhub::engine
