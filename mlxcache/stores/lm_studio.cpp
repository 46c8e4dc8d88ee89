// LM Studio: <models>/<publisher>/<model>/<files>. Facts: docs/design/stores.md, LM Studio.
#include <map>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/completeness.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::lm_studio {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::Follow;

constexpr std::string_view kBundled = ".internal/bundled-models";
constexpr std::uint64_t kSettingsLimit = std::uint64_t{4} << 20U;

/// findLMStudioHome.ts: the pointer file, else the folder of builds before 0.3.6 if it is there, else the new one.
std::string home_of_app(const Context& context) {
  const auto& env = context.environment;
  const auto real = context.fs.real_path(env.home);
  const std::string home = real ? *real : env.home;
  if (auto text = mlxbase::os::read_small_file(context.fs, path::join(home, ".lmstudio-home-pointer"), 4096)) {
    std::string_view line = *text;
    line = line.substr(0, line.find_first_of("\r\n"));
    const auto first = line.find_first_not_of(" \t");
    if (first != std::string_view::npos) line = line.substr(first, line.find_last_not_of(" \t") - first + 1);
    if (path::is_absolute(line)) return path::normal(line);
  }
  const std::string old = path::join(home, ".cache/lm-studio");
  const auto stat = context.fs.stat(old, Follow::yes);
  return stat && stat->kind == mlxbase::os::FileKind::directory ? old : path::join(home, ".lmstudio");
}

bool is_bundled(const Root& root) { return root.path.ends_with(kBundled); }

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  const std::string home = home_of_app(context);
  const auto settings = read_json(context, home, path::join(home, "settings.json"), kSettingsLimit);
  const std::string folder = settings ? (*settings)["downloadsFolder"].string() : std::string();
  if (path::is_absolute(folder)) {
    add_root(context, roots, StoreKind::lm_studio, folder, "LM Studio settings.json");
  } else {
    add_root(context, roots, StoreKind::lm_studio, path::join(home, "models"), "default");
  }
  add_root(context, roots, StoreKind::lm_studio, path::join(home, kBundled), "bundled with LM Studio");
  return roots;
}

std::optional<Root> default_root(const Context& context) {
  const std::string home = home_of_app(context);
  const auto settings = read_json(context, home, path::join(home, "settings.json"), kSettingsLimit);
  const std::string folder = settings ? (*settings)["downloadsFolder"].string() : std::string();
  if (path::is_absolute(folder) && !folder.contains('\0')) return Root{StoreKind::lm_studio, path::normal(folder), "LM Studio settings.json"};
  return Root{StoreKind::lm_studio, path::join(home, "models"), "default"};
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::lm_studio));
  WalkOptions options;
  options.cancel = context.cancel;
  std::map<std::string, std::uint32_t, std::less<>> models;
  auto found = walk(context.fs, root.path, builder.problems(), options);
  for (; !found.empty(); found.pop_front()) {
    const std::uint32_t e = builder.add(std::move(found.front()));
    Entry& entry = builder.at(e);
    const std::string_view name = path::file_name(entry.path);
    if (is_bundled(root) && entry.role == Role::payload) {
      entry.links = catalog::kNoLinks;
      entry.links_reason = "belongs to the app: an update replaces it";
    }
    const std::string_view relative = path::relative_to(root.path, entry.path);
    const auto first = relative.find('/');
    const auto second = first == std::string_view::npos ? first : relative.find('/', first + 1);
    if (second == std::string_view::npos) {  // not in publisher/model: the app does not list it
      if (entry.role == Role::payload) entry.role = is_weights(name) ? Role::orphan : Role::foreign;
      if (entry.role == Role::foreign) entry.links = catalog::kNoLinks;
      continue;
    }
    if (entry.role == Role::payload && name.starts_with('.')) {  // .DS_Store and its kind
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
    }
    const auto id = relative.substr(0, second);
    auto it = models.find(id);
    if (it == models.end()) {
      if (entry.role == Role::foreign) continue;
      catalog::Model model;
      model.id = id;
      it = models.emplace(std::string(id), builder.model(std::move(model))).first;
    }
    if (entry.role == Role::partial && !is_staging_name(name)) builder.model_at(it->second).incomplete = true;
    if (entry.role == Role::payload || entry.role == Role::link || entry.role == Role::broken) builder.join(it->second, e);
    if (entry.role == Role::broken) builder.model_at(it->second).incomplete = true;
  }

  for (const auto& [id, m] : models) {
    const std::string folder = path::join(root.path, id);
    std::vector<ViewedFile> files;
    for (const std::uint32_t e : builder.model_at(m).entries) {
      const std::string& file = builder.at(e).path;
      files.push_back({std::string(path::relative_to(folder, file)), file});
    }
    if (lacks_indexed_shard(context, root.path, files, builder.problems())) builder.model_at(m).incomplete = true;
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) {
  // Hidden, and of no ending that the app knows as a model's.
  return staging_beside_target(target, token);
}

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::lm_studio
