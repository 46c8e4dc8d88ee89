#pragma once
// What a program finds around it: variables, home, platform. Passed in, so that tests (and --home) give another one.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxbase::os {

enum class Platform : std::uint8_t { linux_os, macos };

struct Environment {
  std::map<std::string, std::string, std::less<>> variables;
  std::string home;               // absolute, without trailing slash
  std::string working_directory;  // absolute
  std::string temp_directory;     // absolute
  std::string etc = "/etc";       // where system configuration lies
  std::string root = "/";         // prefix of fixed system paths (/usr/share/ollama, /var/lib/ramalama): tests move it
  std::uint32_t uid = 0;
  Platform platform = Platform::linux_os;

  /// The variable, set or not; an empty value is a value.
  std::optional<std::string> get(std::string_view name) const;
  /// The variable if set and not empty.
  std::optional<std::string> get_nonempty(std::string_view name) const;
  /// `~` and `~/…` at the start become home; `$NAME` and `${NAME}` their values (left as they are if unset), as Python's
  /// expandvars(expanduser()) does. `~user` is left alone.
  std::string expand(std::string_view text) const;
  /// An absolute, lexically normal path: expanded values that are relative are taken from the working directory.
  std::string absolute(std::string_view path) const;
  /// A fixed system path below `root`.
  std::string system(std::string_view path) const;
};

/// The platform this program was built for.
Platform this_platform();

/// Of this process.
Environment real_environment();

}  // namespace mlxbase::os
