#include "mlxbase/os/environment.h"

#include <pwd.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "mlxbase/core/path.h"

extern char** environ;

namespace mlxbase::os {

std::optional<std::string> Environment::get(std::string_view name) const {
  const auto it = variables.find(name);
  if (it == variables.end()) return std::nullopt;
  return it->second;
}

std::optional<std::string> Environment::get_nonempty(std::string_view name) const {
  auto value = get(name);
  if (value && value->empty()) value.reset();
  return value;
}

std::string Environment::expand(std::string_view text) const {
  std::string out;
  if (text == "~" || text.starts_with("~/")) {
    out = home;
    text.remove_prefix(1);
  }
  while (!text.empty()) {
    if (text[0] != '$') {
      out.push_back(text[0]);
      text.remove_prefix(1);
      continue;
    }
    std::size_t length = 0;
    std::string_view name;
    if (text.size() > 1 && text[1] == '{') {
      const auto close = text.find('}');
      if (close != std::string_view::npos) {
        name = text.substr(2, close - 2);
        length = close + 1;
      }
    } else {
      std::size_t end = 1;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) ++end;
      name = text.substr(1, end - 1);
      length = end;
    }
    const auto value = name.empty() ? std::nullopt : get(name);
    if (value) {
      out += *value;
    } else {
      length = length == 0 ? 1 : length;
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string Environment::absolute(std::string_view p) const {
  return path::normal(path::is_absolute(p) ? std::string(p) : path::join(working_directory, p));
}

std::string Environment::system(std::string_view p) const {
  while (!p.empty() && p.front() == '/') p.remove_prefix(1);
  return path::join(root, p);
}

Environment real_environment() {
  Environment e;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view pair(*entry);
    const auto equals = pair.find('=');
    if (equals != std::string_view::npos) e.variables.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
  e.uid = static_cast<std::uint32_t>(::getuid());
  if (auto home = e.get_nonempty("HOME")) {
    e.home = *home;
  } else if (const passwd* user = ::getpwuid(::getuid())) {
    e.home = user->pw_dir;
  }
  char buffer[PATH_MAX];
  e.working_directory = ::getcwd(buffer, sizeof buffer) != nullptr ? buffer : "/";
  e.home = e.absolute(e.home.empty() ? "/" : e.home);
  e.temp_directory = e.absolute(e.get_nonempty("TMPDIR").value_or("/tmp"));
  e.platform = this_platform();
  return e;
}

}  // namespace mlxbase::os
