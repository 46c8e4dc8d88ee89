#pragma once
// What a systemd unit and its drop-ins tell a service: on Linux the only place that says where a system-wide Ollama keeps its
// models. Grammar: systemd.exec(5) and systemd.syntax(7).
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mlxcache::stores {

struct ServiceSettings {
  std::map<std::string, std::string, std::less<>> environment;
  std::vector<std::string> environment_files;  // absolute paths, without the "-" that makes them optional
  std::string user;

  /// Applies one unit file or drop-in; later ones win, an empty `Environment=` forgets the earlier. Only [Service] counts;
  /// what makes no sense is left out. Specifiers other than %% stay as written.
  void apply(std::string_view unit);
  /// Applies an environment file: NAME=value lines, optionally quoted.
  void apply_environment_file(std::string_view text);
};

}  // namespace mlxcache::stores
