#include "mlxcache/pull/match.h"

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/walk.h"

namespace mlxcache::pull {
namespace {

namespace path = mlxbase::path;
using catalog::Role;
using mlxbase::Algorithm;
using mlxbase::Digest;

constexpr std::size_t kMostCandidates = 4;

/// Ways in which others may share the bytes: no hard link to what its tool writes in place.
catalog::Links shared_by(const catalog::Listing& listing, const catalog::Entry& entry) {
  const bool in_place = stores::adapter_of(listing.root.kind).writes_in_place;
  catalog::Links links = catalog::kAnyLink;
  if (in_place || !entry.links.hard_link) links.hard_link = false;
  if (in_place || stores::is_onnx(path::file_name(entry.path))) links = links & catalog::kReflinkOnly;
  return links;
}

bool may_be_source(Role role) { return role == Role::payload || role == Role::orphan || role == Role::metadata; }

bool is_claimed(const catalog::Entry& entry, const fetch::RemoteFile& remote) {
  if (!entry.claim) return false;
  return entry.claim == remote.sha256 || entry.claim == remote.git_sha1 || entry.claim == remote.xet;
}

/// Worth measuring although nobody gives a digest: a large file of exactly this size, or a small one of this name too.
bool is_alike(const catalog::Entry& entry, const fetch::RemoteFile& remote) {
  constexpr std::uint64_t kLarge = 64U << 10U;  // below, sizes meet by chance
  if (entry.claim && (entry.claim->algorithm() == Algorithm::sha256 || entry.claim->algorithm() == Algorithm::git_sha1)) return false;  // says other bytes
  return remote.size >= kLarge || path::file_name(entry.path) == path::file_name(remote.path);
}

}  // namespace

bool proves(const std::vector<Digest>& measured, const fetch::RemoteFile& remote) {
  bool proven = false;
  for (const Digest& digest : measured) {
    for (const auto* wanted : {&remote.sha256, &remote.git_sha1}) {
      if (!*wanted || (*wanted)->algorithm() != digest.algorithm()) continue;
      if (digest != **wanted) return false;
      proven = true;
    }
  }
  return proven;
}

Matcher::Matcher(const catalog::Inventory& inventory, catalog::Catalog& catalog) : inventory_(inventory), measured_(inventory.inodes.size()) {
  std::vector<catalog::Fingerprint> prints;
  prints.reserve(inventory.inodes.size());
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    const catalog::Inode& inode = inventory.inodes[i];
    by_size_.emplace(inode.stat.size, i);
    prints.push_back(catalog::fingerprint_of(inode.stat));
    if (inode.sha256) measured_[i].push_back(*inode.sha256);
  }
  const auto known = catalog.look_up(prints);
  if (!known) return;  // the catalog only saves work
  for (std::size_t i = 0; i < known->size(); ++i) {
    if ((*known)[i]) measured_[i] = (*known)[i]->digests;
    const auto& sha256 = inventory.inodes[i].sha256;
    if (sha256 && std::find(measured_[i].begin(), measured_[i].end(), *sha256) == measured_[i].end()) measured_[i].push_back(*sha256);
  }
}

std::vector<Local> Matcher::find(const fetch::RemoteFile& remote, const std::string& home_root) const {
  std::vector<Local> out;
  const auto [begin, end] = by_size_.equal_range(remote.size);
  for (auto it = begin; it != end; ++it) {
    const catalog::Inode& inode = inventory_.inodes[it->second];
    if (inode.stat.dataless || inode.stat.size == 0) continue;
    const auto& digests = measured_[it->second];
    std::optional<Local> best;
    for (const catalog::NameRef name : inode.names) {
      const catalog::Listing& listing = inventory_.listings[name.store];
      const catalog::Entry& entry = inventory_.entry(name);
      if (!may_be_source(entry.role) || entry.stat.kind != mlxbase::os::FileKind::regular) continue;
      const bool contradicted = !proves(digests, remote) && std::any_of(digests.begin(), digests.end(), [&](const Digest& d) {
        return (remote.sha256 && d.algorithm() == Algorithm::sha256) || (remote.git_sha1 && d.algorithm() == Algorithm::git_sha1);
      });
      if (contradicted) break;
      Local local;
      if (proves(digests, remote)) local.evidence = Local::Evidence::measured;
      else if (is_claimed(entry, remote)) local.evidence = Local::Evidence::claimed;
      else if (is_alike(entry, remote)) local.evidence = Local::Evidence::alike;
      else continue;
      local.path = entry.path;
      local.store = listing.root.kind;
      local.state = catalog::fingerprint_of(inode.stat);
      local.shared_by = shared_by(listing, entry);
      local.digests = digests;
      const bool better = !best || local.evidence < best->evidence || (local.evidence == best->evidence && path::is_within(home_root, local.path));
      if (better) best = std::move(local);
    }
    if (best) out.push_back(*std::move(best));
  }
  std::stable_sort(out.begin(), out.end(), [&](const Local& a, const Local& b) {
    if (a.evidence != b.evidence) return a.evidence < b.evidence;
    return path::is_within(home_root, a.path) && !path::is_within(home_root, b.path);
  });
  if (out.size() > kMostCandidates) out.resize(kMostCandidates);
  return out;
}

}  // namespace mlxcache::pull
