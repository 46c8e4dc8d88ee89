#include "mlxcache/watch/unit.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/path.h"

namespace mlxcache::watch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace path = mlxbase::path;

constexpr std::string_view kUnitName = "mlxcache-watch.service";
constexpr std::string_view kLabel = "mlxcache.watch";
// Where the adapters and we ourselves look. No token is among them.
constexpr std::string_view kVariables[] = {
    "MLXCACHE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE", "MODELSCOPE_CACHE",
    "RAMALAMA_STORE", "MODELS_PATH", "LOCALAI_MODELS_PATH", "TORCH_HOME", "KERAS_HOME", "KAGGLEHUB_CACHE", "TFHUB_CACHE_DIR", "JAN_DATA_FOLDER", "INVOKEAI_ROOT", "COMFYUI_PATH",
    "EXO_HOME",
};

bool is_plain(const std::string& word) {
  return std::none_of(word.begin(), word.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

mlxbase::Status check(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (!is_plain(word)) return fail(Code::invalid, "a control character in an option or path cannot be written into a unit");
  }
  return {};
}

/// systemd.service(5), "Command lines": quotes and backslashes in C style, % and $ doubled.
std::string systemd_word(const std::string& word, bool in_command = true) {
  std::string out;
  for (const char c : word) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '%' || (c == '$' && in_command)) out += c;
    out += c;
  }
  const bool bare = !word.empty() && word.find_first_of(" \t\"'\\;") == std::string::npos;
  return bare ? out : "\"" + out + "\"";
}

std::string xml(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> kept_variables(const mlxbase::os::Environment& environment) {
  std::map<std::string, std::string> out;
  for (const std::string_view name : kVariables) {
    if (auto value = environment.get_nonempty(name)) out.emplace(name, *value);
  }
  return out;
}

Result<std::string> systemd_unit(const std::vector<std::string>& words, const std::map<std::string, std::string>& variables) {
  TRY(check(words));
  std::string settings;
  for (const auto& [name, value] : variables) {
    TRY(check({value}));
    settings += fmt::format("Environment={}\n", systemd_word(fmt::format("{}={}", name, value), false));
  }
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + systemd_word(word);
  return fmt::format(
      "[Unit]\n"
      "Description=MLXCache: shares new model downloads\n"
      "Documentation=man:mlxcache-watch(1)\n"
      "\n"
      "[Service]\n"
      "ExecStart={}\n"
      "{}"
      "# 5: another watcher is at work. 2: the options make no sense. Neither goes away by trying again.\n"
      "RestartPreventExitStatus=2 5\n"
      "Restart=on-failure\n"
      "RestartSec=30\n"
      "# It ends between two files; a large one takes its time.\n"
      "TimeoutStopSec=120\n"
      "Nice=19\n"
      "IOSchedulingClass=idle\n"
      "NoNewPrivileges=yes\n"
      "\n"
      "[Install]\n"
      "WantedBy=default.target\n",
      line, settings);
}

Result<std::string> launchd_agent(const std::vector<std::string>& words, const std::string& log_file, const std::map<std::string, std::string>& variables) {
  TRY(check(words));
  TRY(check({log_file}));
  std::string arguments;
  for (const std::string& word : words) arguments += fmt::format("    <string>{}</string>\n", xml(word));
  std::string settings;
  for (const auto& [name, value] : variables) {
    TRY(check({value}));
    settings += fmt::format("    <key>{}</key>\n    <string>{}</string>\n", xml(name), xml(value));
  }
  if (!settings.empty()) settings = fmt::format("  <key>EnvironmentVariables</key>\n  <dict>\n{}  </dict>\n", settings);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
      "<plist version=\"1.0\">\n"
      "<dict>\n"
      "  <key>Label</key>\n"
      "  <string>{}</string>\n"
      "  <key>ProgramArguments</key>\n"
      "  <array>\n"
      "{}"
      "  </array>\n"
      "{}"
      "  <key>RunAtLoad</key>\n"
      "  <true/>\n"
      "  <key>KeepAlive</key>\n"
      "  <dict>\n"
      "    <key>SuccessfulExit</key>\n"
      "    <false/>\n"
      "  </dict>\n"
      "  <key>ThrottleInterval</key>\n"
      "  <integer>60</integer>\n"
      "  <key>ExitTimeOut</key>\n"
      "  <integer>120</integer>\n"
      "  <key>ProcessType</key>\n"
      "  <string>Background</string>\n"
      "  <key>LowPriorityIO</key>\n"
      "  <true/>\n"
      "  <key>Nice</key>\n"
      "  <integer>19</integer>\n"
      "{}"
      "</dict>\n"
      "</plist>\n",
      kLabel, arguments, settings, log_file.empty() ? std::string() : fmt::format("  <key>StandardErrorPath</key>\n  <string>{}</string>\n", xml(log_file)));
}

Result<Unit> unit_for(const mlxbase::os::Environment& environment, const std::vector<std::string>& words) {
  Unit unit;
  if (environment.platform == mlxbase::os::Platform::macos) {
    unit.path = path::join(environment.home, "Library/LaunchAgents", fmt::format("{}.plist", kLabel));
    unit.text = TRY(launchd_agent(words, path::join(environment.home, "Library/Logs/mlxcache-watch.log"), kept_variables(environment)));
    unit.enable = {fmt::format("launchctl bootstrap gui/{} '{}'", environment.uid, unit.path)};
    unit.disable = {fmt::format("launchctl bootout gui/{}/{}", environment.uid, kLabel)};
    return unit;
  }
  std::string config = path::join(environment.home, ".config");
  if (const auto moved = environment.get_nonempty("XDG_CONFIG_HOME"); moved && path::is_absolute(*moved)) config = path::normal(*moved);
  unit.path = path::join(config, "systemd/user", kUnitName);
  unit.text = TRY(systemd_unit(words, kept_variables(environment)));
  unit.enable = {"systemctl --user daemon-reload", fmt::format("systemctl --user enable --now {}", kUnitName)};
  unit.disable = {fmt::format("systemctl --user disable --now {}", kUnitName), "systemctl --user daemon-reload"};
  return unit;
}

}  // namespace mlxcache::watch
