// Where Ollama servers keep their models: this user's, a system service's, the desktop app's, and those that other apps bundle.
#include <algorithm>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxbase/sql/database.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/systemd_unit.h"

namespace mlxcache::stores::ollama {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::Follow;
using mlxbase::os::Platform;

constexpr std::uint64_t kConfigLimit = std::uint64_t{1} << 20U;
constexpr std::string_view kInHome = ".ollama/models";

std::optional<std::string> config_text(const Context& context, const std::string& file) {
  auto text = mlxbase::os::read_small_file(context.fs, file, kConfigLimit, Follow::yes);
  if (!text) return std::nullopt;
  return std::move(*text);
}

/// envconfig.Var: spaces around are cut, then quotes; nothing is expanded.
std::string trimmed_variable(std::string_view value) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  constexpr std::string_view kQuotes = "\"'";
  for (const std::string_view cut : {kSpace, kQuotes}) {
    const auto first = value.find_first_not_of(cut);
    if (first == std::string_view::npos) return {};
    value = value.substr(first, value.find_last_not_of(cut) - first + 1);
  }
  return std::string(value);
}

bool is_folder(const Context& context, const std::string& dir) {
  const auto stat = context.fs.stat(dir, Follow::yes);
  return stat && stat->kind == mlxbase::os::FileKind::directory;
}
/// For folders that only may be an Ollama store.
bool holds_store(const Context& context, const std::string& dir) {
  return is_folder(context, path::join(dir, "blobs")) && is_folder(context, path::join(dir, "manifests"));
}

/// The desktop app starts its server with the folder set in its window, if that exists.
std::optional<std::string> models_of_app(const std::string& database) {
  auto db = mlxbase::sql::Database::open_read_only(database);
  if (!db) return std::nullopt;
  auto query = db->prepare("SELECT models FROM settings LIMIT 1");
  if (!query) return std::nullopt;
  const auto row = query->step();
  if (!row || !*row || query->is_null(0)) return std::nullopt;
  std::string models(query->text(0));
  if (!path::is_absolute(models)) return std::nullopt;
  return models;
}

std::optional<std::string> home_of_user(const Context& context, std::string_view user) {
  const auto text = config_text(context, path::join(context.environment.etc, "passwd"));
  if (!text || user.empty()) return std::nullopt;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (!line.starts_with(user) || !line.substr(user.size()).starts_with(':')) continue;
    for (int field = 0; field < 5 && !line.empty(); ++field) {
      const auto colon = line.find(':');
      line = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
    }
    return std::string(line.substr(0, line.find(':')));
  }
  return std::nullopt;
}

/// ollama.service as systemd reads it: the first unit file found, then every drop-in by name.
std::optional<ServiceSettings> service(const Context& context, const std::vector<std::string>& folders) {
  ServiceSettings settings;
  bool found = false;
  for (const std::string& folder : folders) {
    const auto text = config_text(context, path::join(folder, "ollama.service"));
    if (!text) continue;
    settings.apply(*text);
    found = true;
    break;
  }
  std::vector<std::pair<std::string, std::string>> drop_ins;  // name, path
  for (const std::string& folder : folders) {
    const std::string dir = path::join(folder, "ollama.service.d");
    const auto names = context.fs.list(dir);
    if (!names) continue;
    for (const auto& entry : *names) {
      if (!entry.name.ends_with(".conf")) continue;
      // An earlier folder's drop-in hides a later one's of the same name.
      const auto same = [&](const auto& known) { return known.first == entry.name; };
      if (std::none_of(drop_ins.begin(), drop_ins.end(), same)) drop_ins.emplace_back(entry.name, path::join(dir, entry.name));
    }
  }
  std::sort(drop_ins.begin(), drop_ins.end());
  for (const auto& drop_in : drop_ins) {
    if (const auto text = config_text(context, drop_in.second)) {
      settings.apply(*text);
      found = true;
    }
  }
  if (!found) return std::nullopt;
  for (const std::string& file : std::vector<std::string>(settings.environment_files)) {
    if (const auto text = config_text(context, file)) settings.apply_environment_file(*text);
  }
  return settings;
}

/// The text of <string> after <key>name</key> in a launchd property list (XML form).
std::optional<std::string> plist_string(std::string_view plist, std::string_view name) {
  const auto key = plist.find("<key>" + std::string(name) + "</key>");
  if (key == std::string_view::npos) return std::nullopt;
  plist.remove_prefix(plist.find("</key>", key) + 6);
  const auto first = plist.find_first_not_of(" \t\r\n");
  constexpr std::string_view kOpen = "<string>";
  if (first == std::string_view::npos || !plist.substr(first).starts_with(kOpen)) return std::nullopt;
  plist.remove_prefix(first + kOpen.size());
  std::string text(plist.substr(0, plist.find('<')));
  constexpr std::pair<std::string_view, std::string_view> kEntities[] = {{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&amp;", "&"}};
  for (const auto& [entity, meaning] : kEntities) {
    for (auto at = text.find(entity); at != std::string::npos; at = text.find(entity, at + meaning.size())) text.replace(at, entity.size(), meaning);
  }
  return text;
}

void add_launchd(const Context& context, std::vector<Root>& roots) {
  for (const std::string& dir : {path::join(context.environment.home, "Library/LaunchAgents"), context.environment.system("/Library/LaunchAgents"),
                                 context.environment.system("/Library/LaunchDaemons")}) {
    auto names = context.fs.list(dir);
    if (!names) continue;
    std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : *names) {
      if (!entry.name.contains("ollama") || !entry.name.ends_with(".plist")) continue;
      const auto text = config_text(context, path::join(dir, entry.name));
      if (!text) continue;
      if (const auto models = plist_string(*text, "OLLAMA_MODELS")) add_root(context, roots, StoreKind::ollama, trimmed_variable(*models), entry.name);
    }
  }
}

void add_systemd(const Context& context, std::vector<Root>& roots) {
  const auto& env = context.environment;
  const std::vector<std::string> system = {path::join(env.etc, "systemd/system"), env.system("/run/systemd/system"),
                                           env.system("/usr/local/lib/systemd/system"), env.system("/usr/lib/systemd/system"),
                                           env.system("/lib/systemd/system")};
  const std::vector<std::string> user = {path::join(xdg_config(env), "systemd/user"), path::join(xdg_data(env), "systemd/user")};
  for (const auto* folders : {&user, &system}) {
    const auto settings = service(context, *folders);
    if (!settings) continue;
    if (const auto it = settings->environment.find("OLLAMA_MODELS"); it != settings->environment.end()) {
      add_root(context, roots, StoreKind::ollama, trimmed_variable(it->second), "ollama.service");
    }
    std::optional<std::string> home;
    if (const auto it = settings->environment.find("HOME"); it != settings->environment.end()) home = it->second;
    if (!home && folders == &system) home = home_of_user(context, settings->user);
    if (home && path::is_absolute(*home)) add_root(context, roots, StoreKind::ollama, path::join(*home, kInHome), "ollama.service");
  }
}

void add_bundled(const Context& context, std::vector<Root>& roots, const std::string& dir, std::string_view origin) {
  if (holds_store(context, dir)) add_root(context, roots, StoreKind::ollama, dir, origin);
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& env = context.environment;
  const bool macos = env.platform == Platform::macos;
  const std::string app_data = macos ? path::join(env.home, "Library/Application Support") : xdg_config(env);
  std::vector<Root> roots;

  if (const auto value = env.get("OLLAMA_MODELS")) {
    const std::string models = trimmed_variable(*value);
    if (!models.empty()) add_root(context, roots, StoreKind::ollama, models, "OLLAMA_MODELS");
  }
  const std::string database = macos ? path::join(app_data, "Ollama/db.sqlite") : path::join(env.home, ".ollama/db.sqlite");
  if (const auto models = models_of_app(database)) add_root(context, roots, StoreKind::ollama, *models, "Ollama app settings");
  add_root(context, roots, StoreKind::ollama, path::join(env.home, kInHome), "default");

  if (macos) {
    add_launchd(context, roots);
  } else {
    add_systemd(context, roots);
    add_root(context, roots, StoreKind::ollama, env.system("/usr/share/ollama/.ollama/models"), "Linux service");
    add_root(context, roots, StoreKind::ollama, env.system("/var/lib/ollama/.ollama/models"), "Linux service");
    add_bundled(context, roots, env.system("/var/lib/ollama"), "Linux service");
    add_root(context, roots, StoreKind::ollama, env.system("/var/snap/ollama/common/models"), "snap ollama");
    for (const RedirectedHome& home : redirected_homes(context)) add_bundled(context, roots, path::join(home.path, kInHome), home.origin);
  }

  // Apps that carry an Ollama server of their own: only folders that hold a store.
  add_bundled(context, roots, path::join(app_data, "Msty/models"), "Msty");
  add_bundled(context, roots, path::join(app_data, "MstyStudio/models"), "Msty Studio");
  std::vector<std::string> storages;
  if (const auto storage = env.get_nonempty("STORAGE_DIR")) storages.push_back(env.absolute(*storage));
  storages.push_back(path::join(app_data, "anythingllm-desktop/storage"));
  for (const std::string& storage : storages) {
    add_bundled(context, roots, path::join(storage, "models"), "AnythingLLM");
    add_bundled(context, roots, path::join(storage, "models/ollama"), "AnythingLLM");
  }
  return roots;
}

std::optional<Root> default_root(const Context& context) {
  const auto& env = context.environment;
  const std::string set = trimmed_variable(env.get("OLLAMA_MODELS").value_or(""));
  if (!set.empty()) return Root{StoreKind::ollama, path::normal(env.absolute(set)), "OLLAMA_MODELS"};
  return Root{StoreKind::ollama, path::join(env.home, kInHome), "default"};
}

}  // namespace mlxcache::stores::ollama
