#include "mlxcache/stores/common.h"

#include <algorithm>
#include <utility>

#include "mlxbase/core/path.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::string_view kStagingFolder = ".mlxcache-staging";
constexpr std::string_view kStagingPrefix = ".mlxcache-";
constexpr std::string_view kStagingEnding = ".tmp";

std::string xdg(const mlxbase::os::Environment& environment, std::string_view name, std::string_view otherwise) {
  if (auto value = environment.get_nonempty(name); value && path::is_absolute(*value)) return path::normal(*value);
  return path::join(environment.home, otherwise);
}

std::vector<std::string> sorted_folders(mlxbase::os::FileSystem& fs, const std::string& dir) {
  std::vector<std::string> out;
  auto names = fs.list(dir);
  if (!names) return out;  // not there, or not for us (macOS guards containers): nothing to discover
  for (const auto& e : *names) {
    if (e.kind == FileKind::directory || e.kind == FileKind::unknown) out.push_back(e.name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::string staging_beside_root(const Root& root, std::string_view token) {
  return path::join(path::parent(root.path), kStagingFolder, token);
}

std::string staging_beside_target(const std::string& target, std::string_view token) {
  return path::join(path::parent(target), std::string(kStagingPrefix) + std::string(token) + std::string(kStagingEnding));
}

bool is_staging_name(std::string_view name) {
  return name == kStagingFolder || (name.starts_with(kStagingPrefix) && name.ends_with(kStagingEnding));
}

void add_root(const Context& context, std::vector<Root>& roots, catalog::StoreKind kind, const std::string& where,
              std::string_view origin) {
  if (where.empty() || where.contains('\0')) return;
  std::string absolute = path::normal(context.environment.absolute(where));
  const auto stat = context.fs.stat(absolute, Follow::yes);
  if (!stat || stat->kind != FileKind::directory) return;
  for (const Root& r : roots) {
    if (r.path == absolute) return;
    if (const auto other = context.fs.stat(r.path, Follow::yes); other && other->id == stat->id) return;
  }
  roots.push_back({kind, std::move(absolute), std::string(origin)});
}

std::vector<RedirectedHome> redirected_homes(const Context& context) {
  const std::string& home = context.environment.home;
  std::vector<RedirectedHome> out;
  if (context.environment.platform == mlxbase::os::Platform::macos) {
    const std::string containers = path::join(home, "Library/Containers");
    for (const std::string& id : sorted_folders(context.fs, containers)) {
      const std::string data = path::join(containers, id, "Data");
      out.push_back({data, path::join(data, "Library/Caches"), path::join(data, "Library/Application Support"),
                     path::join(data, "Library/Application Support"), "container " + id});
    }
    return out;
  }
  const std::string snaps = path::join(home, "snap");
  for (const std::string& app : sorted_folders(context.fs, snaps)) {
    const std::string common = path::join(snaps, app, "common");
    out.push_back({common, path::join(common, ".cache"), path::join(common, ".local/share"), path::join(common, ".config"), "snap " + app});
  }
  const std::string flatpaks = path::join(home, ".var/app");
  for (const std::string& id : sorted_folders(context.fs, flatpaks)) {
    const std::string app = path::join(flatpaks, id);
    out.push_back({app, path::join(app, "cache"), path::join(app, "data"), path::join(app, "config"), "flatpak " + id});
  }
  return out;
}

std::string xdg_cache(const mlxbase::os::Environment& environment) { return xdg(environment, "XDG_CACHE_HOME", ".cache"); }
std::string xdg_data(const mlxbase::os::Environment& environment) { return xdg(environment, "XDG_DATA_HOME", ".local/share"); }
std::string xdg_config(const mlxbase::os::Environment& environment) { return xdg(environment, "XDG_CONFIG_HOME", ".config"); }

mlxbase::Result<std::string> read_metadata(const Context& context, const std::string& root, const std::string& file, std::uint64_t limit) {
  const auto stat = TRY(context.fs.stat(file, Follow::no));
  if (stat.kind == FileKind::symlink) {
    const std::string real_root = TRY(context.fs.real_path(root));
    const std::string real = TRY(context.fs.real_path(file));
    if (!path::is_within(real_root, real)) return mlxbase::fail(mlxbase::Code::invalid, "a link out of the store; not read");
    return mlxbase::os::read_small_file(context.fs, real, limit, Follow::no);
  }
  return mlxbase::os::read_small_file(context.fs, file, limit, Follow::no);
}

mlxbase::Result<mlxbase::json::Value> read_json(const Context& context, const std::string& root, const std::string& file,
                                                std::uint64_t limit) {
  const std::string text = TRY(read_metadata(context, root, file, limit));
  return mlxbase::json::parse(text, {.bytes = static_cast<std::size_t>(limit), .depth = 64});
}

std::uint32_t ListingBuilder::add(catalog::Entry entry) {
  listing_.entries.push_back(std::move(entry));
  return static_cast<std::uint32_t>(listing_.entries.size() - 1);
}

std::uint32_t ListingBuilder::add_named(catalog::Entry entry) {
  const std::string_view name = path::file_name(entry.path);
  if (entry.role == Role::payload) {
    if (is_partial_name(name) || is_staging_name(name)) {
      entry.role = Role::partial;
    } else if (name.ends_with(".lock")) {
      entry.role = Role::lock;
    }
  }
  if (entry.role != Role::payload) entry.links = catalog::kNoLinks;
  restrict_onnx(entry, name);
  return add(std::move(entry));
}

std::uint32_t ListingBuilder::model(catalog::Model model) {
  listing_.models.push_back(std::move(model));
  return static_cast<std::uint32_t>(listing_.models.size() - 1);
}

void ListingBuilder::join(std::uint32_t model, std::uint32_t entry) {
  listing_.models[model].entries.push_back(entry);
  if (listing_.entries[entry].model < 0) listing_.entries[entry].model = static_cast<std::int32_t>(model);
}

Listing ListingBuilder::finish() {
  for (catalog::Model& model : listing_.models) {
    std::sort(model.entries.begin(), model.entries.end());
    model.entries.erase(std::unique(model.entries.begin(), model.entries.end()), model.entries.end());
    std::vector<std::string_view> names;
    names.reserve(model.entries.size());
    for (const std::uint32_t e : model.entries) names.push_back(listing_.entries[e].path);
    if (model.format.empty()) {
      // Weights decide over helpers beside them (an .npz of statistics): the largest file of a known format names the model's.
      std::uint64_t largest = 0;
      for (const std::uint32_t e : model.entries) {
        const auto format = format_of(listing_.entries[e].path);
        if (format.empty() || (listing_.entries[e].stat.size < largest && !model.format.empty())) continue;
        largest = listing_.entries[e].stat.size;
        model.format = std::string(format);
      }
    }
    if (has_missing_split(names)) model.incomplete = true;
  }
  return std::move(listing_);
}

void restrict_onnx(catalog::Entry& entry, std::string_view file_name) {
  if (!is_onnx(file_name)) return;
  const catalog::Links before = entry.links;
  entry.links = entry.links & catalog::kReflinkOnly;
  if (!(before == entry.links)) entry.links_reason = "ONNX loaders refuse links";
}

}  // namespace mlxcache::stores
