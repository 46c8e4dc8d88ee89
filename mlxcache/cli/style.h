#pragma once
// Colours and weights of text, and how wide it is on a terminal.
#include <cstddef>
#include <string>
#include <string_view>

namespace mlxcache::cli {

/// Wraps text in escape sequences, or leaves it alone.
class Style {
 public:
  explicit Style(bool on = false) : on_(on) {}
  bool on() const { return on_; }
  std::string bold(std::string_view text) const { return wrap("1", text); }
  std::string dim(std::string_view text) const { return wrap("2", text); }
  std::string red(std::string_view text) const { return wrap("31", text); }
  std::string green(std::string_view text) const { return wrap("32", text); }
  std::string yellow(std::string_view text) const { return wrap("33", text); }
  std::string cyan(std::string_view text) const { return wrap("36", text); }

 private:
  std::string wrap(std::string_view code, std::string_view text) const;
  bool on_;
};

/// Cells that well-formed, printable() text takes; escape sequences of Style count nothing.
std::size_t display_width(std::string_view text);
/// `text` (without escape sequences) in at most `width` cells: the middle gives way to "…", since both ends of a path tell most.
std::string elide_middle(std::string_view text, std::size_t width);
/// Breaks `text` at spaces into lines of at most `width` cells (0: no limit), each begun with `indent`.
std::string wrap_text(std::string_view text, std::size_t width, std::string_view indent);

}  // namespace mlxcache::cli
