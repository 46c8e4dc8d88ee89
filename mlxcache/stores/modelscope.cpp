// ModelScope's cache: <owner>--<name>/snapshots/<revision>/… of the new client, <owner>/<name> with "___" for dots of the old ones.
// The old clients' .msc and .mdl are Python pickles; they are counted and never read.
#include <algorithm>
#include <map>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/flat_models.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::modelscope {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;

struct Place {
  std::string key;  // folder of the model, relative to the root
  std::string id;
  std::string revision;
  std::string name;  // of the file, in the model
};

/// Cuts the first part off.
std::string_view take(std::string_view& rest) {
  const auto slash = rest.find('/');
  const std::string_view part = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  return part;
}

std::string with_dots(std::string name) {
  constexpr std::string_view kDot = "___";
  for (auto at = name.find(kDot); at != std::string::npos; at = name.find(kDot, at + 1)) name.replace(at, kDot.size(), ".");
  return name;
}

/// Empty key: in no model's folder.
Place place_of(std::string_view rel) {
  Place p;
  std::string_view rest = rel;
  std::string_view first = take(rest);
  bool datasets = false;
  if (first == "hub") first = take(rest);
  if (first == "models" || first == "datasets") {
    datasets = first == "datasets";
    first = take(rest);
  }
  if (first.empty() || first.starts_with('.') || rest.empty()) return p;
  const std::string prefix = datasets ? "datasets/" : "";
  const auto upto = [&](std::string_view part) {
    return std::string(rel.substr(0, static_cast<std::size_t>(part.data() + part.size() - rel.data())));
  };
  std::string_view after = rest;
  const std::string_view second = take(after);
  if (const auto cut = first.find("--"); cut != std::string_view::npos && second == "snapshots") {
    const std::string_view revision = take(after);
    if (after.empty()) return p;
    p = {upto(revision), prefix + std::string(first.substr(0, cut)) + "/" + std::string(first.substr(cut + 2)), std::string(revision),
         std::string(after)};
  } else if (!after.empty() && !second.starts_with('.')) {
    p = {upto(second), prefix + std::string(first) + "/" + with_dots(std::string(second)), {}, std::string(after)};
  }
  return p;
}

bool is_client_file(std::string_view name) { return name == ".msc" || name == ".mdl" || name == ".mv" || name == ".DS_Store"; }

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  if (const auto value = context.environment.get_nonempty("MODELSCOPE_CACHE")) {
    add_root(context, roots, StoreKind::modelscope, context.environment.expand(*value), "MODELSCOPE_CACHE");
  }
  // The old SDK's ~/.cache/modelscope/hub lies inside this one.
  add_root(context, roots, StoreKind::modelscope, path::join(context.environment.home, ".cache/modelscope"), "default");
  for (const RedirectedHome& other : redirected_homes(context)) {
    add_root(context, roots, StoreKind::modelscope, path::join(other.path, ".cache/modelscope"), other.origin);
  }
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::modelscope));
  std::map<std::string, FolderModel> models;
  for (const Found& f : walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel})) {
    const std::string_view rel = path::relative_to(root.path, f.path);
    const std::string_view name = path::file_name(rel);
    const std::uint32_t e = out.add(f);
    Entry& entry = out.at(e);
    const auto keep_as = [&entry](Role role) {
      if (entry.role == Role::payload) entry.role = role;
      entry.links = catalog::kNoLinks;
    };
    Place place = place_of(rel);
    if (rel.contains("._____temp/")) keep_as(Role::partial);
    if (rel.starts_with(".lock/")) keep_as(Role::lock);
    if (is_client_file(name)) keep_as(Role::metadata);
    if (place.key.empty()) {
      if (f.stat.kind == FileKind::symlink) continue;  // the readable <owner>/<name> beside <name___>
      keep_as(rel.contains('/') && !name.starts_with('.') ? Role::foreign : Role::metadata);
      continue;
    }
    FolderModel& model = models[place.key];
    model.id = std::move(place.id);
    model.revision = std::move(place.revision);
    model.files.emplace(std::move(place.name), e);
  }
  std::vector<FolderModel> all;
  for (auto& [key, model] : models) all.push_back(std::move(model));
  add_folder_models(context, root, all, out);
  return out.finish();
}

std::string staging(const Root&, const std::string& target, std::string_view token) {
  // `<name>.incomplete` would be resumed by the client; ours is hidden and of another form.
  return staging_beside_target(target, token);
}

/// The clients' lock names are hashes of ids with a scope we cannot know for legacy folders, and off by default; a running download has its
/// partial, which makes the model incomplete.
std::vector<LockFile> locks(const Root&, const Entry&) { return {}; }

}  // namespace mlxcache::stores::modelscope
