#pragma once
// Words of a command line to a command and its arguments, after the rows of the table. The only room of CLI11.
#include <span>
#include <string>

#include "mlxcache/cli/command.h"

namespace mlxcache::cli {

/// What was asked for.
struct Invocation {
  const Command* command = nullptr;  // null: none was named
  Arguments arguments;               // of the command
  Arguments globals;                 // --json and so on, wherever they stood
};

/// `words` without the program's name. Errors: invalid, with a message that names the word, the reason and the way out.
/// On an error `globals` of `invocation` still hold what could be understood (so that --json is honoured).
mlxbase::Status parse(std::span<const std::string> words, Invocation& invocation);

}  // namespace mlxcache::cli
