// Draw Things: SQLite files named .ckpt. Facts: docs/design/stores.md, Draw Things.
#include <unordered_map>
#include <unordered_set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::draw_things {
namespace {

namespace path = mlxbase::path;

constexpr std::string_view kTensors = ".ckpt-tensordata";

bool is_weight(std::string_view name) { return name.ends_with(".ckpt") || name.ends_with(kTensors); }
/// What SQLite keeps beside a database that is open, or was when its program died.
std::string_view database_of(std::string_view name) {
  for (const std::string_view ending : {"-wal", "-shm", "-journal"}) {
    if (name.ends_with(ending)) return name.substr(0, name.size() - ending.size());
  }
  return {};
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  add_root(context, out, StoreKind::draw_things,
           path::join(context.environment.home, "Library/Containers/com.liuliu.draw-things/Data/Documents/Models"), "default");
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::draw_things));
  WalkOptions options;
  options.cancel = context.cancel;
  const auto found = walk(context.fs, root.path, builder.problems(), options);
  std::unordered_set<std::string> in_use;
  for (const Found& f : found) {
    if (const std::string_view database = database_of(f.path); !database.empty()) in_use.emplace(database);
  }
  std::unordered_map<std::string, std::uint32_t> models;
  for (const Found& f : found) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    if (entry.role != Role::payload && entry.role != Role::link) continue;
    if (!is_weight(f.path)) {
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      continue;
    }
    std::string base = f.path.substr(0, f.path.size() - (f.path.ends_with(kTensors) ? kTensors.size() : std::string_view(".ckpt").size()));
    if (in_use.contains(f.path) || in_use.contains(base + ".ckpt")) {
      entry.links = catalog::kNoLinks;
      entry.links_reason = "its database is open, or was left unfinished";
    }
    const auto [it, added] = models.try_emplace(base, 0);
    if (added) {
      catalog::Model model;
      model.id = path::relative_to(root.path, base);
      model.format = "s4nnc";
      it->second = builder.model(std::move(model));
    }
    builder.join(it->second, e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

mlxbase::Result<Publication> publish(const Context& /*context*/, const Root& /*root*/, const ModelSource& source) {
  TRY(check_source(source));
  return mlxbase::fail(mlxbase::Code::unsupported, "Draw Things converts what it imports into a form of its own: import it in the app");
}

mlxbase::Result<Removal> remove(const Context& /*context*/, const Listing& listing, std::uint32_t model) {
  TRY(model_of(listing, model));
  return mlxbase::fail(mlxbase::Code::unsupported, "the app keeps lists of its models (custom.json) that are not understood here: delete it in Draw Things");
}

}  // namespace mlxcache::stores::draw_things
