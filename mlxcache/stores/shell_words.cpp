#include "mlxcache/stores/shell_words.h"

#include <algorithm>

namespace mlxcache::stores {

std::vector<std::string> shell_words(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  bool open = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
      if (open) out.push_back(std::move(word));
      word.clear();
      open = false;
      continue;
    }
    open = true;
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word.push_back(text[++i]);
    } else {
      word.push_back(c);
    }
  }
  if (open) out.push_back(std::move(word));
  return out;
}

std::string assigned_in_script(std::string_view script, std::string_view name) {
  std::string value;
  while (!script.empty()) {
    const std::size_t end = script.find('\n');
    std::string_view line = script.substr(0, end);
    script = end == std::string_view::npos ? std::string_view() : script.substr(end + 1);
    const auto skip_blanks = [&line] { line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size())); };
    skip_blanks();
    if (line.starts_with("export ")) {
      line.remove_prefix(7);
      skip_blanks();
    }
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != '=') continue;
    const auto words = shell_words(line.substr(name.size() + 1));
    value = words.empty() ? std::string() : words.front();
  }
  return value;
}

}  // namespace mlxcache::stores
