#include "mlxcache/pull/obtain.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "mlxbase/core/log.h"
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

constexpr std::size_t kToolLocksKept = 32;

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
    std::stable_sort(to_download_.begin(), to_download_.end(), [&](std::size_t a, std::size_t b) { return comes_before(a, b); });
    while (!to_download_.empty()) {
      auto done = download();
      if (done) done = confirm_what_others_brought();
      if (done) continue;
      give_back(m_.context.fs, haul_);
      return fail(std::move(done).error());
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

  Status check_space() {
    if (to_download_.empty()) return {};
    std::uint64_t needed = 0;
    for (const std::size_t i : to_download_) needed += remote(i).size - std::min(plan_.files[i].resumable_bytes, remote(i).size);
    const auto volume = m_.context.fs.volume(existing_folder(m_.context.fs, plan_.downloads_folder), false);
    if (!volume || needed <= volume->free_bytes) return {};
    return fail(Code::out_of_space, fmt::format("{} are to be downloaded and {} are free on the volume of {}; 'mlxcache dedup' and 'mlxcache prune' make room", mlxbase::format_bytes(needed),
                                                mlxbase::format_bytes(volume->free_bytes), mlxbase::printable(plan_.targets.front().root.path)));
  }

  /// Small files, whose locks are held for a moment only; then large ones in the order of their digests: who takes several locks in one order, and begins none while he waits
  /// for an earlier one, waits in no circle.
  bool comes_before(std::size_t a, std::size_t b) const {
    if (is_large(a) != is_large(b)) return is_large(b);
    return is_large(a) && digest_at(a) < digest_at(b);
  }
  bool is_large(std::size_t i) const { return remote(i).size > fetch::kPieceBytes; }

  /// Where the id's own store has, or its tools would put, the file; empty where there is no such place.
  std::string blob_path(std::size_t i) const {
    const std::string& root = plan_.targets.front().root.path;
    if (const auto* hub = std::get_if<fetch::HubId>(&plan_.resolved.id)) {
      return path::join(root, stores::hf::repo_folder({"models", hub->repo}), "blobs", digest_at(i).hex());
    }
    if (std::holds_alternative<fetch::OllamaId>(plan_.resolved.id)) return path::join(root, "blobs", "sha256-" + digest_at(i).hex());
    return {};
  }

  struct Held {
    std::vector<std::unique_ptr<mlxbase::os::Lock>> of_tools;  // by which the store's own tools keep each other from downloading a file twice
    std::unique_ptr<mlxbase::os::Lock> of_download;            // and every mlxcache
  };

  enum class Taken : std::uint8_t { yes, busy };

  Result<Taken> take_locks(std::size_t i, const fetch::Wanted& wanted, Held& held) {
    if (const std::string blob = blob_path(i); !blob.empty()) {
      const catalog::Root& root = plan_.targets.front().root;
      catalog::Entry entry;
      entry.path = blob;
      for (const stores::LockFile& lock : stores::adapter_of(root.kind).locks(root, entry)) {
        // A volume that knows no locks, or a folder that cannot be made: as it is for the tools themselves.
        if (auto made = mlxbase::os::make_dirs(m_.context.fs, std::string(path::parent(lock.path))); !made) break;
        auto taken = m_.context.fs.try_lock(lock.path, lock.mode);
        if (taken) {
          held.of_tools.push_back(*std::move(taken));
        } else if (taken.error().code == Code::busy) {
          return Taken::busy;
        }
      }
    }
    if (!wanted.locked) return Taken::yes;
    auto taken = m_.context.fs.try_lock(fetch::lock_of(wanted), 0644);
    if (!taken && taken.error().code == Code::busy) return Taken::busy;
    if (!taken) return fail(std::move(taken).error());
    held.of_download = *std::move(taken);
    return Taken::yes;
  }

  /// Before a file is begun: has somebody brought it since the plan was made, is somebody at it, or is it ours?
  Result<fetch::Begin> may_begin(std::size_t i, const fetch::Wanted& wanted) {
    if (is_large(i) && i != next_large()) return fetch::Begin::later;
    held_.erase(i);  // it was begun before, and another mlxcache was at the download itself
    Held held;
    if (TRY(take_locks(i, wanted, held)) == Taken::busy) {
      if (!std::exchange(told_, true) && watcher_.on_wait) watcher_.on_wait(remote(i).path);
      return fetch::Begin::later;
    }
    if (is_large(i)) ++begun_;
    if (const auto local = in_store(i)) {
      brought_.emplace_back(i, *local);
      return fetch::Begin::never;
    }
    held_.emplace(i, std::move(held));
    return fetch::Begin::now;
  }

  std::optional<std::size_t> next_large() const { return begun_ < large_.size() ? std::optional(large_[begun_]) : std::nullopt; }

  /// What came into the store since the plan was made: another tool, or another mlxcache, has downloaded it.
  std::optional<Local> in_store(std::size_t i) const {
    const std::string blob = blob_path(i);
    if (blob.empty() || refused_.contains(i)) return std::nullopt;
    const auto real = m_.context.fs.real_path(blob);  // the hub's shared store is reached by a link
    if (!real || !path::is_within(m_.context.fs.real_path(plan_.targets.front().root.path).value_or(""), *real)) return std::nullopt;
    const auto stat = m_.context.fs.stat(*real);
    if (!stat || stat->kind != mlxbase::os::FileKind::regular || stat->size != remote(i).size) return std::nullopt;
    Local local;
    local.path = *real;
    local.state = catalog::fingerprint_of(*stat);
    local.evidence = Local::Evidence::claimed;
    return local;
  }

  Status download() {
    std::vector<std::size_t> coming;
    std::vector<fetch::Wanted> requests;
    large_.clear();
    begun_ = 0;
    for (const std::size_t i : to_download_) {
      if (remote(i).size == 0) {
        TRY(make_empty(i));
        continue;
      }
      coming.push_back(i);
      if (is_large(i)) large_.push_back(i);
      fetch::Wanted request;
      request.name = remote(i).path;
      request.urls = {remote(i).url};
      request.credential = plan_.resolved.credential;
      request.size = remote(i).size;
      request.digest = digest_at(i);
      request.folder = plan_.downloads_folder;
      request.locked = is_large(i);
      requests.push_back(std::move(request));
    }
    to_download_.clear();
    if (requests.empty()) return {};
    TRY(mlxbase::os::make_dirs(m_.context.fs, plan_.downloads_folder, 0700));
    const auto on_file = [&](std::size_t k, fetch::Downloaded&& file) { return downloaded(coming[k], std::move(file)); };
    const auto before_file = [&](std::size_t k) { return may_begin(coming[k], requests[k]); };
    auto done = fetch::download(m_.context.fs, client_, m_.clock, requests, options_.download, m_.progress, m_.cancel, on_file, before_file);
    // The store's own locks are taken again when names are given; ours on what was downloaded are kept until then.
    for (auto& [i, held] : held_) {
      if (held.of_download != nullptr) haul_.locks.push_back(std::move(held.of_download));
    }
    held_.clear();
    return done;
  }

  /// Measured after the downloads, which would stand still meanwhile. What is not what its name says is downloaded after all.
  Status confirm_what_others_brought() {
    if (brought_.empty()) return {};
    std::uint64_t bytes = 0;
    for (const auto& [i, local] : brought_) bytes += remote(i).size;
    m_.progress.stage("measuring", bytes, true);
    for (auto& [i, local] : brought_) {
      if (const auto known = catalog_.look_up(std::span(&local.state, 1)); known && known->front()) local.digests = known->front()->digests;
      auto found = TRY(confirmer_.first_true(remote(i), {local}));
      if (!found) {
        refused_.insert(i);
        to_download_.push_back(i);
        continue;
      }
      haul_.shared_bytes += remote(i).size;
      haul_.files[i] = *std::move(found);
      if (watcher_.on_confirmed) watcher_.on_confirmed(plan_.files[i], local);
    }
    brought_.clear();
    return {};
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
    out.path = file.path;
    if (!is_large(i)) {
      // Under a name of this process's own: the lock goes now, and another mlxcache may want the very same bytes.
      out.path = path::join(plan_.downloads_folder, fmt::format("{}{}{:08x}", digest_at(i).hex(), kOwnName, token_));
      TRY(m_.context.fs.rename(file.path, out.path));
      held_.erase(i);
    } else if (held_.size() > kToolLocksKept) {
      held_[i].of_tools.clear();  // processes have few descriptors
    }
    const auto stat = TRY(m_.context.fs.stat(out.path));
    out.state = catalog::fingerprint_of(stat);
    out.sha256 = file.sha256;
    out.git_sha1 = remote(i).git_sha1;
    out.downloaded = true;
    // By which a piece of it that rots will be found; without them, repair fetches the whole.
    const mlxbase::Chain chain{.sha256 = file.sha256, .size = stat.size, .links = std::move(file.links)};
    if (auto kept = catalog_.remember_chains(std::span(&chain, 1)); !kept) mlxbase::log::warning("pull.not_remembered", {{"reason", kept.error().message}});
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
  const std::uint32_t token_ = std::random_device{}();
  std::vector<std::size_t> to_download_;
  std::vector<std::pair<std::size_t, std::size_t>> same_bytes_;  // a file, and the first of equal digest
  std::vector<std::size_t> large_;                               // in the order in which they are begun
  std::size_t begun_ = 0;                                        // of large_
  std::map<std::size_t, Held> held_;
  bool told_ = false;                                            // the person knows that somebody is waited for
  std::vector<std::pair<std::size_t, Local>> brought_;           // by others while we were at it
  std::set<std::size_t> refused_;                                // brought by others, and not what they are called
};

}  // namespace

void give_back(mlxbase::os::FileSystem& fs, const Haul& haul) {
  for (const Obtained& file : haul.files) {
    const auto own = file.path.rfind(kOwnName);
    if (file.downloaded && own != std::string::npos && path::parent(file.path).size() < own) (void)fs.rename(file.path, file.path.substr(0, own));
  }
}

Result<Haul> obtain(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan& plan, const Options& options,
                    const Watcher& watcher) {
  return Obtaining(machinery, catalog, client, plan, options, watcher).run();
}

}  // namespace mlxcache::pull
