// Checkpoints given to PyTorch hub under the names that carry their digests, and taken out again.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"
#include "mlxcache/stores/torch_hub_names.h"

namespace mlxcache::stores::torch_hub {
namespace {

namespace path = mlxbase::path;

constexpr std::string_view kCheckpoints = "checkpoints";

}  // namespace

std::optional<Root> default_root(const Context& context) {
  const auto& environment = context.environment;
  if (const auto torch = environment.get_nonempty("TORCH_HOME")) {
    return Root{StoreKind::torch_hub, path::join(environment.absolute(environment.expand(*torch)), "hub"), "TORCH_HOME"};
  }
  const auto cache = environment.get_nonempty("XDG_CACHE_HOME");
  const std::string base = cache ? environment.absolute(environment.expand(*cache)) : path::join(environment.home, ".cache");
  return Root{StoreKind::torch_hub, path::join(base, "torch/hub"), cache ? "XDG_CACHE_HOME" : "default"};
}

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const std::string folder = path::file_name(root.path) == kCheckpoints ? std::string() : std::string(kCheckpoints);
  PublicationBuilder out(context, root, source);
  std::string visible_as;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string name(path::file_name(source.files[i].name));
    const auto prefix = prefix_in_name(name);
    if (!prefix || !prefix->is_prefix_of(source.files[i].sha256)) continue;
    TRY(out.payload(path::join(folder, name), i));
    visible_as += (visible_as.empty() ? "" : ", ") + std::string(path::stem(name));
  }
  if (visible_as.empty()) {
    return mlxbase::fail(mlxbase::Code::unsupported, "PyTorch hub finds a file by the name it has at its address, <name>-<digits of its SHA-256>.pth, and this "
                                                     "model has none of such a name: " + describe_formats(source));
  }
  return out.finish(std::move(visible_as));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  std::vector<std::uint32_t> partials;  // <file>.<uuid>.partial
  for (const std::uint32_t mine : of->entries) {
    for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
      const Entry& entry = listing.entries[e];
      if (entry.role == Role::partial && entry.path.starts_with(listing.entries[mine].path + ".")) partials.push_back(e);
    }
  }
  return remove_plain(context, listing, model, partials);
}

}  // namespace mlxcache::stores::torch_hub
