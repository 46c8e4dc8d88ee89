#include "mlxcache/cli/table.h"

#include <algorithm>

namespace mlxcache::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kLeast = 12;  // a column that shrinks keeps this much: less tells nothing

std::string pad(std::string text, std::size_t width, Align align) {
  const std::size_t has = display_width(text);
  if (has >= width) return text;
  return align == Align::left ? text + std::string(width - has, ' ') : std::string(width - has, ' ') + text;
}

void end_line(std::string& out, std::string line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  out += line;
  out += '\n';
}

}  // namespace

std::string Table::render(int columns, const Style& style) const {
  std::vector<std::size_t> widths;
  bool titled = false;
  for (const Column& c : columns_) {
    widths.push_back(display_width(c.title));
    titled = titled || !c.title.empty();
  }
  for (const Line& line : lines_) {
    if (line.kind == Line::Kind::below || line.kind == Line::Kind::alert) continue;
    for (std::size_t i = 0; i < line.cells.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], display_width(line.cells[i]));
  }
  const auto whole = [&] {
    std::size_t sum = widths.empty() ? 0 : kGap * (widths.size() - 1);
    for (std::size_t w : widths) sum += w;
    return sum;
  };
  const std::size_t limit = columns > 0 ? static_cast<std::size_t>(columns) : 0;
  // The widest of the shrinking columns gives first, one cell at a time: few columns, few cells.
  while (limit > 0 && whole() > limit) {
    std::size_t widest = widths.size();
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (columns_[i].shrinks && widths[i] > kLeast && (widest == widths.size() || widths[i] > widths[widest])) widest = i;
    }
    if (widest == widths.size()) break;
    --widths[widest];
  }

  const auto cells_of = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      std::string cell = i < cells.size() ? cells[i] : std::string();
      if (display_width(cell) > widths[i]) cell = elide_middle(cell, widths[i]);
      if (i > 0) text += std::string(kGap, ' ');
      text += pad(std::move(cell), widths[i], columns_[i].align);
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text;
  };

  std::string out;
  if (titled) {
    std::vector<std::string> titles;
    for (const Column& c : columns_) titles.push_back(c.title);
    end_line(out, style.bold(cells_of(titles)));
  }
  for (const Line& line : lines_) {
    switch (line.kind) {
      case Line::Kind::row: end_line(out, cells_of(line.cells)); break;
      case Line::Kind::total: {
        std::string rule;
        for (std::size_t i = 0; i < std::max<std::size_t>(1, whole()); ++i) rule += "─";
        end_line(out, style.dim(rule));
        end_line(out, style.bold(cells_of(line.cells)));
        break;
      }
      case Line::Kind::below:
      case Line::Kind::alert: {
        std::string text = "  " + line.cells[0];
        if (limit > 0) text = elide_middle(text, limit);
        end_line(out, line.kind == Line::Kind::below ? style.dim(text) : style.yellow(text));
        break;
      }
    }
  }
  return out;
}

}  // namespace mlxcache::cli
