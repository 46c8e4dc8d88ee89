#pragma once
// What starts the watcher at login: a systemd user unit, a launchd agent.
#include <map>
#include <string>
#include <vector>

#include "mlxbase/os/environment.h"

namespace mlxcache::watch {

struct Unit {
  std::string path;     // where it goes
  std::string text;     // the whole file
  std::vector<std::string> enable;   // commands that a person runs to start it now and at every login
  std::vector<std::string> disable;  // and to stop it
};

/// Variables of `environment` that say where stores are (never a token): a service manager does not pass a shell's variables on.
std::map<std::string, std::string> kept_variables(const mlxbase::os::Environment& environment);

/// The unit of this platform for `words` (program's absolute path, "watch", options). A word with a control character cannot be written: `invalid`.
mlxbase::Result<Unit> unit_for(const mlxbase::os::Environment& environment, const std::vector<std::string>& words);

/// The two files' texts, whatever the platform; `log_file` may be empty.
mlxbase::Result<std::string> systemd_unit(const std::vector<std::string>& words, const std::map<std::string, std::string>& variables = {});
mlxbase::Result<std::string> launchd_agent(const std::vector<std::string>& words, const std::string& log_file, const std::map<std::string, std::string>& variables = {});

}  // namespace mlxcache::watch
