#include "mlxcache/cli/abandoned.h"

#include <algorithm>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/pull/downloads_folder.h"
#include "mlxcache/pull/obtain.h"

namespace mlxcache::cli {
namespace {

namespace path = mlxbase::path;

/// "<hex>", "<hex>.part", "<hex>.state", "<hex>.for-…": the hex; else empty.
std::string key_of(std::string_view name) {
  for (const std::string_view ending : {".part", ".state"}) {
    if (name.ends_with(ending)) name.remove_suffix(ending.size());
  }
  if (const auto own = name.rfind(pull::kOwnName); own != std::string_view::npos) name = name.substr(0, own);
  const bool hex = std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return hex && (name.size() == 40 || name.size() == 64) ? std::string(name) : std::string();
}

}  // namespace

std::vector<Abandoned> abandoned_downloads(Session& session, std::span<const catalog::Root> roots, std::int64_t before_ns) {
  std::set<std::string> folders{path::join(session.home(), "downloads")};
  for (const catalog::Root& root : roots) folders.insert(pull::downloads_folder(session.context(), session.home(), root));
  std::vector<Abandoned> out;
  for (const std::string& folder : folders) {
    const auto names = session.fs().list(folder);
    if (!names) continue;
    std::map<std::string, Abandoned> by_key;
    std::map<std::string, std::int64_t> newest;
    for (const auto& entry : *names) {
      const std::string key = key_of(entry.name);
      const std::string file = path::join(folder, entry.name);
      const auto stat = session.fs().stat(file);
      if (key.empty() || !stat || stat->kind != mlxbase::os::FileKind::regular) continue;
      Abandoned& a = by_key[key];
      a.folder = folder;
      a.key = key;
      a.files.push_back(file);
      a.bytes += stat->links == 1 ? stat->allocated_bytes : 0;
      newest[key] = std::max({newest[key], stat->mtime_ns, stat->ctime_ns});
    }
    for (auto& [key, a] : by_key) {
      if (newest[key] < before_ns) out.push_back(std::move(a));
    }
  }
  return out;
}

std::uint64_t delete_abandoned(Session& session, std::span<const Abandoned> downloads) {
  std::uint64_t freed = 0;
  for (const Abandoned& a : downloads) {
    const std::string lock_file = path::join(a.folder, a.key + ".lock");
    auto lock = session.fs().try_lock(lock_file, 0600);
    if (!lock) continue;
    bool all = true;
    for (const std::string& file : a.files) all = session.fs().unlink(file).has_value() && all;
    if (all) freed += a.bytes;
  }
  return freed;
}

}  // namespace mlxcache::cli
