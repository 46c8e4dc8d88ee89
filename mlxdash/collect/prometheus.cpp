#include "mlxdash/collect/prometheus.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mlxdash/collect/text.h"

namespace mlxdash::collect::prometheus {
namespace {

using mlxbase::Code;

constexpr std::size_t kLongest = std::size_t{8} << 20U;
constexpr std::size_t kMostSamples = 200'000;

bool is_name_char(char c, bool first) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  return letter || (!first && c >= '0' && c <= '9');
}

/// Where the closing brace is: not inside a quoted value.
std::size_t end_of_labels(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '}' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

bool parse_line(std::string_view line, Sample& sample) {
  std::size_t end = 0;
  while (end < line.size() && is_name_char(line[end], end == 0)) ++end;
  if (end == 0) return false;
  sample.name = line.substr(0, end);
  sample.labels = {};
  line.remove_prefix(end);
  if (!line.empty() && line.front() == '{') {
    line.remove_prefix(1);
    const auto close = end_of_labels(line);
    if (close == std::string_view::npos) return false;
    sample.labels = line.substr(0, close);
    line.remove_prefix(close + 1);
  } else if (line.empty() || (line.front() != ' ' && line.front() != '\t')) {
    return false;
  }
  const auto value = to_number(take_word(line));
  if (!value) return false;
  sample.value = *value;
  return true;
}

}  // namespace

std::optional<std::string> Sample::label(std::string_view wanted) const {
  std::string_view rest = labels;
  while (!rest.empty()) {
    const auto equals = rest.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    std::string_view key = trimmed(rest.substr(0, equals));
    if (key.starts_with(',')) key = trimmed(key.substr(1));
    rest.remove_prefix(equals + 1);
    const auto open = rest.find('"');
    if (open == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(open + 1);
    std::string text;
    std::size_t i = 0;
    for (; i < rest.size() && rest[i] != '"'; ++i) {
      if (rest[i] == '\\' && i + 1 < rest.size()) {
        ++i;
        text += rest[i] == 'n' ? '\n' : rest[i];
      } else {
        text += rest[i];
      }
    }
    if (i == rest.size()) return std::nullopt;  // a value that does not end
    rest.remove_prefix(i + 1);
    if (key == wanted) return text;
  }
  return std::nullopt;
}

mlxbase::Status parse(std::string_view text, const std::function<void(const Sample&)>& each) {
  if (text.size() > kLongest) return mlxbase::fail(Code::invalid, "metrics: more than 8 MiB");
  std::size_t good = 0;
  std::size_t bad = 0;
  std::string_view line;
  while (take_line(text, line)) {
    line = trimmed(line);
    if (line.empty() || line.front() == '#') continue;
    Sample sample;
    if (!parse_line(line, sample)) {
      ++bad;
      continue;
    }
    if (++good > kMostSamples) return mlxbase::fail(Code::invalid, "metrics: more than 200,000 samples");
    each(sample);
  }
  if (good == 0 && bad > 0) return mlxbase::fail(Code::corrupt, "metrics: the answer is no Prometheus text");
  return {};
}

mlxbase::Result<Scrape> Scrape::read(std::string_view text, const std::vector<std::string_view>& keep, const std::function<bool(const Sample&)>& want) {
  Scrape scrape;
  const auto kept = [&](std::string_view name) { return std::ranges::find(keep, name) != keep.end(); };
  TRY(parse(text, [&](const Sample& sample) {
    if (kept(sample.name)) {
      if (std::isnan(sample.value) || (want && !want(sample))) return;
      const auto [at, fresh] = scrape.values_.try_emplace(std::string(sample.name), Values{.sum = 0, .max = sample.value});
      at->second.sum += sample.value;
      at->second.max = std::max(at->second.max, sample.value);
      return;
    }
    constexpr std::string_view kBucket = "_bucket";
    if (!sample.name.ends_with(kBucket)) return;
    const std::string_view name = sample.name.substr(0, sample.name.size() - kBucket.size());
    if (!kept(name) || std::isnan(sample.value) || (want && !want(sample))) return;
    const auto bound = sample.label("le");
    const auto le = bound ? to_number(*bound) : std::nullopt;
    if (le && !std::isnan(*le)) scrape.buckets_[std::string(name)][*le] += sample.value;
  }));
  return scrape;
}

std::optional<double> Scrape::sum(std::string_view name) const {
  const auto at = values_.find(name);
  return at == values_.end() ? std::nullopt : std::optional(at->second.sum);
}

std::optional<double> Scrape::max(std::string_view name) const {
  const auto at = values_.find(name);
  return at == values_.end() ? std::nullopt : std::optional(at->second.max);
}

const std::map<double, double>& Scrape::buckets(std::string_view name) const {
  static const std::map<double, double> kNone;
  const auto at = buckets_.find(name);
  return at == buckets_.end() ? kNone : at->second;
}

std::optional<double> quantile(const std::map<double, double>& before, const std::map<double, double>& now, double q) {
  if (now.empty() || before.size() != now.size()) return std::nullopt;
  std::vector<std::pair<double, double>> grown;  // bound, cumulative count of what is new
  auto old = before.begin();
  for (const auto& [bound, count] : now) {
    if (old->first != bound || count < old->second) return std::nullopt;  // other buckets, or a restart
    grown.emplace_back(bound, count - old->second);
    ++old;
  }
  const double all = grown.back().second;
  if (!(all > 0)) return std::nullopt;
  const double rank = q * all;
  double below = 0;
  double lower = 0;
  for (const auto& [bound, count] : grown) {
    if (count >= rank && count > below) {
      if (std::isinf(bound)) return lower;  // beyond the last bound: at least that
      return lower + (bound - lower) * std::clamp((rank - below) / (count - below), 0.0, 1.0);
    }
    below = std::max(below, count);
    lower = bound;
  }
  return lower;
}

void Histogram::update(const std::map<double, double>& now, Reading<double>& p50, Reading<double>& p95) {
  if (now.empty()) {
    p50 = p95 = Absent::not_supported;
    return;
  }
  if (const auto middle = quantile(before_, now, 0.5)) {
    p50_ = *middle;
    p95_ = quantile(before_, now, 0.95).value_or(*middle);
  } else if (!before_.empty() && now.rbegin()->second < before_.rbegin()->second) {
    p50_ = p95_ = Absent::not_yet;
  }
  before_ = now;
  p50 = p50_;
  p95 = p95_;
}

}  // namespace mlxdash::collect::prometheus
