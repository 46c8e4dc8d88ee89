// Keras: weights of its applications, downloaded in place. Facts: docs/design/stores.md, Keras.
#include <unordered_map>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::keras {
namespace path = mlxbase::path;

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  const auto& environment = context.environment;
  if (const auto home = environment.get_nonempty("KERAS_HOME")) {
    add_root(context, out, StoreKind::keras, path::join(environment.absolute(*home), "models"), "KERAS_HOME");
  } else {
    add_root(context, out, StoreKind::keras, path::join(environment.home, ".keras/models"), "default");
  }
  // Where Keras goes if it may not write there.
  add_root(context, out, StoreKind::keras, path::join(environment.temp_directory, ".keras/models"), "temporary folder");
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::keras));
  WalkOptions options;
  options.cancel = context.cancel;
  std::unordered_map<std::string, std::uint32_t> models;
  for (const Found& f : walk(context.fs, root.path, builder.problems(), options)) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    if (entry.role != Role::payload && entry.role != Role::link) continue;
    const std::string_view below = path::relative_to(root.path, f.path);
    const std::size_t slash = below.find('/');
    if (slash == std::string_view::npos && below.ends_with(".json")) {  // names of classes
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      continue;
    }
    // A file, or an archive's folder.
    const std::string id(slash == std::string_view::npos ? path::stem(below) : below.substr(0, slash));
    const auto [it, added] = models.try_emplace(id, 0);
    if (added) {
      catalog::Model model;
      model.id = id;
      it->second = builder.model(std::move(model));
    }
    builder.join(it->second, e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) { return remove_plain(context, listing, model); }

}  // namespace mlxcache::stores::keras
