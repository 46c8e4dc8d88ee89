#pragma once
// From samples, history and a size to cells: pure. Every face that shows text draws through here.
#include <string>

#include "mlxdash/sample/snapshot.h"
#include "mlxdash/view/grid.h"
#include "mlxdash/view/layout.h"
#include "mlxdash/view/traces.h"

namespace mlxdash::view {

/// What the person has chosen to see.
struct Choice {
  Page page = Page::overview;
  int scroll = 0;       // lines, of the page's first panel
  bool help = false;
  bool ascii = false;
  std::string message;  // in the footer, instead of the keys
};

/// The whole screen.
Grid paint(Size size, const Snapshot& snapshot, const Traces& traces, const Choice& choice);

/// One panel below the other, each as high as it wants to be: for paper and pipes.
Grid report(int width, const Snapshot& snapshot, const Traces& traces, bool ascii);

/// How far the page can be scrolled.
int most_scroll(Size size, const Snapshot& snapshot, const Choice& choice);

}  // namespace mlxdash::view
