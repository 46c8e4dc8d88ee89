#pragma once
// The one table from what happened to the number a shell sees. docs/guide/exit-codes.md lists the same.
#include <cstdint>
#include <span>
#include <string_view>

#include "mlxbase/core/result.h"

namespace mlxcache::cli {

enum class Exit : std::uint8_t {
  ok = 0,
  found = 1,         // the command found what it looks for (damage, a hazard), or every file was refused
  usage = 2,         // the command line makes no sense
  partly = 3,        // some of it was done; the rest is listed with reasons
  failed = 4,        // could not be done: missing, damaged, unsupported, an input or output error
  busy = 5,          // another mlxcache is changing this machine's stores
  permission = 6,    // the operating system refused
  out_of_space = 7,  // disk or quota full
  needs_answer = 8,  // a question had to be answered and nobody was there: see --yes
  cancelled = 130,   // Ctrl-C
};

struct ExitMeaning {
  Exit status;
  std::string_view meaning;
};
/// Every status with its general meaning, in order.
std::span<const ExitMeaning> exit_meanings();
std::string_view meaning_of(Exit status);

/// What an error that ends a command becomes.
Exit exit_of(mlxbase::Code code);

}  // namespace mlxcache::cli
