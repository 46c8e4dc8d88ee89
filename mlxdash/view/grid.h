#pragma once
// Cells, and a window onto them that nothing can be drawn outside of.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mlxdash::view {

struct Size {
  int width = 0, height = 0;
  friend bool operator==(const Size&, const Size&) = default;
};
struct Rect {
  int x = 0, y = 0, width = 0, height = 0;
  bool contains(int px, int py) const { return px >= x && px < x + width && py >= y && py < y + height; }
  bool overlaps(const Rect& o) const { return x < o.x + o.width && o.x < x + width && y < o.y + o.height && o.y < y + height; }
  friend bool operator==(const Rect&, const Rect&) = default;
};

/// What a cell means; a face turns it into the colours that it has.
enum class Ink : std::uint8_t { plain, dim, title, good, warn, bad, accent, border, chart, selected };

struct Cell {
  char32_t glyph = U' ';
  Ink ink = Ink::plain;
  bool bold = false;
  bool tail = false;  // the second half of a wide glyph to its left
  friend bool operator==(const Cell&, const Cell&) = default;
};

class Grid {
 public:
  explicit Grid(Size size = {}) : size_(size), cells_(static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height)) {}
  Size size() const { return size_; }
  const Cell& at(int x, int y) const { return cells_[index(x, y)]; }
  Cell& at(int x, int y) { return cells_[index(x, y)]; }
  /// A row as UTF-8, without blanks at its end.
  std::string row(int y) const;
  /// All rows, each with a line break.
  std::string text() const;

 private:
  std::size_t index(int x, int y) const { return static_cast<std::size_t>(y) * static_cast<std::size_t>(size_.width) + static_cast<std::size_t>(x); }
  Size size_;
  std::vector<Cell> cells_;
};

/// A part of a grid. Coordinates count from its corner; what would lie outside is cut off.
class Canvas {
 public:
  Canvas(Grid& grid, Rect rect, bool ascii);
  int width() const { return rect_.width; }
  int height() const { return rect_.height; }
  bool ascii() const { return ascii_; }
  Canvas part(Rect inner) const;

  void put(int x, int y, char32_t glyph, Ink ink = Ink::plain, bool bold = false);
  /// Foreign text is made printable; at most `most` cells (0: to the edge), a text cut short ends with "…". Gives the cells used.
  int text(int x, int y, std::string_view text, Ink ink = Ink::plain, int most = 0, bool bold = false);
  /// Ends at column `x` (not included). Gives the cells used.
  int text_right(int x, int y, std::string_view text, Ink ink = Ink::plain, bool bold = false);
  /// A border with a title and, on its right, a remark.
  Canvas box(std::string_view title, std::string_view remark = {}) const;
  /// A bar of `cells`, filled to `share` (0..1) by eighths.
  void bar(int x, int y, int cells, double share, Ink ink);
  /// A line of values (NaN: nothing there), newest at the right, two a cell, scaled to `top` (> 0), over `rows` rows from `y` down.
  void spark(int x, int y, int cells, int rows, const std::vector<float>& values, double top, Ink ink);

 private:
  Grid* grid_;
  Rect rect_;
  bool ascii_;
};

}  // namespace mlxdash::view
