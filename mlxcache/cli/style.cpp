#include "mlxcache/cli/style.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "mlxbase/core/width.h"

namespace mlxcache::cli {

std::string Style::wrap(std::string_view code, std::string_view text) const {
  return on_ && !text.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    if (text[0] == '\x1b') {
      const auto end = text.find('m');
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      continue;
    }
    width += mlxbase::cells_of(mlxbase::take_point(text));
  }
  return width;
}

std::string elide_middle(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::vector<std::pair<std::string_view, std::size_t>> points;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view at = rest;
    const std::size_t w = mlxbase::cells_of(mlxbase::take_point(rest));
    points.emplace_back(at.substr(0, at.size() - rest.size()), w);
  }
  const std::size_t head_cells = (width - 1) / 3;  // the end of a path says more than its beginning
  const std::size_t tail_cells = width - 1 - head_cells;
  std::string head;
  std::size_t used = 0;
  for (const auto& [bytes, w] : points) {
    if (used + w > head_cells) break;
    head += bytes;
    used += w;
  }
  std::size_t from = points.size();
  used = 0;
  while (from > 0 && used + points[from - 1].second <= tail_cells) used += points[--from].second;
  std::string out = head + "…";
  for (; from < points.size(); ++from) out += points[from].first;
  return out;
}

std::string wrap_text(std::string_view text, std::size_t width, std::string_view indent) {
  std::string out;
  std::size_t at = 0;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    std::string_view paragraph = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    out += indent;
    at = display_width(indent);
    bool first = true;
    while (!paragraph.empty()) {
      const auto space = paragraph.find(' ');
      const std::string_view word = paragraph.substr(0, space);
      paragraph.remove_prefix(space == std::string_view::npos ? paragraph.size() : space + 1);
      const std::size_t w = display_width(word);
      if (!first && width > 0 && at + 1 + w > width) {
        out += '\n';
        out += indent;
        at = display_width(indent);
        first = true;
      }
      if (!first) {
        out += ' ';
        ++at;
      }
      out += word;
      at += w;
      first = false;
    }
    out += '\n';
  }
  return out;
}

}  // namespace mlxcache::cli
