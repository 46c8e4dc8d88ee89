#pragma once
// Manual pages made from the rows of the table. packaging/man/ holds copies; a test keeps them equal.
#include <string>

#include "mlxcache/cli/command.h"

namespace mlxcache::cli {

/// mlxcache(1).
std::string man_page();
/// mlxcache-COMMAND(1).
std::string man_page_of(const Command& command);

}  // namespace mlxcache::cli
