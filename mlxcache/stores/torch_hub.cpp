// PyTorch hub: weights in checkpoints/, code beside it. Facts: docs/design/stores.md, PyTorch hub.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/torch_hub_names.h"

namespace mlxcache::stores::torch_hub {
namespace {

namespace path = mlxbase::path;

constexpr std::string_view kCheckpoints = "checkpoints";

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  const auto& environment = context.environment;
  if (const auto torch = environment.get_nonempty("TORCH_HOME")) {
    add_root(context, out, StoreKind::torch_hub, path::join(environment.absolute(environment.expand(*torch)), "hub"), "TORCH_HOME");
    return out;
  }
  const auto cache = environment.get_nonempty("XDG_CACHE_HOME");
  const std::string base = cache ? environment.absolute(environment.expand(*cache)) : path::join(environment.home, ".cache");
  add_root(context, out, StoreKind::torch_hub, path::join(base, "torch/hub"), cache ? "XDG_CACHE_HOME" : "default");
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::torch_hub));
  WalkOptions options;
  options.cancel = context.cancel;
  // The root may also be the checkpoints folder itself, given by --root.
  const std::string weights = path::file_name(root.path) == kCheckpoints ? root.path : path::join(root.path, kCheckpoints);
  for (const Found& f : walk(context.fs, root.path, builder.problems(), options)) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    if (entry.role != Role::payload && entry.role != Role::link) continue;
    if (!path::is_within(weights, f.path)) {  // code, and weights that code keeps for itself
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      continue;
    }
    if (entry.role == Role::payload) entry.claim = prefix_in_name(path::file_name(f.path));
    catalog::Model model;
    model.id = path::relative_to(weights, path::join(path::parent(f.path), path::stem(f.path)));
    builder.join(builder.model(std::move(model)), e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::torch_hub
