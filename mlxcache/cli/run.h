#pragma once
// One run of the program: words in, an exit status out. main() wires the real world to it; the demo and tests others.
#include <span>
#include <string>

#include "mlxcache/cli/session.h"

namespace mlxcache::cli {

/// `words` without the program's name.
Exit run(World& world, std::span<const std::string> words);

}  // namespace mlxcache::cli
