#include "mlxhub/schedule/sampler.h"

#include <algorithm>
#include <cmath>

namespace mlxhub::schedule {

Sampler::Sampler(Sampling sampling, std::span<const Token> prompt, std::uint64_t chance) : sampling_(std::move(sampling)), random_(sampling_.seed.value_or(chance)) {
  if (sampling_.repetition_penalty != 1) {
    if (sampling_.repetition_last != 0 && prompt.size() > sampling_.repetition_last) prompt = prompt.last(sampling_.repetition_last);
    for (const Token token : prompt) see(token);
  }
}

void Sampler::see(Token token) {
  ++seen_[token];
  if (sampling_.repetition_last == 0) return;
  last_.push_back(token);
  if (last_.size() <= sampling_.repetition_last) return;
  if (const auto gone = seen_.find(last_.front()); --gone->second == 0) seen_.erase(gone);
  last_.pop_front();
}

Chosen Sampler::choose(std::span<float> logits) {
  if (sampling_.repetition_penalty != 1) {
    for (const auto& [token, times] : seen_) {
      float& l = logits[token];
      l = l > 0 ? l / sampling_.repetition_penalty : l * sampling_.repetition_penalty;
    }
  }
  if (sampling_.presence_penalty != 0 || sampling_.frequency_penalty != 0) {
    for (const auto& [token, times] : answered_) logits[token] -= sampling_.presence_penalty + sampling_.frequency_penalty * static_cast<float>(times);
  }
  for (const auto& [token, by] : sampling_.bias) {
    if (token < logits.size()) logits[token] += by;
  }
  Chosen chosen;
  chosen.token = sampling_.temperature <= 0 ? static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin()) : draw(logits);
  if (sampling_.logprobs) {
    const float most = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const float l : logits) total += std::exp(static_cast<double>(l - most));
    const float norm = most + static_cast<float>(std::log(total));
    chosen.logprob = logits[chosen.token] - norm;
    room_.clear();
    for (std::size_t t = 0; t < logits.size(); ++t) {
      if (std::isfinite(logits[t])) room_.emplace_back(logits[t], static_cast<Token>(t));  // what a form forbids is no alternative
    }
    const std::size_t n = std::min<std::size_t>(*sampling_.logprobs, room_.size());
    std::partial_sort(room_.begin(), room_.begin() + static_cast<std::ptrdiff_t>(n), room_.end(), [](const auto& a, const auto& b) { return a.first > b.first || (a.first == b.first && a.second < b.second); });
    for (std::size_t i = 0; i < n; ++i) chosen.alternatives.emplace_back(room_[i].second, room_[i].first - norm);
  }
  if (sampling_.presence_penalty != 0 || sampling_.frequency_penalty != 0) ++answered_[chosen.token];
  if (sampling_.repetition_penalty != 1) see(chosen.token);
  return chosen;
}

Token Sampler::draw(std::span<const float> logits) {
  // Likeliest first, as far as anybody asks: a heap gives the next one cheaply.
  const auto less = [](const auto& a, const auto& b) { return a.first < b.first || (a.first == b.first && a.second > b.second); };
  const float most = *std::max_element(logits.begin(), logits.end());
  room_.clear();
  double total = 0;
  for (std::size_t t = 0; t < logits.size(); ++t) {
    const float p = std::exp((logits[t] - most) / sampling_.temperature);
    if (p < sampling_.min_p || p <= 0) continue;  // the likeliest has 1
    total += p;
    room_.emplace_back(p, static_cast<Token>(t));
  }
  const double unit = static_cast<double>(random_() >> 11U) * 0x1p-53;
  std::size_t kept = room_.size();
  const bool cut = (sampling_.top_k != 0 && sampling_.top_k < kept) || sampling_.top_p < 1;
  if (cut) {
    if (sampling_.top_k != 0 && sampling_.top_k < kept) {
      std::nth_element(room_.begin(), room_.begin() + sampling_.top_k, room_.end(), [&](const auto& a, const auto& b) { return less(b, a); });
      room_.resize(sampling_.top_k);
      total = 0;
      for (const auto& [p, token] : room_) total += p;
    }
    std::make_heap(room_.begin(), room_.end(), less);
    double sum = 0;
    auto end = room_.end();
    while (end != room_.begin()) {
      sum += room_.front().first;
      std::pop_heap(room_.begin(), end, less);
      --end;
      if (sum >= sampling_.top_p * total) break;
    }
    room_.erase(room_.begin(), end);
    total = sum;
  }
  double left = unit * total;
  for (const auto& [p, token] : room_) {
    left -= p;
    if (left < 0) return token;
  }
  return room_.empty() ? static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin()) : room_.back().second;
}

}  // namespace mlxhub::schedule
