#include "mlxcache/stores/systemd_unit.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace mlxcache::stores {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view s) {
  const auto first = s.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kBlank) - first + 1);
}

/// The file's lines with those joined that end in a backslash; comments left out, also between joined lines.
std::vector<std::string> logical_lines(std::string_view text) {
  std::vector<std::string> out;
  std::string line;
  bool open = false;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view raw = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const std::string_view shown = trimmed(raw);
    if (!shown.empty() && (shown.front() == '#' || shown.front() == ';')) continue;
    if (raw.ends_with('\r')) raw.remove_suffix(1);
    open = raw.ends_with('\\');
    if (open) raw.remove_suffix(1);
    line.append(raw);
    if (open) {
      line.push_back(' ');
      continue;
    }
    out.push_back(std::move(line));
    line.clear();
  }
  if (!line.empty()) out.push_back(std::move(line));
  return out;
}

/// Words, quoted ones whole, with C escapes resolved as far as paths need them.
std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  std::optional<std::string> word;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size() && quote != '\'') {
      const char e = text[++i];
      if (!word) word.emplace();
      switch (e) {
        case 'n': word->push_back('\n'); break;
        case 't': word->push_back('\t'); break;
        case 's': word->push_back(' '); break;
        default: word->push_back(e);
      }
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word->push_back(c);
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      if (!word) word.emplace();
    } else if (kBlank.contains(c)) {
      if (word) out.push_back(*std::exchange(word, std::nullopt));
    } else {
      if (!word) word.emplace();
      word->push_back(c);
    }
  }
  if (word) out.push_back(std::move(*word));
  return out;
}

std::string without_doubled_percent(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    out.push_back(text[i]);
    if (text.substr(i).starts_with("%%")) ++i;
  }
  return out;
}

}  // namespace

void ServiceSettings::apply(std::string_view unit) {
  bool in_service = false;
  for (const std::string& line : logical_lines(unit)) {
    const std::string_view text = trimmed(line);
    if (text.empty()) continue;
    if (text.front() == '[') {
      in_service = text == "[Service]";
      continue;
    }
    const auto equals = text.find('=');
    if (!in_service || equals == std::string_view::npos) continue;
    const std::string_view key = trimmed(text.substr(0, equals));
    const std::string_view value = trimmed(text.substr(equals + 1));
    if (key == "User") {
      user = value;
    } else if (key == "Environment") {
      if (value.empty()) environment.clear();
      for (const std::string& word : words(value)) {
        const auto at = word.find('=');
        if (at != std::string::npos && at > 0) environment[word.substr(0, at)] = without_doubled_percent(word.substr(at + 1));
      }
    } else if (key == "EnvironmentFile") {
      if (value.empty()) environment_files.clear();
      const std::string_view file = value.starts_with('-') ? value.substr(1) : value;
      if (file.starts_with('/')) environment_files.emplace_back(file);
    }
  }
}

void ServiceSettings::apply_environment_file(std::string_view text) {
  for (const std::string& line : logical_lines(text)) {
    const std::string_view pair = trimmed(line);
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    std::string value;
    for (const std::string& word : words(pair.substr(equals + 1))) value += (value.empty() ? "" : " ") + word;
    environment[std::string(trimmed(pair.substr(0, equals)))] = std::move(value);
  }
}

}  // namespace mlxcache::stores
