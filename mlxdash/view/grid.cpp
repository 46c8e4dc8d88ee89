#include "mlxdash/view/grid.h"

#include <algorithm>
#include <cmath>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/width.h"

namespace mlxdash::view {
namespace {

void append_utf8(std::string& out, char32_t p) {
  if (p < 0x80) {
    out += static_cast<char>(p);
  } else if (p < 0x800) {
    out += static_cast<char>(0xC0U | (p >> 6U));
    out += static_cast<char>(0x80U | (p & 0x3FU));
  } else if (p < 0x10000) {
    out += static_cast<char>(0xE0U | (p >> 12U));
    out += static_cast<char>(0x80U | ((p >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (p & 0x3FU));
  } else {
    out += static_cast<char>(0xF0U | (p >> 18U));
    out += static_cast<char>(0x80U | ((p >> 12U) & 0x3FU));
    out += static_cast<char>(0x80U | ((p >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (p & 0x3FU));
  }
}

}  // namespace

std::string Grid::row(int y) const {
  std::string out;
  for (int x = 0; x < size_.width; ++x) {
    if (!at(x, y).tail) append_utf8(out, at(x, y).glyph);
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string Grid::text() const {
  std::string out;
  for (int y = 0; y < size_.height; ++y) out += row(y) + "\n";
  return out;
}

Canvas::Canvas(Grid& grid, Rect rect, bool ascii) : grid_(&grid), rect_(rect), ascii_(ascii) {
  const int right = std::min(rect.x + rect.width, grid.size().width);
  const int bottom = std::min(rect.y + rect.height, grid.size().height);
  rect_.x = std::max(rect.x, 0);
  rect_.y = std::max(rect.y, 0);
  rect_.width = std::max(0, right - rect_.x);
  rect_.height = std::max(0, bottom - rect_.y);
}

Canvas Canvas::part(Rect inner) const {
  const int x = std::clamp(inner.x, 0, rect_.width);
  const int y = std::clamp(inner.y, 0, rect_.height);
  const Rect cut{.x = rect_.x + x, .y = rect_.y + y, .width = std::clamp(inner.width, 0, rect_.width - x), .height = std::clamp(inner.height, 0, rect_.height - y)};
  return {*grid_, cut, ascii_};
}

void Canvas::put(int x, int y, char32_t glyph, Ink ink, bool bold) {
  if (x < 0 || y < 0 || x >= rect_.width || y >= rect_.height) return;
  grid_->at(rect_.x + x, rect_.y + y) = {.glyph = glyph, .ink = ink, .bold = bold};
}

int Canvas::text(int x, int y, std::string_view foreign, Ink ink, int most, bool bold) {
  if (y < 0 || y >= rect_.height || x < 0 || x >= rect_.width) return 0;
  const int room = most > 0 ? std::min(most, rect_.width - x) : rect_.width - x;
  const std::string safe = mlxbase::printable(foreign);
  const bool cut = static_cast<int>(mlxbase::width_of(safe)) > room;
  const int usable = cut ? room - 1 : room;
  int used = 0;
  std::string_view rest = safe;
  while (!rest.empty()) {
    const std::uint32_t point = mlxbase::take_point(rest);
    const int cells = static_cast<int>(mlxbase::cells_of(point));
    if (cells == 0) continue;  // a cell holds one glyph: marks that combine are left out
    if (used + cells > usable) break;
    const bool replace = ascii_ && point > 0x7E;
    put(x + used, y, replace ? U'?' : static_cast<char32_t>(point), ink, bold);
    if (cells == 2) {
      put(x + used + 1, y, replace ? U'?' : U' ', ink, bold);
      if (!replace) grid_->at(rect_.x + x + used + 1, rect_.y + y).tail = true;
    }
    used += cells;
  }
  if (cut && room > 0) {
    put(x + used, y, ascii_ ? U'~' : U'…', ink, bold);
    ++used;
  }
  return used;
}

int Canvas::text_right(int x, int y, std::string_view foreign, Ink ink, bool bold) {
  const int width = static_cast<int>(mlxbase::width_of(mlxbase::printable(foreign)));
  const int begin = std::max(0, x - width);
  return text(begin, y, foreign, ink, std::max(1, x - begin), bold);
}

Canvas Canvas::box(std::string_view title, std::string_view remark) const {
  Canvas whole = *this;
  const int w = rect_.width;
  const int h = rect_.height;
  if (w < 2 || h < 2) return part({.x = 0, .y = 0, .width = 0, .height = 0});
  const char32_t across = ascii_ ? U'-' : U'─';
  const char32_t down = ascii_ ? U'|' : U'│';
  for (int x = 1; x < w - 1; ++x) {
    whole.put(x, 0, across, Ink::border);
    whole.put(x, h - 1, across, Ink::border);
  }
  for (int y = 1; y < h - 1; ++y) {
    whole.put(0, y, down, Ink::border);
    whole.put(w - 1, y, down, Ink::border);
  }
  whole.put(0, 0, ascii_ ? U'+' : U'╭', Ink::border);
  whole.put(w - 1, 0, ascii_ ? U'+' : U'╮', Ink::border);
  whole.put(0, h - 1, ascii_ ? U'+' : U'╰', Ink::border);
  whole.put(w - 1, h - 1, ascii_ ? U'+' : U'╯', Ink::border);
  Canvas top = part({.x = 2, .y = 0, .width = w - 4, .height = 1});
  int used = 0;
  if (!title.empty() && top.width() > 2) {
    const std::string shown = " " + std::string(title) + " ";
    used = top.text(0, 0, shown, Ink::title, 0, true);
  }
  const int remark_width = static_cast<int>(mlxbase::width_of(mlxbase::printable(remark))) + 2;
  if (!remark.empty() && used + remark_width + 1 <= top.width()) top.text_right(top.width(), 0, " " + std::string(remark) + " ", Ink::dim);
  return part({.x = 2, .y = 1, .width = w - 4, .height = h - 2});
}

void Canvas::bar(int x, int y, int cells, double share, Ink ink) {
  if (cells <= 0 || !std::isfinite(share)) return;
  const int eighths = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * cells * 8));
  for (int i = 0; i < cells; ++i) {
    const int here = std::clamp(eighths - i * 8, 0, 8);
    if (ascii_) {
      put(x + i, y, here >= 4 ? U'#' : U'.', here >= 4 ? ink : Ink::border);
    } else if (here == 0) {
      put(x + i, y, U'·', Ink::border);
    } else {
      put(x + i, y, here == 8 ? U'█' : static_cast<char32_t>(U'█' + (8 - here)), ink);  // U+2588 is full, U+2589…U+258F are 7/8 to 1/8
    }
  }
}

void Canvas::spark(int x, int y, int cells, int rows, const std::vector<float>& values, double top, Ink ink) {
  if (cells <= 0 || rows <= 0 || !(top > 0)) return;
  const int columns = ascii_ ? cells : cells * 2;
  const int levels = rows * (ascii_ ? 8 : 4);
  const auto level = [&](int column) {  // how high the column is; 0 where there is nothing
    const auto from_end = static_cast<std::size_t>(columns - 1 - column);
    if (from_end >= values.size()) return 0;
    const double value = values[values.size() - 1 - from_end];
    if (std::isnan(value)) return 0;
    return std::clamp(static_cast<int>(std::ceil(std::clamp(value / top, 0.0, 1.0) * levels)), 1, levels);  // what is there is seen, be it zero
  };
  static constexpr char32_t kAscii[] = U" .:-=+*#@";
  static constexpr unsigned kLeft[] = {0x40, 0x04, 0x02, 0x01};   // dots 7, 3, 2, 1, from the bottom up
  static constexpr unsigned kRight[] = {0x80, 0x20, 0x10, 0x08};  // dots 8, 6, 5, 4
  for (int row = 0; row < rows; ++row) {
    const int below = (rows - 1 - row) * (ascii_ ? 8 : 4);
    for (int cell = 0; cell < cells; ++cell) {
      if (ascii_) {
        const int here = std::clamp(level(cell) - below, 0, 8);
        if (here > 0) put(x + cell, y + row, kAscii[here], ink);
        continue;
      }
      unsigned dots = 0;
      const int left = std::clamp(level(cell * 2) - below, 0, 4);
      const int right = std::clamp(level(cell * 2 + 1) - below, 0, 4);
      for (int d = 0; d < left; ++d) dots |= kLeft[d];
      for (int d = 0; d < right; ++d) dots |= kRight[d];
      if (dots != 0) put(x + cell, y + row, static_cast<char32_t>(0x2800U + dots), ink);
    }
  }
}

}  // namespace mlxdash::view
