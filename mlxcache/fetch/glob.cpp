#include "mlxcache/fetch/glob.h"

#include <optional>
#include <string>

namespace mlxcache::fetch {
namespace {

/// The set that begins at pattern[at] (a "["): where it ends (past the "]") and whether `c` is in it. Nothing: there is no closing "]", so "[" stands
/// for itself.
struct SetMatch {
  std::size_t end = 0;
  bool holds = false;
};
std::optional<SetMatch> match_set(std::string_view pattern, std::size_t at, unsigned char c) {
  std::size_t i = at + 1;
  const bool negated = i < pattern.size() && pattern[i] == '!';
  if (negated) ++i;
  const std::size_t first = i;
  std::size_t close = first < pattern.size() && pattern[first] == ']' ? first + 1 : first;  // a "]" in front is a member
  while (close < pattern.size() && pattern[close] != ']') ++close;
  if (close >= pattern.size()) return std::nullopt;
  bool holds = false;
  while (i < close) {
    const auto low = static_cast<unsigned char>(pattern[i]);
    if (i + 2 < close && pattern[i + 1] == '-') {
      holds = holds || (low <= c && c <= static_cast<unsigned char>(pattern[i + 2]));
      i += 3;
    } else {
      holds = holds || low == c;
      ++i;
    }
  }
  return SetMatch{close + 1, holds != negated};
}

bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0;
  std::size_t star = std::string_view::npos, star_text = 0;  // the last "*" and where in the text it was tried to end
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
      continue;
    }
    bool fits = false;
    std::size_t next = p + 1;
    if (p < pattern.size()) {
      if (pattern[p] == '?') {
        fits = true;
      } else if (const auto set = pattern[p] == '[' ? match_set(pattern, p, static_cast<unsigned char>(text[t])) : std::nullopt) {
        fits = set->holds;
        next = set->end;
      } else {
        fits = pattern[p] == text[t];
      }
    }
    if (fits) {
      p = next;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view path) {
  if (pattern.ends_with('/')) return matches(std::string(pattern) + "*", path);
  return matches(pattern, path);
}

}  // namespace mlxcache::fetch
