#pragma once
// One repo in the hub cache's layout, for the tools that share it.
#include <string>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/sample.h"

namespace mlxcache::sample {

struct HubRepo {
  std::string folder;  // absolute
  std::string commit;
};

/// SHA-256 of what the server would keep as a large file, git SHA-1 of the others.
std::string etag_of(const File& file);
mlxbase::Status put_once(const std::string& path, std::string_view bytes, std::uint32_t mode = 0644);

/// `model.id` is "org/name" or "name".
mlxbase::Result<HubRepo> start_hub_repo(const std::string& root, const Model& model);
/// Blob and snapshot link.
mlxbase::Status add_to_hub_repo(const HubRepo& repo, const File& file);
mlxbase::Status link_snapshot(const HubRepo& repo, const File& file, const std::string& etag);
/// The ref, and what `extras` asks for: partial and orphan in the first repo of a store, the broken link in the last.
mlxbase::Status finish_hub_repo(const HubRepo& repo, const Extras& extras, bool first, bool last);

}  // namespace mlxcache::sample
