#pragma once
// As much of a shell as a settings script needs: which value a variable gets, and where a command line's words end.
#include <string>
#include <string_view>
#include <vector>

namespace mlxcache::stores {

/// Splits at blanks, honouring quotes and backslashes. Nothing is expanded.
std::vector<std::string> shell_words(std::string_view text);

/// The value that the script's last line `[export ]NAME=value` gives, without its outer quotes; empty if there is none. Comments do not count.
std::string assigned_in_script(std::string_view script, std::string_view name);

}  // namespace mlxcache::stores
