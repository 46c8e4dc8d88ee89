#include "mlxcache/pull/confirm.h"

#include <atomic>

#include "mlxbase/core/log.h"
#include "mlxcache/pull/match.h"
#include "mlxcache/verify/measure.h"
#include "mlxcache/verify/memory.h"

namespace mlxcache::pull {
namespace {

using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;

const Digest* find(const std::vector<Digest>& digests, Algorithm algorithm) {
  for (const Digest& digest : digests) {
    if (digest.algorithm() == algorithm) return &digest;
  }
  return nullptr;
}

/// SHA-256 always; the git digest where the hub names the file by it.
std::vector<Algorithm> missing(const fetch::RemoteFile& remote, const std::vector<Digest>& digests) {
  std::vector<Algorithm> out;
  if (find(digests, Algorithm::sha256) == nullptr) out.push_back(Algorithm::sha256);
  if (remote.git_sha1 && find(digests, Algorithm::git_sha1) == nullptr) out.push_back(Algorithm::git_sha1);
  return out;
}

Obtained obtained(const Local& local, const std::vector<Digest>& digests) {
  Obtained out;
  out.path = local.path;
  out.state = local.state;
  out.shared_by = local.shared_by;
  out.sha256 = *find(digests, Algorithm::sha256);
  if (const Digest* git = find(digests, Algorithm::git_sha1)) out.git_sha1 = *git;
  return out;
}

}  // namespace

Result<std::optional<Obtained>> Confirmer::measure(const fetch::RemoteFile& remote, const Local& local) {
  const auto file = machinery_.context.fs.open_read(local.path);
  if (!file) return std::optional<Obtained>();  // gone since the scan: then it is downloaded
  const auto stat = (*file)->stat();
  if (!stat || catalog::fingerprint_of(*stat) != local.state) return std::optional<Obtained>();
  std::vector<Digest> digests = local.digests;
  const auto wanted = missing(remote, digests);
  if (!wanted.empty()) {
    machinery_.progress.item(local.path);
    std::atomic<std::uint64_t> bytes_read{0};
    auto measured = verify::measure(**file, wanted, machinery_.cancel, machinery_.progress, bytes_read);
    if (!measured && measured.error().code == Code::cancelled) return fail(std::move(measured).error());
    if (!measured || !measured->held_still) return std::optional<Obtained>();
    verify::Memory memory(catalog_, machinery_.clock);
    const auto earlier = catalog_.look_up(std::span(&local.state, 1));
    memory.keep(*measured, earlier && !earlier->empty() ? earlier->front() : std::nullopt);
    memory.flush();
    digests.insert(digests.end(), measured->digests.begin(), measured->digests.end());
  }
  if (!proves(digests, remote)) {
    mlxbase::log::info("pull.claim_failed", {{"path", local.path}});
    return std::optional<Obtained>();
  }
  return std::optional<Obtained>(obtained(local, digests));
}

Result<std::optional<Obtained>> Confirmer::first_true(const fetch::RemoteFile& remote, const std::vector<Local>& locals) {
  for (const Local& local : locals) {
    if (machinery_.cancel != nullptr && machinery_.cancel->requested()) return fail(Code::cancelled, "cancelled");
    auto found = TRY(measure(remote, local));
    if (found) return found;
  }
  return std::optional<Obtained>();
}

}  // namespace mlxcache::pull
