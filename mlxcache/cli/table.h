#pragma once
// Aligned columns that fit the terminal.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxcache/cli/style.h"

namespace mlxcache::cli {

enum class Align : std::uint8_t { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
  bool shrinks = false;  // gives way (with "…") when the line is too long for the terminal
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// Cells are printable text without escape sequences. Fewer cells than columns leave the rest empty.
  void row(std::vector<std::string> cells) { lines_.push_back({std::move(cells), Line::Kind::row}); }
  /// A sum: set off by a rule.
  void total(std::vector<std::string> cells) { lines_.push_back({std::move(cells), Line::Kind::total}); }
  /// A line of its own below the last row, indented and quiet. It is cut in the middle where it does not fit.
  void below(std::string text) { lines_.push_back({{std::move(text)}, Line::Kind::below}); }
  /// The same for something that wants to be noticed.
  void alert(std::string text) { lines_.push_back({{std::move(text)}, Line::Kind::alert}); }
  bool empty() const { return lines_.empty(); }

  /// `columns`: cells a line may take; 0: no limit. Lines end without trailing spaces.
  std::string render(int columns, const Style& style) const;

 private:
  struct Line {
    enum class Kind : std::uint8_t { row, total, below, alert };
    std::vector<std::string> cells;
    Kind kind;
  };
  std::vector<Column> columns_;
  std::vector<Line> lines_;
};

}  // namespace mlxcache::cli
