#pragma once
// The terminal face: draws once a look, and at once when a key, the mouse or a new size asks for it.
#include <functional>

#include "mlxbase/core/result.h"
#include "mlxdash/collect/board.h"
#include "mlxdash/term/screen.h"

namespace mlxdash::term {

struct LiveOptions {
  std::uint32_t interval_ms = 1000;
  bool ascii = false;
  Depth depth = Depth::full;
  std::function<void(const Snapshot&)> on_sample;  // each look, for history
};

/// Until the person quits. Errors: unsupported (no terminal).
mlxbase::Status run_live(collect::Board& board, const LiveOptions& options);

}  // namespace mlxdash::term
