#include "mlxcache/dedup/volumes.h"

#include <fmt/format.h>

namespace mlxcache::dedup {

const mlxbase::os::VolumeFacts& Volumes::facts(std::uint64_t device, const std::string& folder) {
  Known& known = known_[device];
  if (known.probed) return known.facts;
  auto found = fs_.volume(folder, true);
  if (!found) {
    if (known.facts.why_not_probed.empty()) known.facts.why_not_probed = found.error().message;
    return known.facts;
  }
  // A root that is a symlink, or has a mount below it, may lie on another device than the file that was asked about.
  if (found->device != device) {
    if (known.facts.why_not_probed.empty()) known.facts.why_not_probed = "the store's folder lies on another volume than the file";
    return known.facts;
  }
  known.facts = std::move(*found);
  known.probed = known.facts.why_not_probed.empty();
  return known.facts;
}

std::string Volumes::pool(std::uint64_t device, const std::string& folder) {
  const auto& f = facts(device, folder);
  return f.pool.empty() ? fmt::format("device {}", device) : f.pool;
}

}  // namespace mlxcache::dedup
