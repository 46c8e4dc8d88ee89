#include "mlxcache/watch/folders.h"

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/walk.h"

namespace mlxcache::watch {

std::vector<std::string> folders_below(mlxbase::os::FileSystem& fs, const std::vector<catalog::Root>& roots, std::size_t most, const mlxbase::Cancel& cancel) {
  std::vector<std::string> out;
  std::set<std::string> seen;  // a root may lie in another
  for (const catalog::Root& root : roots) {
    if (stores::adapter_of(root.kind).links == catalog::kNoLinks) continue;
    if (out.size() < most && seen.insert(root.path).second) out.push_back(root.path);
  }
  // Breadth first: where not all can be watched, the upper ones tell most.
  for (std::size_t at = 0; at < out.size() && out.size() < most && !cancel.requested(); ++at) {
    auto names = fs.list(out[at]);
    if (!names) continue;
    std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : *names) {
      if (out.size() >= most) break;
      if (entry.name.starts_with(".mlxcache-")) continue;
      std::string path = mlxbase::path::join(out[at], entry.name);
      auto kind = entry.kind;
      if (kind == mlxbase::os::FileKind::unknown) {
        const auto stat = fs.stat(path);
        if (stat) kind = stat->kind;
      }
      if (kind == mlxbase::os::FileKind::directory && seen.insert(path).second) out.push_back(std::move(path));
    }
  }
  return out;
}

bool is_news(std::string_view name) {
  return !stores::is_partial_name(name) && !stores::is_staging_name(name) && !name.ends_with(".lock") && !name.starts_with(".mlxcache-");
}

}  // namespace mlxcache::watch
