// Models given to the hub cache, and taken out of it.
#include <numeric>

#include "mlxcache/stores/hf_publish.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"

namespace mlxcache::stores::hf_hub {

std::optional<Root> default_root(const Context& context) { return hf::hub_of(context.environment, StoreKind::hf_hub); }

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  hf::HubPublication what;
  what.repo = TRY(hf::repo_for(source));
  what.files.resize(source.files.size());
  std::iota(what.files.begin(), what.files.end(), 0U);
  return hf::publish_to_hub(context, root, source, what);
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  return hf::remove_from_hub(context, listing, model);
}

}  // namespace mlxcache::stores::hf_hub
