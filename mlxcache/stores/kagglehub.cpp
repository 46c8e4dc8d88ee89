// kagglehub: a folder a version, and a mark beside it once it is whole. Facts: docs/design/stores.md, kagglehub.
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kagglehub_paths.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::kagglehub {
namespace {

namespace path = mlxbase::path;

struct Version {
  bool whole = false;
  bool downloading = false;
  std::set<std::string, std::less<>> marked;                // single files
  std::vector<std::pair<std::string, std::uint32_t>> files;  // path within, entry
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  const auto& environment = context.environment;
  const auto cache = environment.get_nonempty("KAGGLEHUB_CACHE");
  // Data sets, competitions and notebooks lie beside; they are no models.
  add_root(context, out, StoreKind::kagglehub, path::join(cache ? environment.absolute(*cache) : path::join(environment.home, ".cache/kagglehub"), "models"),
           cache ? "KAGGLEHUB_CACHE" : "default");
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::kagglehub));
  WalkOptions options;
  options.cancel = context.cancel;
  std::map<std::pair<std::string, std::string>, Version> versions;
  for (const Found& f : walk(context.fs, root.path, builder.problems(), options)) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    const auto located = locate(path::relative_to(root.path, f.path));
    if (!located) {
      if (entry.role == Role::payload) entry.role = Role::foreign;
      entry.links = catalog::kNoLinks;
      continue;
    }
    Version& version = versions[{located->model, located->version}];
    if (located->place == Place::file) {
      version.files.emplace_back(located->within, e);
      continue;
    }
    version.whole = version.whole || located->place == Place::whole_mark;
    version.downloading = version.downloading || located->place == Place::archive;
    if (located->place == Place::file_mark) version.marked.emplace(located->within);
    if (entry.role == Role::payload) entry.role = located->place == Place::archive ? Role::partial : Role::metadata;
    entry.links = catalog::kNoLinks;
  }
  for (const auto& [id, version] : versions) {
    if (version.files.empty()) continue;
    catalog::Model model;
    model.id = path::join(id.first, id.second);
    model.revision = id.second;
    model.incomplete = !version.whole || version.downloading;
    const std::uint32_t m = builder.model(std::move(model));
    for (const auto& [within, e] : version.files) {
      builder.join(m, e);
      // Without its mark kagglehub deletes the folder and fetches it again: nothing there can be relied upon.
      Entry& entry = builder.at(e);
      if (!version.whole && !version.marked.contains(within) && entry.role == Role::payload) {
        entry.role = Role::partial;
        entry.links = catalog::kNoLinks;
      }
    }
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  std::vector<std::uint32_t> beside;  // marks first: without them the folder counts for nothing
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const auto located = locate(path::relative_to(listing.root.path, listing.entries[e].path));
    if (located && located->place != Place::file && path::join(located->model, located->version) == of->id) beside.push_back(e);
  }
  return remove_plain(context, listing, model, beside);
}

}  // namespace mlxcache::stores::kagglehub
