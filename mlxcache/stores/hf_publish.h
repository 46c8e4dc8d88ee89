#pragma once
// Models that come into a hub cache and leave it, for the tools that share its layout.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/os/environment.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/publication.h"

namespace mlxcache::stores::hf {

/// Where today's clients keep their cache, there or not; and the variable that says so.
Root hub_of(const mlxbase::os::Environment& environment, StoreKind kind);

/// Snapshots of models that no hub is known for get a commit that we made up of their files' digests. All of them begin alike, and no true
/// commit is likely to.
bool is_made_up(std::string_view commit);
std::string made_up_commit(const std::vector<std::pair<std::string, std::string>>& names_and_etags);

struct HubPublication {
  std::string repo;                  // "org/name"
  std::vector<std::uint32_t> files;  // of the source
  bool needs_ref = false;            // the tool sees only what refs/main names
};
/// Blobs, snapshot links, listing, ref, in that order. Errors: those of Adapter::publish.
mlxbase::Result<Publication> publish_to_hub(const Context& context, const Root& root, const ModelSource& source, const HubPublication& what);

/// The id under which the model is filed: its own, or one of ours ("mlxcache/name-tag"). Errors: invalid.
mlxbase::Result<std::string> repo_for(const ModelSource& source);

/// Ref, listing, snapshot, then the blobs that no other snapshot links, and the shared payloads that nobody refers to any more. With the last snapshot
/// of a repo all of it goes. Errors: those of Adapter::remove.
mlxbase::Result<Removal> remove_from_hub(const Context& context, const Listing& listing, std::uint32_t model);

}  // namespace mlxcache::stores::hf
