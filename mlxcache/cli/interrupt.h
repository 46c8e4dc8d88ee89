#pragma once
// Ctrl-C: the first asks the work to stop at the next safe point, the second ends the process at once.
#include "mlxbase/core/progress.h"

namespace mlxcache::cli {

/// Wires SIGINT and SIGTERM to `cancel`, which must outlive the process's work, and ignores SIGPIPE (a reader that goes
/// away must not end a change half-way). The journal makes ending at any moment safe; the first request is the polite way.
void cancel_on_interrupt(mlxbase::Cancel& cancel);

}  // namespace mlxcache::cli
