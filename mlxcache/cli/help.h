#pragma once
// Help made from the rows of the table.
#include <string>

#include "mlxcache/cli/command.h"
#include "mlxcache/cli/style.h"

namespace mlxcache::cli {

/// What `mlxcache --help` prints. `columns`: width of the terminal; 0: 80.
std::string general_help(int columns, const Style& style);
std::string help_of(const Command& command, int columns, const Style& style);
/// "mlxcache undo [TXN] [options]".
std::string usage_of(const Command& command);
/// "--root DIR".
std::string signature_of(const Option& option);

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace mlxcache::cli
