#pragma once
// The Hugging Face hub's control plane: an id to a commit and its files.
#include "mlxcache/fetch/ask.h"
#include "mlxcache/fetch/fetch.h"

namespace mlxcache::fetch {

/// Errors: as Resolver::resolve.
mlxbase::Result<Resolved> resolve_hub(Asker& asker, const Endpoints& endpoints, const HubId& id, const Selection& selection);

}  // namespace mlxcache::fetch
