#pragma once
// Shell completions made from the rows of the table. packaging/completions/ holds copies; a test keeps them equal.
#include <string>
#include <string_view>

namespace mlxcache::cli {

/// `shell`: "bash", "zsh" or "fish"; anything else gives an empty text.
std::string completion_script(std::string_view shell);

}  // namespace mlxcache::cli
