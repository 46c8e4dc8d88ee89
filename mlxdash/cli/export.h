#pragma once
// What was kept, as text for other programs.
#include <cstdint>
#include <functional>
#include <string>

#include "mlxbase/core/result.h"
#include "mlxdash/history/history.h"

namespace mlxdash::cli {

/// Lines "time,series,mean,low,high" with a heading; time as "2026-11-27T21:24:12Z", series quoted as CSV wants. Piece by piece to `write`.
mlxbase::Status export_csv(history::History& history, std::int64_t from, std::int64_t to, const std::function<void(const std::string&)>& write);
/// One document, "mlxdash.history/1": series[] with key and points[], each [t, mean, low, high].
mlxbase::Status export_json(history::History& history, std::int64_t from, std::int64_t to, const std::function<void(const std::string&)>& write);

}  // namespace mlxdash::cli
