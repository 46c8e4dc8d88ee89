#include "mlxcache/stores/webui_metadata.h"

#include <optional>

#include "mlxbase/core/path.h"

namespace mlxcache::stores::text_generation_webui {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view s) {
  const auto first = s.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kBlank) - first + 1);
}

std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return line;
}

}  // namespace

WebuiMetadata parse_webui_metadata(std::string_view text) {
  WebuiMetadata out;
  bool sums = false;
  while (!text.empty()) {
    const std::string_view line = trimmed(take_line(text));
    if (line.starts_with("url:")) {
      out.url = trimmed(line.substr(4));
    } else if (line.starts_with("branch:")) {
      out.branch = trimmed(line.substr(7));
    } else if (line.starts_with("sha256sum:")) {
      sums = true;
    } else if (sums) {
      const auto blank = line.find_first_of(kBlank);
      if (blank == std::string_view::npos) continue;
      const auto digest = mlxbase::Digest::parse(mlxbase::Algorithm::sha256, line.substr(0, blank));
      const std::string_view name = trimmed(line.substr(blank));
      if (digest && mlxbase::path::is_safe_relative(name)) out.sha256.insert_or_assign(std::string(name), *digest);
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_flags(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::string_view line = trimmed(take_line(text));
    if (line.starts_with('#')) continue;
    std::optional<std::string> word;
    char quote = 0;
    for (const char c : line) {
      if (quote != 0) {
        if (c == quote) {
          quote = 0;
        } else {
          word->push_back(c);
        }
      } else if (c == '"' || c == '\'') {
        quote = c;
        if (!word) word.emplace();
      } else if (kBlank.contains(c)) {
        if (word) words.push_back(std::move(*word));
        word.reset();
      } else {
        if (!word) word.emplace();
        word->push_back(c);
      }
    }
    if (word) words.push_back(std::move(*word));
  }
  std::vector<std::pair<std::string, std::string>> out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("--")) continue;
    if (const auto equals = words[i].find('='); equals != std::string::npos) {
      out.emplace_back(words[i].substr(0, equals), words[i].substr(equals + 1));
    } else if (i + 1 < words.size() && !words[i + 1].starts_with("--")) {
      out.emplace_back(words[i], words[i + 1]);
      ++i;
    }
  }
  return out;
}

}  // namespace mlxcache::stores::text_generation_webui
