#include "mlxcache/pull/obtain.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/pull/confirm.h"
#include "mlxcache/pull/downloads_folder.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::pull {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::size_t kBatch = 48;  // files whose locks are held at once: each has two, and processes have few descriptors

const mlxbase::Digest& digest_of(const fetch::RemoteFile& remote) { return remote.sha256 ? *remote.sha256 : *remote.git_sha1; }

class Obtaining {
 public:
  Obtaining(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan& plan, const Options& options,
            const Watcher& watcher)
      : m_(machinery), catalog_(catalog), client_(client), plan_(plan), options_(options), watcher_(watcher), confirmer_(machinery, catalog) {
    haul_.files.resize(plan.files.size());
  }

  Result<Haul> run() {
    TRY(confirm_locals());
    TRY(check_space());
    // In the order of digests: whoever takes several locks in one order waits in no circle.
    std::sort(to_download_.begin(), to_download_.end(), [&](std::size_t a, std::size_t b) { return digest_at(a) < digest_at(b); });
    m_.progress.stage("downloading", bytes_to_download(), true);
    for (std::size_t begin = 0; begin < to_download_.size(); begin += kBatch) {
      TRY(batch({to_download_.begin() + static_cast<std::ptrdiff_t>(begin),
                 to_download_.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kBatch, to_download_.size()))}));
    }
    for (const auto& [name, of] : same_bytes_) haul_.files[name] = haul_.files[of];
    return std::move(haul_);
  }

 private:
  const fetch::RemoteFile& remote(std::size_t i) const { return plan_.files[i].remote; }
  const mlxbase::Digest& digest_at(std::size_t i) const { return digest_of(remote(i)); }

  Status confirm_locals() {
    std::uint64_t bytes = 0;
    for (const PlannedFile& file : plan_.files) {
      if (!file.locals.empty() && file.locals.front().evidence != Local::Evidence::measured) bytes += file.remote.size;
    }
    m_.progress.stage("measuring", bytes, true);
    std::map<mlxbase::Digest, std::size_t> first;
    for (std::size_t i = 0; i < plan_.files.size(); ++i) {
      if (!remote(i).sha256 && !remote(i).git_sha1) return fail(Code::corrupt, mlxbase::printable(remote(i).path) + ": the server gives no digest");
      const auto [at, is_first] = first.emplace(digest_at(i), i);
      if (!is_first) {
        same_bytes_.emplace_back(i, at->second);
        continue;
      }
      auto found = TRY(confirmer_.first_true(remote(i), plan_.files[i].locals));
      if (!found) {
        to_download_.push_back(i);
        continue;
      }
      if (watcher_.on_confirmed && !plan_.files[i].locals.empty()) watcher_.on_confirmed(plan_.files[i], plan_.files[i].locals.front());
      haul_.shared_bytes += remote(i).size;
      haul_.files[i] = *std::move(found);
    }
    return {};
  }

  std::uint64_t bytes_to_download() const {
    std::uint64_t bytes = 0;
    for (const std::size_t i : to_download_) bytes += remote(i).size;
    return bytes;
  }

  Status check_space() {
    if (to_download_.empty()) return {};
    std::uint64_t needed = 0;
    for (const std::size_t i : to_download_) needed += remote(i).size - std::min(plan_.files[i].resumable_bytes, remote(i).size);
    const auto volume = m_.context.fs.volume(existing_folder(m_.context.fs, plan_.downloads_folder), false);
    if (!volume || needed <= volume->free_bytes) return {};
    return fail(Code::out_of_space, fmt::format("{} are to be downloaded and {} are free on the volume of {}", mlxbase::format_bytes(needed),
                                                mlxbase::format_bytes(volume->free_bytes), mlxbase::printable(plan_.targets.front().root.path)));
  }

  /// Where the hub's own tools would put the file while they download it; empty where the id's store is none of theirs.
  std::string blob_path(std::size_t i) const {
    const auto* hub = std::get_if<fetch::HubId>(&plan_.resolved.id);
    if (hub == nullptr) return {};
    return path::join(plan_.targets.front().root.path, stores::hf::repo_folder({"models", hub->repo}), "blobs", digest_at(i).hex());
  }

  using Locks = std::vector<std::unique_ptr<mlxbase::os::Lock>>;

  /// The locks by which the store's own tools keep each other from downloading a file twice. Waits for as long as they hold them.
  Status take_locks(std::size_t i, Locks& held) {
    const std::string blob = blob_path(i);
    if (blob.empty()) return {};
    const catalog::Root& root = plan_.targets.front().root;
    catalog::Entry entry;
    entry.path = blob;
    bool told = false;
    for (const stores::LockFile& lock : stores::adapter_of(root.kind).locks(root, entry)) {
      if (auto made = mlxbase::os::make_dirs(m_.context.fs, std::string(path::parent(lock.path))); !made) return {};  // as with a volume that knows no locks
      while (true) {
        auto taken = m_.context.fs.try_lock(lock.path, lock.mode);
        if (taken) {
          held.push_back(*std::move(taken));
          break;
        }
        if (taken.error().code != Code::busy) break;
        if (!told && watcher_.on_wait) watcher_.on_wait(remote(i).path);
        told = true;
        TRY(pause());
      }
    }
    return {};
  }

  Status pause() {
    constexpr std::uint32_t kPauseMs = 300;
    if (m_.cancel != nullptr && m_.cancel->requested()) return fail(Code::cancelled, "cancelled");
    const std::int64_t end = m_.clock.steady_ns() + std::int64_t{kPauseMs} * 1'000'000;
    while (m_.clock.steady_ns() < end) TRY(client_.poll(kPauseMs));
    return {};
  }

  /// What came into the store since the plan was made: another tool has downloaded it.
  Result<bool> adopt_if_there(std::size_t i) {
    const std::string blob = blob_path(i);
    if (blob.empty()) return false;
    const auto real = m_.context.fs.real_path(blob);  // the hub's shared store is reached by a link
    if (!real || !path::is_within(m_.context.fs.real_path(plan_.targets.front().root.path).value_or(""), *real)) return false;
    const auto stat = m_.context.fs.stat(*real);
    if (!stat || stat->kind != mlxbase::os::FileKind::regular || stat->size != remote(i).size) return false;
    Local local;
    local.path = *real;
    local.state = catalog::fingerprint_of(*stat);
    local.evidence = Local::Evidence::claimed;
    auto found = TRY(confirmer_.first_true(remote(i), {local}));
    if (!found) return false;
    haul_.shared_bytes += remote(i).size;
    haul_.files[i] = *std::move(found);
    if (watcher_.on_confirmed) watcher_.on_confirmed(plan_.files[i], local);
    return true;
  }

  Status batch(const std::vector<std::size_t>& wanted) {
    Locks held;
    std::vector<std::size_t> coming;
    std::vector<fetch::Wanted> requests;
    for (const std::size_t i : wanted) {
      TRY(take_locks(i, held));
      if (TRY(adopt_if_there(i))) continue;
      if (remote(i).size == 0) {
        TRY(make_empty(i));
        continue;
      }
      coming.push_back(i);
      fetch::Wanted request;
      request.name = remote(i).path;
      request.urls = {remote(i).url};
      request.credential = plan_.resolved.credential;
      request.size = remote(i).size;
      request.digest = digest_at(i);
      request.folder = plan_.downloads_folder;
      requests.push_back(std::move(request));
    }
    if (requests.empty()) return {};
    TRY(mlxbase::os::make_dirs(m_.context.fs, plan_.downloads_folder, 0700));
    const auto on_file = [&](std::size_t k, fetch::Downloaded&& file) { return downloaded(coming[k], std::move(file)); };
    return fetch::download(m_.context.fs, client_, m_.clock, requests, options_.download, m_.progress, m_.cancel, on_file);
  }

  /// A file without bytes needs no server.
  Status make_empty(std::size_t i) {
    TRY(mlxbase::os::make_dirs(m_.context.fs, plan_.downloads_folder, 0700));
    const std::string at = path::join(plan_.downloads_folder, digest_at(i).hex() + ".part");
    TRY(mlxbase::os::write_file_atomically(m_.context.fs, at, "", 0644));
    mlxbase::Hasher own(digest_at(i).algorithm(), 0);
    if (own.finish() != digest_at(i)) return fail(Code::corrupt, mlxbase::printable(remote(i).path) + ": the server gives an empty file a digest that it cannot have");
    fetch::Downloaded empty;
    empty.path = at;
    empty.sha256 = mlxbase::Hasher(mlxbase::Algorithm::sha256).finish();
    return downloaded(i, std::move(empty));
  }

  Status downloaded(std::size_t i, fetch::Downloaded&& file) {
    Obtained out;
    const auto stat = TRY(m_.context.fs.stat(file.path));
    out.path = file.path;
    out.state = catalog::fingerprint_of(stat);
    out.sha256 = file.sha256;
    out.git_sha1 = remote(i).git_sha1;
    out.downloaded = true;
    haul_.downloaded_bytes += file.bytes_transferred;
    haul_.files[i] = std::move(out);
    if (watcher_.on_downloaded) watcher_.on_downloaded(plan_.files[i], file.bytes_transferred);
    return {};
  }

  const change::Machinery& m_;
  catalog::Catalog& catalog_;
  mlxbase::net::Client& client_;
  Plan& plan_;
  const Options& options_;
  const Watcher& watcher_;
  Confirmer confirmer_;
  Haul haul_;
  std::vector<std::size_t> to_download_;
  std::vector<std::pair<std::size_t, std::size_t>> same_bytes_;  // a file, and the first of equal digest
};

}  // namespace

Result<Haul> obtain(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan& plan, const Options& options,
                    const Watcher& watcher) {
  return Obtaining(machinery, catalog, client, plan, options, watcher).run();
}

}  // namespace mlxcache::pull
