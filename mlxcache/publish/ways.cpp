#include "mlxcache/publish/ways.h"

#include <fmt/format.h>

#include "mlxbase/core/path.h"
#include "mlxbase/core/units.h"

namespace mlxcache::publish {

namespace path = mlxbase::path;
using change::How;
using mlxbase::os::Follow;

std::string WayFinder::existing_folder(const std::string& p) const {
  std::string folder(path::parent(p));
  while (folder.size() > 1 && !context_.fs.stat(folder, Follow::yes)) folder = std::string(path::parent(folder));
  return folder;
}

const mlxbase::os::VolumeFacts& WayFinder::facts(const std::string& folder, bool probe) {
  const auto stat = context_.fs.stat(folder, Follow::yes);
  const std::uint64_t device = stat ? stat->id.device : 0;
  const auto [at, fresh] = known_.try_emplace({device, probe});
  if (fresh) {
    if (auto found = context_.fs.volume(folder, probe)) {
      at->second = std::move(*found);
    } else {
      at->second.why_not_probed = found.error().message;
    }
    at->second.device = device;  // of the folder: what hard links are decided by
  }
  return at->second;
}

Ways WayFinder::between(const stores::SourceFile& source, const catalog::Root& target, const std::string& p, catalog::Links tolerated, bool allow_copy) {
  Ways out;
  const std::string there = existing_folder(p);
  const std::string here = existing_folder(source.path);
  const auto to = facts(there, true);
  const auto from = facts(here, false);
  if (!to.why_not_probed.empty()) {
    out.reason = fmt::format("what the volume of {} can do could not be tried: {}", there, to.why_not_probed);
    return out;
  }
  const bool one_device = to.device == from.device;
  const bool one_pool = one_device || (!to.pool.empty() && to.pool == from.pool);
  const auto root = context_.fs.stat(existing_folder(path::join(target.path, "x")), Follow::yes);
  const auto own = context_.fs.stat(source.path, Follow::yes);
  // What is still to be moved there (a download of ours) will be ours.
  const bool one_owner = root && (own ? own->uid : context_.environment.uid) == root->uid;

  if (tolerated.reflink && source.shared_by.reflink && one_pool && to.clone.value_or(false)) out.ways.push_back(How::clone);
  if (tolerated.hard_link && source.shared_by.hard_link && one_device && one_owner && to.hard_links.value_or(false)) out.ways.push_back(How::hard_link);
  if (tolerated.symlink && source.shared_by.symlink && to.symlinks.value_or(false)) out.ways.push_back(How::symlink);
  if (allow_copy) out.ways.push_back(How::copy);
  if (!out.ways.empty()) return out;

  std::string why;
  if (!one_pool) {
    why = "it lies on another volume, where no blocks can be shared";
  } else if (!source.shared_by.hard_link && tolerated.hard_link) {
    why = "the volume cannot clone, and the file may not be hard-linked (its tool writes into it, or it is ONNX data)";
  } else if (!one_owner && tolerated.hard_link) {
    why = "the volume cannot clone, and a hard link would belong to another user than the rest of the store";
  } else {
    why = fmt::format("the volume cannot clone, and {} bears no other link", stores::adapter_of(target.kind).title);
  }
  out.reason = fmt::format("{} cannot be shared there: {}; a copy would take {}", path::file_name(source.name), why, mlxbase::format_bytes(source.size));
  return out;
}

}  // namespace mlxcache::publish
