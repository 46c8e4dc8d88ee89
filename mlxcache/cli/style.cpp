#include "mlxcache/cli/style.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace mlxcache::cli {
namespace {

struct Span {
  std::uint32_t first, last;
};
// Cells of two: East Asian wide and emoji blocks (Unicode 15, EastAsianWidth W and F, whole blocks). Near enough for columns.
constexpr Span kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},  {0x4E00, 0x9FFF},
                          {0xA000, 0xA4CF},   {0xA960, 0xA97C},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},  {0xFE30, 0xFE6F},
                          {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF},
                          {0x20000, 0x3FFFD}};
// Cells of none: combining marks, joiners, variation selectors.
constexpr Span kNarrowest[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
                               {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200D},
                               {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xE0100, 0xE01EF}};

template <std::size_t N>
bool within(const Span (&spans)[N], std::uint32_t point) {
  return std::any_of(std::begin(spans), std::end(spans), [&](const Span& s) { return point >= s.first && point <= s.last; });
}

/// Takes one code point off the front of well-formed text.
std::uint32_t take_point(std::string_view& text, std::size_t& length) {
  const auto lead = static_cast<unsigned char>(text[0]);
  length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  length = std::min(length, text.size());
  std::uint32_t point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) point = point << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  text.remove_prefix(length);
  return point;
}

std::size_t cells(std::uint32_t point) {
  if (point < 0x300) return 1;
  if (within(kNarrowest, point)) return 0;
  return within(kWide, point) ? 2 : 1;
}

}  // namespace

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
    std::size_t length = 0;
    width += cells(take_point(text, length));
  }
  return width;
}

std::string elide_middle(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::vector<std::pair<std::string_view, std::size_t>> points;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view at = rest;
    std::size_t length = 0;
    const std::size_t w = cells(take_point(rest, length));
    points.emplace_back(at.substr(0, length), w);
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
