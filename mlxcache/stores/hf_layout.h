#pragma once
// The hub cache's layout, which huggingface_hub, hf-hub (Rust), Swift's HubClient and llama.cpp share.
#include <string>
#include <vector>

#include "mlxcache/stores/common.h"

namespace mlxcache::stores::hf {

/// Turns what a walk found below a hub cache into entries and models: one model a repo and revision (a repo that has none, but
/// has blobs or partials, is one incomplete model without revision). Names that are not of the layout become foreign.
void list_hub(const Context& context, const Root& root, Finds found, ListingBuilder& out);

/// `<etag>.<8 hex>.incomplete` in the repo's blobs/, or beside a shared payload: what every client ignores and `hf cache prune` removes.
std::string hub_staging(const Root& root, const std::string& target, std::string_view token);
/// Python's and Swift's lock of the etag; the shared store's own lock for its payloads.
std::vector<LockFile> hub_locks(const Root& root, const Entry& entry);

/// Names that folders of a hub are known by: an entry at the top of a folder that list_hub() shall get.
bool is_hub_top(std::string_view name);

}  // namespace mlxcache::stores::hf
