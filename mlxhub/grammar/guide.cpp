#include "mlxhub/grammar/guide.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace mlxhub::grammar {
namespace {

constexpr std::size_t kMostMaskBytes = std::size_t{32} << 20U;

}  // namespace

Vocabulary::Vocabulary(const text::Tokenizer& tokenizer, std::span<const std::string_view> markers) : bytes_(tokenizer.size()) {
  std::vector<text::TokenId> order;
  for (text::TokenId token = 0; token < bytes_.size(); ++token) {
    std::string bytes = tokenizer.bytes_of(token);
    if (tokenizer.is_special(token) && std::find(markers.begin(), markers.end(), bytes) == markers.end()) continue;
    if (bytes.empty()) continue;
    bytes_[token] = std::move(bytes);
    order.push_back(token);
  }
  std::sort(order.begin(), order.end(), [&](text::TokenId a, text::TokenId b) { return bytes_[a] < bytes_[b]; });
  std::vector<std::uint32_t> open;  // nodes of the token before, from the root
  const auto close_to = [&](std::size_t depth) {
    for (; open.size() > depth; open.pop_back()) nodes_[open.back()].skip = static_cast<std::uint32_t>(nodes_.size());
  };
  const std::string* before = nullptr;
  for (const text::TokenId token : order) {
    const std::string& bytes = bytes_[token];
    const std::size_t common = before == nullptr ? 0 : static_cast<std::size_t>(std::mismatch(bytes.begin(), bytes.end(), before->begin(), before->end()).first - bytes.begin());
    close_to(common);
    for (std::size_t i = common; i < bytes.size(); ++i) {
      open.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<unsigned char>(bytes[i]), .depth = static_cast<std::uint32_t>(i + 1)});
    }
    Node& node = nodes_[open.back()];
    if (node.count++ == 0) node.first = static_cast<std::uint32_t>(tokens_.size());  // equal ones come one after the other
    tokens_.push_back(token);
    before = &bytes;
  }
  close_to(0);
}

Guide::Guide(std::shared_ptr<const Vocabulary> vocabulary, std::shared_ptr<const Grammar> grammar)
    : vocabulary_(std::move(vocabulary)), shared_(std::make_shared<Shared>(std::move(grammar))), state_(shared_->automaton.start()) {}

const Guide::Bits& Guide::fitting() {
  if (const auto at = shared_->masks.find(state_); at != shared_->masks.end()) return at->second;
  Bits bits((vocabulary_->size() + 63) / 64, 0);
  if (shared_->masks.size() * bits.size() * 8 > kMostMaskBytes) shared_->masks.clear();
  std::vector<Automaton::State> states{state_};  // by depth
  const auto& nodes = vocabulary_->nodes_;
  for (std::uint32_t i = 0; i < nodes.size();) {
    const auto& node = nodes[i];
    const auto next = shared_->automaton.step(states[node.depth - 1], node.byte);
    if (!next) {
      i = node.skip;
      continue;
    }
    if (states.size() <= node.depth) states.resize(node.depth + 1);
    states[node.depth] = *next;
    for (std::uint32_t t = node.first; t < node.first + node.count; ++t) bits[vocabulary_->tokens_[t] >> 6U] |= std::uint64_t{1} << (vocabulary_->tokens_[t] & 63U);
    ++i;
  }
  return shared_->masks[state_] = std::move(bits);
}

bool Guide::mask(std::span<float> logits, std::span<const text::TokenId> ends) {
  const Bits& bits = fitting();
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  std::vector<std::pair<text::TokenId, float>> kept;
  if (may_end()) {
    for (const text::TokenId end : ends) {
      if (end < logits.size()) kept.emplace_back(end, logits[end]);
    }
  }
  bool any = !kept.empty();
  for (std::size_t word = 0; word * 64 < logits.size(); ++word) {
    const std::uint64_t fit = word < bits.size() ? bits[word] : 0;
    any = any || fit != 0;
    if (fit == ~std::uint64_t{0}) continue;
    for (std::size_t t = word * 64; t < std::min(logits.size(), word * 64 + 64); ++t) {
      if ((fit >> (t & 63U) & 1U) == 0) logits[t] = kNever;
    }
  }
  for (const auto& [token, logit] : kept) logits[token] = logit;
  return any;
}

bool Guide::accept(text::TokenId token) {
  if (token >= vocabulary_->size() || vocabulary_->bytes(token).empty()) return false;
  Automaton::State state = state_;
  for (const char c : vocabulary_->bytes(token)) {
    const auto next = shared_->automaton.step(state, static_cast<unsigned char>(c));
    if (!next) return false;
    state = *next;
  }
  state_ = state;
  return true;
}

}  // namespace mlxhub::grammar
