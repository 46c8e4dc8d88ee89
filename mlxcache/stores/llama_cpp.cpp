// llama.cpp: the flat cache of URL and older -hf downloads, and the hub layout that shares its folder where LLAMA_CACHE is set.
#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/flat_models.h"
#include "mlxcache/stores/hf_layout.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/llama_cpp_names.h"

namespace mlxcache::stores::llama_cpp {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;

constexpr std::uint64_t kSidecarLimit = std::uint64_t{1} << 20U;

void list_flat(const Context& context, const Root& root, const Finds& found, ListingBuilder& out) {
  std::map<std::string, std::uint32_t, std::less<>> files;  // by name
  std::map<std::string, std::uint32_t, std::less<>> partials;
  std::vector<std::pair<std::string, std::uint32_t>> sidecars, manifests;
  for (const Found& f : found) {
    const std::string name(path::relative_to(root.path, f.path));
    const std::uint32_t e = out.add(f);
    Entry& entry = out.at(e);
    const bool regular = f.stat.kind == FileKind::regular;
    if (name.contains('/')) {
      entry.role = Role::foreign;
      entry.links = catalog::kNoLinks;
      entry.links_reason = "below a folder, where this cache has none";
    } else if (entry.role == Role::partial) {
      if (!is_staging_name(name)) partials.emplace(name.substr(0, name.rfind('.')), e);
    } else if (name.ends_with(".etag") || name.ends_with(".json")) {
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      if (regular) (name.starts_with("manifest=") ? manifests : sidecars).emplace_back(name, e);
    } else if (entry.role != Role::foreign && entry.role != Role::lock && name != ".DS_Store") {
      files.emplace(name, e);
    } else if (entry.role == Role::payload) {
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
    }
  }

  const auto read = [&](std::uint32_t e) -> std::optional<std::string> {
    auto text = read_metadata(context, root.path, out.at(e).path, kSidecarLimit);
    if (text) return std::move(*text);
    out.problem(out.at(e).path, text.error());
    return std::nullopt;
  };
  // A hint at best: a content network's ETag may be an MD5 or the count of an upload's parts. 64 digits are a SHA-256.
  for (const auto& [name, e] : sidecars) {
    const auto file = files.find(std::string_view(name).substr(0, name.rfind('.')));
    if (file == files.end()) continue;
    const auto text = read(e);
    if (!text) continue;
    const std::string etag = name.ends_with(".etag") ? etag_of_sidecar(*text) : etag_of_json(*text);
    if (etag.size() == 64) out.at(file->second).claim = hf::claim_of_etag(etag);
  }
  std::map<std::string, std::string> id_of;  // file name → "owner/repo:tag"
  for (const auto& [name, e] : manifests) {
    const auto text = read(e);
    const auto repo = parse_manifest_name(name);
    if (!text || !repo) continue;
    const auto parts = parse_manifest(*text);
    if (!parts) {
      out.problem(out.at(e).path, parts.error());
      continue;
    }
    for (const ManifestFile& part : *parts) {
      const std::string flat = flat_name(repo->owner, repo->repo, part.name);
      id_of.try_emplace(std::string(model_stem(flat)), repo->owner + "/" + repo->repo + ":" + repo->tag);
      // Of a split, the manifest's digest is the first part's.
      if (const auto file = files.find(flat); file != files.end() && part.sha256) out.at(file->second).claim = part.sha256;
    }
  }

  std::map<std::string, FolderModel> models;
  const auto join = [&](const std::string& name, std::uint32_t e) {
    const std::string stem(model_stem(name));
    FolderModel& model = models[stem];
    const auto id = id_of.find(stem);
    model.id = id != id_of.end() ? id->second : stem;
    model.files.emplace(path::file_name(out.at(e).path), e);
  };
  for (const auto& [name, e] : files) join(name, e);
  for (const auto& [name, e] : partials) join(name, e);
  std::vector<FolderModel> all;
  for (auto& [stem, model] : models) all.push_back(std::move(model));
  add_folder_models(context, root, all, out);
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  const auto& environment = context.environment;
  const bool macos = environment.platform == mlxbase::os::Platform::macos;
  if (const auto value = environment.get_nonempty("LLAMA_CACHE")) add_root(context, roots, StoreKind::llama_cpp, *value, "LLAMA_CACHE");
  if (macos) {
    add_root(context, roots, StoreKind::llama_cpp, path::join(environment.home, "Library/Caches/llama.cpp"), "default");
  } else {
    add_root(context, roots, StoreKind::llama_cpp, path::join(xdg_cache(environment), "llama.cpp"), "default");
    add_root(context, roots, StoreKind::llama_cpp, path::join(environment.home, ".cache/llama.cpp"), "default");
  }
  for (const RedirectedHome& other : redirected_homes(context)) {
    add_root(context, roots, StoreKind::llama_cpp, path::join(other.cache, "llama.cpp"), other.origin);
  }
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::llama_cpp));
  Finds hub, flat;
  for (Found& f : walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel})) {
    const std::string_view rel = path::relative_to(root.path, f.path);
    const std::string_view top = rel.substr(0, rel.find('/'));
    (top.size() < rel.size() && hf::is_hub_top(top) ? hub : flat).push_back(std::move(f));
  }
  hf::list_hub(context, root, std::move(hub), out);
  list_flat(context, root, flat, out);
  return out.finish();
}

std::string staging(const Root& root, const std::string& target, std::string_view token) {
  if (path::relative_to(root.path, target).contains('/')) return hf::hub_staging(root, target, token);
  return staging_beside_target(target, token);
}

std::vector<LockFile> locks(const Root& root, const Entry& entry) {
  // llama.cpp takes none; Python's clients do, should one share the folder.
  return hf::hub_locks(root, entry);
}

}  // namespace mlxcache::stores::llama_cpp
