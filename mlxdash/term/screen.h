#pragma once
// The terminal as a grid of cells: only what changed is written, in one go and between the marks of a synchronised update. The terminal is as it was
// before when this object ends, when the program is stopped, and when it crashes.
#include <string>

#include "mlxbase/core/result.h"
#include "mlxdash/term/colour.h"
#include "mlxdash/view/grid.h"

namespace mlxdash::term {

/// The bytes that bring a terminal that shows `before` to show `after`; with another size everything is drawn anew. Pure.
std::string difference(const view::Grid& before, const view::Grid& after, Depth depth);

class Screen {
 public:
  /// Takes over the terminal: alternate screen, no cursor, keys as they come, mouse. One at a time. Errors: unsupported (no terminal), io.
  static mlxbase::Result<Screen> open(int in, int out, Depth depth);
  Screen(Screen&& other) noexcept;
  Screen& operator=(Screen&&) = delete;
  ~Screen();

  view::Size size() const;
  void show(const view::Grid& grid);
  /// Everything is drawn anew by the next show().
  void forget() { shown_ = view::Grid(); }
  /// Gives the terminal back for a while, and takes it again.
  void leave();
  void enter();

 private:
  Screen(int in, int out, Depth depth) : in_(in), out_(out), depth_(depth) {}
  void write(const std::string& bytes) const;
  int in_, out_;
  Depth depth_;
  bool owner_ = true;
  view::Grid shown_;
};

}  // namespace mlxdash::term
