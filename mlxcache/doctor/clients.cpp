#include "mlxcache/doctor/clients.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"

namespace mlxcache::doctor {
namespace {

namespace os = mlxbase::os;
namespace path = mlxbase::path;
using stores::Context;

constexpr std::size_t kMostNames = 20'000;   // of one folder: a site-packages has some hundreds
constexpr std::size_t kMostHomeFolders = 400;  // first-level folders of home in which a .venv is looked for
constexpr std::uint64_t kMostStatusBytes = std::uint64_t{64} << 20U;  // dpkg's status file: some 5 MB on a full desktop

/// Folder names below `dir`, sorted; empty if it cannot be read.
std::vector<std::string> folders(const Context& context, const std::string& dir, std::size_t most = kMostNames) {
  std::vector<std::string> names;
  const auto entries = context.fs.list(dir);
  if (!entries) return names;
  for (const os::DirEntry& e : *entries) {
    if (e.kind == os::FileKind::regular) continue;
    names.push_back(e.name);
    if (names.size() == most) break;
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_dir(const Context& context, const std::string& p) {
  const auto stat = context.fs.stat(p, os::Follow::yes);
  return stat && stat->kind == os::FileKind::directory;
}

/// Collects package folders, each real folder once.
class Places {
 public:
  explicit Places(const Context& context) : context_(context) {}

  /// A prefix of Python: lib/python3.x/{site,dist}-packages below it.
  void prefix(const std::string& prefix) {
    for (const char* lib : {"lib", "lib64"}) {
      const std::string base = path::join(prefix, lib);
      for (const std::string& name : folders(context_, base)) {
        if (!name.starts_with("python3") && name != "pypy3") continue;
        packages(path::join(base, name, "site-packages"));
        packages(path::join(base, name, "dist-packages"));
      }
    }
  }
  /// Every folder below `dir` is a prefix.
  void prefixes(const std::string& dir) {
    for (const std::string& name : folders(context_, dir)) prefix(path::join(dir, name));
  }
  void packages(const std::string& dir) {
    const auto stat = context_.fs.stat(dir, os::Follow::yes);
    if (stat && stat->kind == os::FileKind::directory && seen_.insert(stat->id).second) found_.push_back(dir);
  }
  std::vector<std::string> take() { return std::move(found_); }

 private:
  const Context& context_;
  std::set<os::FileId> seen_;
  std::vector<std::string> found_;
};

// Which package, and what its versions before `safe_from` do. Sources: docs/design/stores.md.
struct PackageRule {
  std::string_view dist;  // as in "<dist>-1.2.3.dist-info"
  std::string_view safe_from;
  std::string_view hazard;
};
constexpr PackageRule kPackages[] = {
    {"huggingface_hub", "2.0",
     "before 2.0 it deletes the file behind a symlinked blob when one of several revisions is removed; symlinks in this cache are unsafe"},
    {"mlx_lm", "", ""},
    {"transformers", "", ""},
    {"safetensors", "", ""},
    {"onnx", "", ""},
};

void packages_in(const Context& context, const std::string& dir, std::vector<Client>& clients) {
  for (const std::string& name : folders(context, dir)) {
    if (!name.ends_with(".dist-info")) continue;
    const std::string_view bare(name.data(), name.size() - std::string_view(".dist-info").size());
    const auto dash = bare.rfind('-');
    if (dash == std::string_view::npos) continue;
    for (const PackageRule& rule : kPackages) {
      if (bare.substr(0, dash) != rule.dist) continue;
      const std::string_view version = bare.substr(dash + 1);
      const bool unsafe = !rule.safe_from.empty() && is_before(version, rule.safe_from);
      clients.push_back({std::string(rule.dist), std::string(version), dir, unsafe ? std::string(rule.hazard) : std::string()});
    }
  }
}

constexpr std::string_view kJanSafeFrom = "0.5.15";
constexpr std::string_view kJanHazard = "before 0.5.15 removing a model deletes the original of a symlinked or imported file; update Jan";

void add_jan(std::vector<Client>& clients, std::string version, const std::string& where) {
  const bool unsafe = is_before(version, kJanSafeFrom);
  clients.push_back({"Jan", std::move(version), where, unsafe ? std::string(kJanHazard) : std::string()});
}

/// "Jan_0.5.14_amd64.AppImage", "jan-linux-x86_64-0.5.14.AppImage" in a folder where people keep such files.
void jan_images(const Context& context, const std::string& dir, std::vector<Client>& clients) {
  const auto entries = context.fs.list(dir);
  if (!entries || entries->size() > kMostNames) return;
  std::vector<std::string> names;
  for (const os::DirEntry& e : *entries) names.push_back(e.name);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (!(name.starts_with("Jan") || name.starts_with("jan")) || !name.ends_with(".AppImage")) continue;
    // The version is the first part that has two dots in digits.
    std::string part;
    for (const char c : name + "_") {
      const bool of_version = (c >= '0' && c <= '9') || c == '.';
      if (of_version) {
        part += c;
        continue;
      }
      while (!part.empty() && part.back() == '.') part.pop_back();
      if (std::count(part.begin(), part.end(), '.') >= 2) {
        add_jan(clients, part, path::join(dir, name));
        break;
      }
      part.clear();
    }
  }
}

/// The text between `<key>CFBundleShortVersionString</key> <string>` and `</string>` of an XML property list.
std::optional<std::string> bundle_version(const Context& context, const std::string& plist) {
  const auto text = os::read_small_file(context.fs, plist, std::uint64_t{1} << 20U);
  if (!text) return std::nullopt;
  auto at = text->find("<key>CFBundleShortVersionString</key>");
  if (at == std::string::npos) return std::nullopt;
  at = text->find("<string>", at);
  if (at == std::string::npos) return std::nullopt;
  at += std::string_view("<string>").size();
  const auto end = text->find("</string>", at);
  if (end == std::string::npos || end - at > 64) return std::nullopt;
  return text->substr(at, end - at);
}

void jan_of_dpkg(const Context& context, std::vector<Client>& clients) {
  const std::string status = context.environment.system("/var/lib/dpkg/status");
  const auto text = os::read_small_file(context.fs, status, kMostStatusBytes);
  if (!text) return;
  for (std::size_t at = text->starts_with("Package: jan\n") ? 0 : text->find("\nPackage: jan\n"); at != std::string::npos;) {
    const auto end = text->find("\n\n", at + 1);
    const std::string_view paragraph = std::string_view(*text).substr(at, end == std::string::npos ? end : end - at);
    const auto version = paragraph.find("\nVersion: ");
    if (version == std::string_view::npos || paragraph.find("\nStatus: install ok installed") == std::string_view::npos) return;
    const auto from = version + std::string_view("\nVersion: ").size();
    const auto line = paragraph.find('\n', from);
    add_jan(clients, std::string(paragraph.substr(from, line == std::string_view::npos ? line : line - from)), status);
    return;
  }
}

// 2026-03-01: builds from then on move the flat cache's files into the Hugging Face layout (docs/design/stores.md).
constexpr std::int64_t kFlatCacheMoves = 1'772'323'200'000'000'000;

/// Homebrew keeps each version of a program in a folder of its own.
void homebrew(const Context& context, std::vector<Client>& clients) {
  for (const char* cellar : {"/opt/homebrew/Cellar", "/usr/local/Cellar", "/home/linuxbrew/.linuxbrew/Cellar"}) {
    for (const char* program : {"llama.cpp", "ollama"}) {
      const std::string dir = path::join(context.environment.system(cellar), program);
      for (const std::string& version : folders(context, dir)) {
        std::string hazard;
        const auto installed = context.fs.stat(path::join(dir, version));
        if (program == std::string_view("llama.cpp") && installed && installed->mtime_ns < kFlatCacheMoves) {
          hazard = "installed before March 2026; a newer build moves the files of its flat cache when it starts, and relative symlinks there would break";
        }
        clients.push_back({program, version, path::join(dir, version), std::move(hazard)});
      }
    }
  }
}

/// Programs that tidy links which they did not make.
void other_tidiers(const Context& context, std::vector<Client>& clients) {
  const std::string& home = context.environment.home;
  if (context.fs.stat(path::join(home, "go/bin/gollama"), os::Follow::yes)) {
    clients.push_back({"gollama", "", path::join(home, "go/bin/gollama"), "its clean-up removes symlinks in LM Studio's folder that it did not make"});
  }
  for (const char* place : {".local/share/StabilityMatrix", ".config/StabilityMatrix", "Library/Application Support/StabilityMatrix"}) {
    const std::string dir = path::join(home, place);
    if (is_dir(context, dir)) {
      clients.push_back({"StabilityMatrix", "", dir, "it moves and deletes files when a managed folder holds links into its shared folder"});
    }
  }
}

}  // namespace

std::vector<unsigned> version_numbers(std::string_view version) {
  std::vector<unsigned> numbers;
  std::size_t i = 0;
  while (i < version.size() && version[i] >= '0' && version[i] <= '9') {
    unsigned n = 0;
    for (; i < version.size() && version[i] >= '0' && version[i] <= '9'; ++i) n = n > 100'000'000 ? n : n * 10 + static_cast<unsigned>(version[i] - '0');
    numbers.push_back(n);
    if (i >= version.size() || version[i] != '.') break;
    ++i;
  }
  return numbers;
}

bool is_before(std::string_view version, std::string_view limit) {
  auto a = version_numbers(version);
  auto b = version_numbers(limit);
  if (a.empty()) return false;
  const std::size_t n = std::max(a.size(), b.size());
  a.resize(n);
  b.resize(n);
  if (a != b) return a < b;
  // "2.0.0rc1" comes before "2.0".
  return version.find("rc") != std::string_view::npos || version.find(".dev") != std::string_view::npos || version.find('a') != std::string_view::npos ||
         version.find('b') != std::string_view::npos;
}

std::vector<std::string> site_packages(const Context& context) {
  const os::Environment& e = context.environment;
  Places places(context);
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"}) {
    if (const auto value = e.get_nonempty(variable)) places.prefix(e.absolute(*value));
  }
  for (const char* name : {".venv", "venv"}) places.prefix(path::join(e.working_directory, name));
  // Tools for tools.
  const std::string data = e.get_nonempty("XDG_DATA_HOME").value_or(path::join(e.home, ".local/share"));
  places.prefixes(e.get_nonempty("PIPX_HOME") ? path::join(e.absolute(*e.get_nonempty("PIPX_HOME")), "venvs") : path::join(data, "pipx/venvs"));
  places.prefixes(path::join(e.home, ".local/pipx/venvs"));
  places.prefixes(e.get_nonempty("UV_TOOL_DIR") ? e.absolute(*e.get_nonempty("UV_TOOL_DIR")) : path::join(data, "uv/tools"));
  // Conda and its kin.
  for (const char* base : {"miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", ".conda", "opt/anaconda3", "opt/miniconda3"}) {
    places.prefix(path::join(e.home, base));
    places.prefixes(path::join(e.home, base, "envs"));
  }
  for (const char* base : {"/opt/conda", "/opt/miniconda3", "/opt/anaconda3", "/opt/homebrew/Caskroom/miniconda/base", "/opt/homebrew/Caskroom/miniforge/base"}) {
    places.prefix(e.system(base));
    places.prefixes(path::join(e.system(base), "envs"));
  }
  places.prefixes(path::join(e.home, ".pyenv/versions"));
  places.prefixes(path::join(e.home, ".virtualenvs"));
  // The user's own and the system's.
  places.prefix(path::join(e.home, ".local"));
  for (const std::string& version : folders(context, path::join(e.home, "Library/Python"))) {
    places.packages(path::join(e.home, "Library/Python", version, "lib/python/site-packages"));
  }
  for (const char* prefix : {"/usr", "/usr/local", "/opt/homebrew"}) places.prefix(e.system(prefix));
  places.packages(e.system("/usr/lib/python3/dist-packages"));
  // Homebrew formulas with a Python of their own (hf, mlx-lm).
  for (const char* cellar : {"/opt/homebrew/Cellar", "/usr/local/Cellar", "/home/linuxbrew/.linuxbrew/Cellar"}) {
    for (const char* formula : {"hf", "huggingface-cli", "mlx-lm"}) {
      const std::string dir = path::join(e.system(cellar), formula);
      for (const std::string& version : folders(context, dir)) places.prefix(path::join(dir, version, "libexec"));
    }
  }
  // Projects one level below home: where people unpack ComfyUI, text-generation-webui and their own work.
  places.prefix(path::join(e.home, ".venv"));
  places.prefix(path::join(e.home, "venv"));
  for (const std::string& name : folders(context, e.home, kMostHomeFolders)) {
    const std::string dir = path::join(e.home, name);
    if (name.starts_with(".")) continue;
    for (const char* env : {".venv", "venv", "env", "installer_files/env"}) places.prefix(path::join(dir, env));
  }
  return places.take();
}

std::vector<Client> find_clients(const Context& context) {
  std::vector<Client> clients;
  for (const std::string& dir : site_packages(context)) {
    if (context.cancel != nullptr && context.cancel->requested()) break;
    packages_in(context, dir, clients);
  }
  const std::string& home = context.environment.home;
  for (const char* dir : {"Applications", "AppImages", "Downloads", ".local/bin", "bin", "Desktop"}) jan_images(context, path::join(home, dir), clients);
  for (const std::string& app : {context.environment.system("/Applications/Jan.app"), path::join(home, "Applications/Jan.app")}) {
    if (auto version = bundle_version(context, path::join(app, "Contents/Info.plist"))) add_jan(clients, *version, app);
  }
  jan_of_dpkg(context, clients);
  homebrew(context, clients);
  other_tidiers(context, clients);
  return clients;
}

}  // namespace mlxcache::doctor
