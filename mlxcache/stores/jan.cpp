// Jan: <data>/llamacpp/models/<id>/model.yml, which names its files by path, also outside the store.
// Facts: docs/design/stores.md, Jan. A root is the data folder, since paths in model.yml count from there; what lies beside the folders of
// models (threads, logs, engines) is the app's own.
#include <algorithm>
#include <map>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/jan_model.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/named_entries.h"

namespace mlxcache::stores::jan {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;
using mlxbase::os::Platform;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 20U;
// Where models lie below the data folder: today's, the MLX extension's, and that of versions before 0.6.
constexpr std::string_view kModelFolders[] = {"llamacpp/models", "mlx/models", "models"};
constexpr std::string_view kProducts[] = {"Jan", "Jan-nightly", "Jan-beta"};

bool is_folder(const Context& context, const std::string& dir) {
  const auto stat = context.fs.stat(dir, Follow::yes);
  return stat && stat->kind == FileKind::directory;
}

void add_data_folder(const Context& context, std::vector<Root>& roots, const std::string& dir, std::string_view origin) {
  for (const std::string_view folder : kModelFolders) {
    if (!is_folder(context, path::join(dir, folder))) continue;
    add_root(context, roots, StoreKind::jan, dir, origin);
    return;
  }
}

/// The data folder of one product: what its settings say, else beside them.
void add_product(const Context& context, std::vector<Root>& roots, const std::string& folder, std::string_view origin) {
  if (const auto text = mlxbase::os::read_small_file(context.fs, path::join(folder, "settings.json"), kLimit)) {
    const auto json = mlxbase::json::parse(*text, {.bytes = kLimit, .depth = 32});
    const std::string data = json ? (*json)["data_folder"].string() : std::string();
    if (path::is_absolute(data)) add_data_folder(context, roots, data, "Jan settings.json");
  }
  add_data_folder(context, roots, path::join(folder, "data"), origin);
}

class Lister {
 public:
  Lister(const Context& context, const Root& root) : context_(context), root_(root), builder_(root, adapter_of(StoreKind::jan)) {}

  Listing run() {
    const auto found = entries_.add_all(context_, root_, [](std::string_view relative) {
      const std::string_view name = path::file_name(relative);
      return name.ends_with(".yml") || name == "model.json" || name.starts_with('.') || !folder_of(relative);
    });
    for (const Found& f : found) {
      const auto folder = folder_of(path::relative_to(root_.path, f.path));
      if (folder && f.path.ends_with(".yml")) model_yaml(f, path::join(root_.path, *folder));
    }
    for (const Found& f : found) {
      if (const auto folder = folder_of(path::relative_to(root_.path, f.path))) rest(f, *folder);
    }
    return builder_.finish();
  }

 private:
  /// Which of the folders of models a path below the root lies in.
  static std::optional<std::string_view> folder_of(std::string_view relative) {
    for (const std::string_view folder : kModelFolders) {
      if (relative.starts_with(folder) && relative.substr(folder.size()).starts_with('/')) return folder;
    }
    return std::nullopt;
  }

  void model_yaml(const Found& f, const std::string& models) {
    const bool today = path::file_name(f.path) == "model.yml";
    // cortex called the file after the model: <source>/<org>/<repo>/<file>.yml.
    const std::string_view where = today ? path::parent(f.path) : std::string_view(f.path).substr(0, f.path.size() - 4);
    if (!path::is_within(models, where) || where == models) return;
    const std::string id(path::relative_to(models, where));
    if (!is_model_id(id)) {
      builder_.problem(f.path, {Code::invalid, "its folder is no model id for Jan", 0});
      return;
    }
    const auto text = read_metadata(context_, root_.path, f.path, kLimit);
    auto yaml = text ? parse_model_yaml(*text) : mlxbase::Result<ModelYaml>(mlxbase::fail(text.error()));
    if (!yaml) {
      builder_.problem(f.path, yaml.error());
      unread_.emplace_back(path::parent(f.path));
      return;
    }
    if (!today && yaml->files.empty()) return;
    const std::uint32_t m = model(id);
    for (const std::string& refused : yaml->refused) {
      builder_.problem(f.path, {Code::invalid, "names a file outside the data folder: " + refused.substr(0, 200), 0});
      builder_.model_at(m).incomplete = true;
    }
    for (const ModelFile& file : yaml->files) refer(m, file);
  }

  void refer(std::uint32_t m, const ModelFile& file) {
    std::string_view relative = file.path;
    if (path::is_absolute(file.path)) {
      if (!path::is_within(root_.path, file.path)) {
        // Zero-copy by design: the bytes are somebody else's and are counted there.
        if (!context_.fs.stat(file.path, Follow::yes)) builder_.model_at(m).incomplete = true;
        builder_.model_at(m).format = format_of(file.path);
        return;
      }
      relative = path::relative_to(root_.path, file.path);
    }
    const std::uint32_t* const e = entries_.find(relative);
    if (e == nullptr) {
      builder_.model_at(m).incomplete = true;
      return;
    }
    for (const std::string& part : entries_.other_parts(relative)) attach(m, *entries_.find(part));
    attach(m, *e);
    Entry& entry = builder_.at(*e);
    // A file of another size is not the one that was downloaded.
    if (entry.role == Role::payload && file.sha256 && (!file.size || *file.size == entry.stat.size)) {
      entry.claim = file.sha256;
      entry.claim_checked_by_tool = true;
    }
  }

  void attach(std::uint32_t m, std::uint32_t e) {
    const Role role = builder_.at(e).role;
    if (role == Role::broken || role == Role::partial) builder_.model_at(m).incomplete = true;
    if (role == Role::payload || role == Role::link || role == Role::broken) builder_.join(m, e);
  }

  /// What no model.yml names: the other files of an MLX model, models of old versions, orphans.
  void rest(const Found& f, std::string_view models_folder) {
    const std::string models = path::join(root_.path, models_folder);
    const bool mlx = models_folder == kModelFolders[1];
    const bool old = models_folder == kModelFolders[2];
    const std::uint32_t e = *entries_.find(path::relative_to(root_.path, f.path));
    Entry& entry = builder_.at(e);
    const std::string_view folder = path::parent(f.path);
    const std::string_view id = path::relative_to(models, folder);
    if (entry.role == Role::partial && !is_staging_name(path::file_name(f.path))) {
      if (const auto it = models_.find(id); it != models_.end()) builder_.model_at(it->second).incomplete = true;
    }
    if (entry.model >= 0 || (entry.role != Role::payload && entry.role != Role::link && entry.role != Role::broken)) return;
    if (!id.empty() && (mlx || (old && is_weights(f.path)))) {
      const std::uint32_t m = owner(id, mlx);
      builder_.join(m, e);
      if (entry.role == Role::broken) builder_.model_at(m).incomplete = true;
    } else if (entry.role == Role::payload && !is_weights(f.path)) {
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
    } else if (entry.role == Role::payload && std::find(unread_.begin(), unread_.end(), folder) == unread_.end()) {
      entry.role = Role::orphan;
    }
  }

  std::uint32_t model(const std::string& id) {
    const auto [it, added] = models_.try_emplace(id, 0);
    if (added) {
      catalog::Model row;
      row.id = id;
      it->second = builder_.model(std::move(row));
    }
    return it->second;
  }
  /// The model of the nearest folder above that is one; else of this folder.
  std::uint32_t owner(std::string_view id, bool look_up) {
    for (std::string_view up = id; look_up && !up.empty();) {
      if (const auto it = models_.find(up); it != models_.end()) return it->second;
      const auto slash = up.rfind('/');
      up = slash == std::string_view::npos ? std::string_view{} : up.substr(0, slash);
    }
    return model(std::string(id));
  }

  const Context& context_;
  const Root& root_;
  ListingBuilder builder_;
  NamedEntries entries_{builder_};
  std::map<std::string, std::uint32_t, std::less<>> models_;
  std::vector<std::string> unread_;  // folders whose model.yml was not understood
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& env = context.environment;
  std::vector<Root> roots;
  if (const auto value = env.get_nonempty("JAN_DATA_FOLDER")) add_data_folder(context, roots, env.absolute(*value), "JAN_DATA_FOLDER");
  std::string app_data = env.platform == Platform::macos ? path::join(env.home, "Library/Application Support") : xdg_data(env);
  if (const auto value = env.get_nonempty("JAN_DATA_ROOT"); value && path::is_absolute(*value)) app_data = *value;
  for (const std::string_view product : kProducts) add_product(context, roots, path::join(app_data, product), "default");
  // Moved by Jan when it starts; until then here.
  add_product(context, roots, path::join(app_data, "jan.ai.app"), "older Jan");
  add_product(context, roots, path::join(env.home, ".config/Jan"), "older Jan");
  for (const RedirectedHome& home : redirected_homes(context)) {
    for (const std::string_view product : kProducts) add_product(context, roots, path::join(home.data, product), home.origin);
  }
  add_data_folder(context, roots, path::join(env.home, "jan"), "Jan before 0.5");
  add_data_folder(context, roots, path::join(env.home, "cortexcpp"), "cortex");
  return roots;
}

Listing list(const Context& context, const Root& root) { return Lister(context, root).run(); }

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::jan
