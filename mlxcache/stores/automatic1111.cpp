// AUTOMATIC1111's web UI, Forge and kin. Facts: docs/design/stores.md, AUTOMATIC1111.
#include <array>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/automatic1111_cache.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/file_tree.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/shell_words.h"
#include "mlxcache/stores/sidecars.h"

namespace mlxcache::stores::automatic1111 {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::uint64_t kScriptLimit = 1 << 20;
constexpr std::string_view kCheckpoints = "Stable-diffusion";

constexpr std::array<std::string_view, 6> kInstalls = {"stable-diffusion-webui",     "stable-diffusion-webui-forge", "stable-diffusion-webui-reForge",
                                                       "sd-webui-forge-classic", "stable-diffusion-webui-amdgpu", "automatic"};

/// Options that name a folder of models; a data dir has models/ and embeddings/ below it.
constexpr std::array<std::string_view, 12> kFolderOptions = {
    "--models-dir",       "--ckpt-dir",          "--vae-dir",          "--lora-dir",          "--embeddings-dir",     "--hypernetwork-dir",
    "--esrgan-models-path", "--gfpgan-models-path", "--codeformer-models-path", "--realesrgan-models-path", "--text-encoder-dir", "--controlnet-dir"};

class Finder {
 public:
  explicit Finder(const Context& context) : context_(context) {}

  void install(const std::string& folder, std::string_view origin) {
    if (!is_folder(folder)) return;
    data_dir(folder, origin);
    for (const std::string_view script : {"webui-user.sh", "webui-macos-env.sh"}) {
      if (const auto text = mlxbase::os::read_small_file(context_.fs, path::join(folder, script), kScriptLimit)) {
        arguments(assigned_in_script(*text, "COMMANDLINE_ARGS"), folder, script);
      }
    }
  }
  /// What COMMANDLINE_ARGS holds; relative folders are taken from the install.
  void arguments(std::string_view text, const std::string& install, std::string_view origin) {
    const auto words = shell_words(text);
    for (std::size_t i = 0; i < words.size(); ++i) {
      std::string name = words[i];
      std::string value;
      if (const std::size_t equals = name.find('='); equals != std::string::npos) {
        value = name.substr(equals + 1);
        name.resize(equals);
      } else if (i + 1 < words.size()) {
        value = words[i + 1];
      }
      if (value.empty() || value.contains('\0')) continue;
      const std::string folder = path::normal(path::join(install, context_.environment.expand(value)));
      if (name == "--data-dir") data_dir(folder, origin);
      for (const std::string_view option : kFolderOptions) {
        if (name == option) add(folder, origin);
      }
    }
  }
  std::vector<Root> take() { return std::move(roots_); }

 private:
  bool is_folder(const std::string& p) const {
    const auto stat = context_.fs.stat(p, Follow::yes);
    return stat && stat->kind == FileKind::directory;
  }
  /// The folder of an install, or of its data: models/, embeddings/, cache.json.
  void data_dir(const std::string& folder, std::string_view origin) {
    if (!is_folder(path::join(folder, "models"))) return;
    add(folder, origin);
    add_linked(path::join(folder, "models"));
  }
  void add(const std::string& folder, std::string_view origin) {
    for (const Root& root : roots_) {
      if (path::is_within(root.path, folder)) return;
    }
    add_root(context_, roots_, StoreKind::automatic1111, folder, origin);
    add_linked(folder);
  }
  void add_linked(const std::string& folder) {
    for (const std::string& linked : linked_folders(context_, folder)) {
      add_root(context_, roots_, StoreKind::automatic1111, linked, "link in " + folder);
    }
  }
  const Context& context_;
  std::vector<Root> roots_;
};

/// Where this root's checkpoints lie and which cache.json speaks of them.
struct Places {
  std::string data;         // with cache.json
  std::string checkpoints;  // names in the cache are relative to it
};

std::optional<Places> places_of(const Context& context, const std::string& root) {
  const auto has = [&](const std::string& p) { return context.fs.stat(p, Follow::yes).has_value(); };
  if (has(path::join(root, "models"))) return Places{root, path::join(root, "models", kCheckpoints)};
  if (has(path::join(root, kCheckpoints))) return Places{std::string(path::parent(root)), path::join(root, kCheckpoints)};
  if (path::file_name(root) == kCheckpoints) return Places{std::string(path::parent(path::parent(root))), root};
  return std::nullopt;
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  Finder finder(context);
  const auto& environment = context.environment;
  for (const std::string_view name : kInstalls) finder.install(path::join(environment.home, name), "default");
  if (const auto arguments = environment.get_nonempty("COMMANDLINE_ARGS")) finder.arguments(*arguments, environment.working_directory, "COMMANDLINE_ARGS");
  return finder.take();
}

Listing list(const Context& context, const Root& root) {
  FileTree tree;
  std::map<std::string, Hashed, std::less<>> hashes;
  std::optional<catalog::Problem> problem;
  const auto places = places_of(context, root.path);
  if (places) {
    const std::string cache = path::join(places->data, "cache.json");
    if (const auto text = read_metadata(context, places->data, cache)) {
      if (auto parsed = parse_hash_cache(*text)) {
        hashes = std::move(*parsed);
      } else {
        problem = {cache, parsed.error()};
      }
    } else if (text.error().code != mlxbase::Code::not_found) {
      problem = {cache, text.error()};
    }
  }
  tree.claim = [&](const Found& weight) -> std::optional<mlxbase::Digest> {
    if (places && path::is_within(places->checkpoints, weight.path)) {
      const auto it = hashes.find(path::relative_to(places->checkpoints, weight.path));
      if (it != hashes.end()) {
        if (auto claim = valid_hash(it->second, weight.stat.mtime_ns)) return claim;
      }
    }
    return sidecar_claim(context, root, weight.path, weight.stat);
  };
  const bool whole = places && places->data == root.path;
  if (whole) tree.named_from = path::join(root.path, "models");
  tree.enter = [&root, whole](const std::string& dir) {
    const std::string_view below = path::relative_to(root.path, dir);
    return !is_code_folder(path::file_name(dir)) && !(whole && (below == "outputs" || below == "output" || below == "log" || below == "tmp"));
  };
  Listing listing = list_file_tree(context, root, tree);
  if (problem) listing.problems.push_back(std::move(*problem));
  return listing;
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

// cache.json.lock guards the cache, which we leave alone; replacing weights is guarded by nothing.
std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::automatic1111
