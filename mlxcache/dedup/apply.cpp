#include "mlxcache/dedup/apply.h"

#include <fmt/format.h>

#include <cerrno>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/dedup/bytes.h"
#include "mlxcache/dedup/step.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::dedup {
namespace {

using catalog::Fingerprint;
using catalog::fingerprint_of;
using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::printable;
namespace os = mlxbase::os;

constexpr std::size_t kBatchActions = 64;                           // each keeps up to two descriptors open; macOS gives 256
constexpr std::uint64_t kBatchBytes = std::uint64_t{64} << 20U;     // more than this and the syncs saved are nothing beside the reading
constexpr std::uint64_t kInPlaceShare = 4;                          // in place no twins wait for the batch's end: four times as much
constexpr std::size_t kMaxHoles = 4096;                             // of a sparse file, kept for its undo

class Applier {
 public:
  Applier(const Machinery& machinery, const Plan& plan)
      : machinery_(machinery), fs_(machinery.context.fs), plan_(plan), locks_(fs_) {}

  Result<Applied> run();

 private:
  /// One action on its way through a batch.
  struct Work {
    std::size_t action = 0;
    journal::Intent intent;
  };

  Status start_journal();
  void run_batch(std::size_t begin, std::size_t end);
  Result<journal::Intent> prepare(std::size_t index);
  Result<std::optional<Prepared>> stage(Work& work);
  Result<std::optional<Prepared>> share(Work& work, Prepared& p);
  Status make_twin(const Work& work, Prepared& p);
  Status fill_twin(const Work& work, Prepared& p);
  Status fall_back(Work& work, Method method, bool inside);
  void settle_batch(const std::vector<Work>& works, std::vector<Prepared>& batch);
  void settled_done(const Work& work, const os::FileId& after, const std::string& digest);
  void done(const Work& work, const os::FileId& after, const std::string& digest);
  void skip(std::size_t action, std::string reason, bool for_now = false);
  void rolled_back(const Work& work, std::string reason, bool stuck, bool for_now = false);
  void note_state(const os::FileStat& now, const Fingerprint& planned);
  Fingerprint expected(const Fingerprint& planned) const;
  Status check_unchanged(const os::FileStat& now, const Fingerprint& planned, std::string_view which) const;
  void keep_folder_times(const Action& action);
  void restore_folder_times();
  void close();
  bool cancelled() const { return machinery_.cancel != nullptr && machinery_.cancel->requested(); }

  const Machinery& machinery_;
  os::FileSystem& fs_;
  const Plan& plan_;
  std::optional<journal::Writer> journal_;
  Applied out_;
  LockSet locks_;
  std::optional<Error> journal_error_;
  bool stuck_ = false;
  std::uint64_t in_part_ = 0;                          // shared in part: not done, but something to undo
  std::map<os::FileId, Fingerprint> now_;              // inodes whose ctime our own links and renames moved
  std::map<std::uint64_t, std::string> cannot_share_;  // volumes that refused to share in place, and what they said
  std::map<os::FileId, std::vector<std::size_t>> names_of_;  // inode → actions on its names
  std::set<os::FileId> synced_;                        // sources whose bytes are on the device
  std::map<std::string, os::FileStat> folder_times_;
  std::map<std::string, std::string> folders_used_;    // folder of temporary names → a target they were for
};

std::string reason_of(const Error& error) { return error.message; }

void Applier::skip(std::size_t action, std::string reason, bool for_now) { out_.skipped.push_back({plan_.actions[action].target, std::move(reason), for_now}); }

Fingerprint Applier::expected(const Fingerprint& planned) const {
  const auto it = now_.find(planned.id);
  return it == now_.end() ? planned : it->second;
}

/// Our own links and renames move ctime. Only that is taken over: other bytes or another mtime stay a change.
void Applier::note_state(const os::FileStat& now, const Fingerprint& planned) {
  if (now.id == planned.id && now.size == planned.size && now.mtime_ns == planned.mtime_ns) now_[planned.id] = fingerprint_of(now);
}

Status Applier::check_unchanged(const os::FileStat& now, const Fingerprint& planned, std::string_view which) const {
  if (now.kind != os::FileKind::regular) return fail(Code::changed, fmt::format("{} is a {} now", which, to_string(now.kind)));
  if (!(fingerprint_of(now) == expected(planned))) return fail(Code::changed, fmt::format("{} changed since the scan", which));
  if (now.dataless) return fail(Code::unsupported, fmt::format("{} is a placeholder whose bytes are in a cloud", which));
  return {};
}

Result<journal::Intent> Applier::prepare(std::size_t index) {
  const Action& a = plan_.actions[index];
  TRY(check_within(fs_, a.target_root.path, a.target));
  TRY(check_within(fs_, a.source_root.path, a.source));
  const auto source = TRY(fs_.stat(a.source));
  TRY(check_unchanged(source, a.source_state, "the file to share with"));
  const auto target = TRY(fs_.stat(a.target));
  TRY(check_unchanged(target, a.target_state, "it"));
  if (source.id == target.id) return fail(Code::changed, "it is the same file already");
  if (target.immutable) return fail(Code::permission, "it is marked immutable");
  if (source.size != target.size) return fail(Code::changed, "its size is another");

  journal::Intent intent;
  intent.index = static_cast<std::uint32_t>(index);
  intent.method = static_cast<std::uint8_t>(a.method);
  if (a.method == Method::dedupe && target.links <= names_of_.at(target.id).size() && cannot_share_.contains(target.id.device)) intent.method = static_cast<std::uint8_t>(Method::clone);
  intent.source = a.source;
  intent.target = a.target;
  const auto names = TRY(temporary_names(fs_, a.target_root, a.target, target.id.device, false));
  intent.staging = names.staging;
  intent.keep = names.keep;
  intent.source_kind = static_cast<std::uint8_t>(a.source_root.kind);
  intent.target_kind = static_cast<std::uint8_t>(a.target_root.kind);
  intent.source_root = a.source_root.path;
  intent.target_root = a.target_root.path;
  intent.source_id = source.id;
  intent.size = target.size;
  intent.bytes = a.bytes;
  if (a.digest) intent.digest = a.digest->to_string();
  auto file = TRY(fs_.open_read(a.target));
  auto metadata = TRY(file->metadata());
  auto holes = TRY(holes_of(*file, kMaxHoles));
  intent.before = {.kind = target.kind, .id = target.id, .size = target.size, .links = target.links, .ctime_ns = target.ctime_ns,
                   .metadata = std::move(metadata), .link_text = {}, .other_names = {}, .holes = std::move(holes)};
  for (const std::size_t other : names_of_.at(target.id)) {
    if (other != index) intent.before.other_names.push_back(plan_.actions[other].target);
  }
  // Opening and looking took a moment.
  TRY(check_unchanged(TRY(file->stat()), a.target_state, "it"));
  return intent;
}

/// The same action by another method or with its temporary names elsewhere: the journal is told first.
Status Applier::fall_back(Work& work, Method method, bool inside) {
  const Action& a = plan_.actions[work.action];
  work.intent.method = static_cast<std::uint8_t>(method);
  if (inside) {
    const auto names = TRY(temporary_names(fs_, a.target_root, a.target, work.intent.before.id.device, true));
    work.intent.staging = names.staging;
    work.intent.keep = names.keep;
  }
  auto written = journal_->append(work.intent);
  if (written) written = journal_->sync();
  if (!written) journal_error_ = written.error();
  return written;
}

/// Shares in place. Gives nothing if that is the end of it, or `p` back to go on with a clone.
Result<std::optional<Prepared>> Applier::share(Work& work, Prepared& p) {
  const Action& a = plan_.actions[work.action];
  const auto shared = share_in_place(fs_, *p.source.file, *p.target.file, work.intent.size, machinery_.cancel, machinery_.progress);
  if (shared.how == Shared::whole) {
    done(work, a.target_state.id, {});
    if (auto now = p.target.file->stat()) note_state(*now, a.target_state);
    return std::optional<Prepared>();
  }
  if (shared.how == Shared::in_part) {
    if (shared.bytes == 0) return fail(Code::changed, shared.reason);
    // Equal bytes are shared now, and undo shall find them: the journal tells of the part.
    work.intent.bytes = std::min(work.intent.bytes, shared.bytes);
    (void)journal_->append(work.intent);
    settled_done(work, a.target_state.id, {});
    ++in_part_;
    out_.bytes_freed += work.intent.bytes;
    skip(work.action, fmt::format("only its first {} could be shared: {}", mlxbase::format_bytes(shared.bytes), shared.reason));
    return std::optional<Prepared>();
  }
  // A clone is a new inode for one name only; the others would stay behind.
  if (work.intent.before.links > work.intent.before.other_names.size() + 1) return fail(Code::unsupported, fmt::format("it has several names, and could not be shared in place: {}", shared.reason));
  cannot_share_.emplace(a.target_state.id.device, shared.reason);
  TRY(fall_back(work, Method::clone, false));
  return std::optional<Prepared>(std::move(p));
}

/// Makes the new inode's name at the staging place.
Status Applier::make_twin(const Work& work, Prepared& p) {
  const journal::Intent& i = work.intent;
  switch (static_cast<Method>(i.method)) {
    case Method::clone: return fs_.clone_file(i.source, i.staging);
    case Method::hard_link: {
      TRY(fs_.hard_link(i.source, i.staging));
      if (TRY(fs_.stat(i.staging)).id != p.source_state.id) return fail(Code::changed, "the file to share with was replaced meanwhile");
      return {};
    }
    case Method::symlink: return fs_.make_symlink(i.source, i.staging);
    case Method::dedupe: break;
  }
  return fail(Code::invalid, "no such method");
}

/// Compares, gives the twin the target's metadata, forces it to the device. What is compared is what the name will get: the twin itself
/// if it is a clone (nobody else knows it), else the source, held against writers until the swap is over.
Status Applier::fill_twin(const Work& work, Prepared& p) {
  const journal::Intent& i = work.intent;
  const auto method = static_cast<Method>(i.method);
  std::unique_ptr<os::File> twin;
  if (method == Method::clone) twin = TRY(fs_.open_read(i.staging));
  const auto compared = TRY(compare(method == Method::clone ? *twin : *p.source.file, *p.target.file, machinery_.cancel, machinery_.progress));
  if (!compared.equal) return fail(Code::changed, "its bytes are not equal");
  p.staged = {.index = i.index, .undo = false, .new_id = {}, .digest = compared.digest};
  if (method == Method::clone) {
    for (const auto& name : TRY(twin->set_metadata(i.before.metadata))) {
      if (name.starts_with("security.")) continue;  // the kernel labels each inode itself
      return fail(Code::permission, fmt::format("a clone could not keep its {}", name));
    }
    TRY(twin->sync());
    p.source = {};
  } else if (synced_.insert(p.source_state.id).second) {
    // The target's bytes were safe on the device, perhaps; those that stand for both must be.
    if (auto synced = p.source.file->sync(); !synced) {
      synced_.erase(p.source_state.id);
      return synced;
    }
    if (method == Method::symlink) TRY(fs_.sync_dir(folder_of(i.source)));
  }
  if (method == Method::symlink) (void)fs_.set_link_metadata(i.staging, i.before.metadata);  // times of a link: what can be kept
  p.staged.new_id = TRY(fs_.stat(i.staging)).id;
  return {};
}

/// Brings one action to the point where its names can be swapped. Gives nothing if it is done already (shared in place).
Result<std::optional<Prepared>> Applier::stage(Work& work) {
  const Action& a = plan_.actions[work.action];
  machinery_.progress.item(a.target);
  Prepared p;
  p.key = work.action;
  p.target = TRY(hold(fs_, a.target));
  p.source = TRY(hold(fs_, a.source));
  const auto target = TRY(p.target.file->stat());
  TRY(check_unchanged(target, a.target_state, "it"));
  p.source_state = TRY(p.source.file->stat());
  TRY(check_unchanged(p.source_state, a.source_state, "the file to share with"));
  TRY(locks_.take(a.target_root, a.target, target));
  TRY(locks_.take(a.source_root, a.source, p.source_state));

  if (static_cast<Method>(work.intent.method) == Method::dedupe) {
    auto shared = TRY(share(work, p));
    if (!shared) return shared;
    p = std::move(*shared);
  }
  if (auto made = make_staging_folder(fs_, a.target_root, work.intent.staging); !made) {
    if (made.error().code != Code::permission) return fail(made.error());
    TRY(fall_back(work, static_cast<Method>(work.intent.method), true));
    TRY(make_staging_folder(fs_, a.target_root, work.intent.staging));
  }
  folders_used_.emplace(folder_of(work.intent.staging), a.target);
  keep_folder_times(a);
  const auto fill = [&]() -> Status {
    TRY(make_twin(work, p));
    return fill_twin(work, p);
  };
  if (auto filled = fill(); !filled) {
    // EEXIST means that the name is somebody else's; nothing of ours is there then.
    if (filled.error().os_errno != EEXIST && !remove_if_there(fs_, work.intent.staging)) stuck_ = true;
    if (p.source.file) {
      if (auto now = p.source.file->stat()) note_state(*now, a.source_state);
    }
    return fail(filled.error());
  }
  if (p.source.file) {
    if (auto now = p.source.file->stat()) note_state(*now, a.source_state);
  }
  if (static_cast<Method>(work.intent.method) == Method::symlink) p.source_path = a.source;
  p.swap = {.target = work.intent.target, .staging = work.intent.staging, .keep = work.intent.keep, .old_kind = os::FileKind::regular,
            .old_id = target.id, .old_size = target.size, .old_mtime_ns = target.mtime_ns, .new_id = p.staged.new_id};
  return std::optional<Prepared>(std::move(p));
}

void Applier::keep_folder_times(const Action& action) {
  if (!stores::adapter_of(action.target_root.kind).keeps_mtime) return;
  const std::string dir = folder_of(action.target);
  if (folder_times_.contains(dir)) return;
  if (auto s = fs_.stat(dir, os::Follow::yes)) folder_times_.emplace(dir, *s);
}

void Applier::restore_folder_times() {
  for (const auto& [dir, s] : folder_times_) (void)fs_.set_times(dir, s.atime_ns, s.mtime_ns);
  folder_times_.clear();
}

void Applier::settled_done(const Work& work, const os::FileId& after, const std::string& digest) {
  journal::Settled s{.index = work.intent.index, .outcome = journal::Outcome::done, .after_id = after, .after_mtime_ns = work.intent.before.metadata.mtime_ns,
                     .after_size = work.intent.size, .digest = digest, .reason = {}};
  if (auto now = fs_.stat(work.intent.target)) {
    s.after_mtime_ns = now->mtime_ns;
    s.after_size = now->size;
  }
  // If this cannot be written, the disk still tells; the next sync reports the journal's failure.
  (void)journal_->append(s);
}

void Applier::done(const Work& work, const os::FileId& after, const std::string& digest) {
  const Action& a = plan_.actions[work.action];
  settled_done(work, after, digest);
  Action carried = a;
  carried.method = static_cast<Method>(work.intent.method);
  out_.done.push_back(std::move(carried));
  out_.bytes_freed += a.bytes;
}

void Applier::rolled_back(const Work& work, std::string reason, bool stuck, bool for_now) {
  if (stuck) {
    stuck_ = true;
  } else {
    (void)journal_->append(journal::Settled{.index = work.intent.index, .outcome = journal::Outcome::rolled_back, .after_id = work.intent.before.id,
                                            .after_mtime_ns = 0, .after_size = 0, .digest = {}, .reason = reason});
  }
  skip(work.action, std::move(reason), for_now);
}

void Applier::settle_batch(const std::vector<Work>& works, std::vector<Prepared>& batch) {
  for (auto& p : batch) {
    const Action& a = plan_.actions[p.key];
    const auto work = std::find_if(works.begin(), works.end(), [&](const Work& w) { return w.action == p.key; });
    if (p.result.kind == SwapResult::Kind::done) {
      done(*work, p.staged.new_id, p.staged.digest);
    } else {
      rolled_back(*work, p.result.reason, p.result.kind == SwapResult::Kind::stuck);
    }
    // The old inode may have other names that come later in the plan; the source certainly has.
    if (p.target.file) {
      if (auto now = p.target.file->stat()) note_state(*now, a.target_state);
    }
    if (p.source.file) {
      if (auto now = p.source.file->stat()) note_state(*now, a.source_state);
    }
  }
}

void Applier::run_batch(std::size_t begin, std::size_t end) {
  std::vector<Work> works;
  for (std::size_t i = begin; i < end; ++i) {
    auto intent = prepare(i);
    if (!intent) {
      skip(i, reason_of(intent.error()), intent.error().code == Code::busy);
      continue;
    }
    if (auto appended = journal_->append(*intent); !appended) {
      if (appended.error().code != Code::invalid) journal_error_ = appended.error();
      skip(i, reason_of(appended.error()));
      if (journal_error_) return;
      continue;
    }
    works.push_back({i, std::move(*intent)});
  }
  if (works.empty()) return;
  if (auto synced = journal_->sync(); !synced) {
    journal_error_ = synced.error();
    for (const auto& w : works) skip(w.action, fmt::format("the journal could not be written: {}", reason_of(*journal_error_)));
    return;
  }
  std::vector<Prepared> batch;
  for (auto& work : works) {
    if (cancelled() || journal_error_) {
      rolled_back(work, journal_error_ ? fmt::format("the journal could not be written: {}", reason_of(*journal_error_)) : "stopped before its turn", false);
      continue;
    }
    auto prepared = stage(work);
    if (!prepared) {
      rolled_back(work, reason_of(prepared.error()), false, prepared.error().code == Code::busy);
    } else if (*prepared) {
      batch.push_back(std::move(**prepared));
    }
  }
  if (batch.empty()) return;
  if (auto carried = carry_out(fs_, *journal_, batch); !carried) journal_error_ = carried.error();
  settle_batch(works, batch);
}

Status Applier::start_journal() {
  const std::string command = machinery_.command.empty() ? "dedup" : machinery_.command;
  for (int attempt = 0;; ++attempt) {
    const auto now = machinery_.clock.wall_ns();
    journal::Begin begin{.id = new_transaction_id(now), .time_ns = now, .command = command, .version = std::string(kProgramVersion)};
    auto writer = journal::Writer::create(fs_, machinery_.home, begin);
    if (!writer) {
      if (writer.error().os_errno == EEXIST && attempt < 16) continue;
      return fail(Error{writer.error().code, fmt::format("the journal cannot be written, so nothing was changed: {}", writer.error().message), writer.error().os_errno});
    }
    out_.transaction = begin.id;
    journal_.emplace(std::move(*writer));
    return {};
  }
}

/// Ends the transaction, if nothing of it is left anywhere. Otherwise it stays open for recover().
void Applier::close() {
  for (const auto& [folder, target] : folders_used_) {
    // Not before the removal of our temporary names is on the device may the journal say that there are none.
    if (auto synced = fs_.sync_dir(folder); !synced && synced.error().code != Code::not_found) stuck_ = true;
    remove_staging_folder(fs_, target, mlxbase::path::join(folder, "x"));
  }
  if (stuck_ || journal_error_) {
    (void)journal_->flush();
    return;
  }
  journal::Closed closed{.state = journal::State::complete, .time_ns = machinery_.clock.wall_ns(), .actions = out_.done.size() + in_part_, .bytes_freed = out_.bytes_freed};
  if (journal_->append(closed)) (void)journal_->sync();
}

Result<Applied> Applier::run() {
  if (plan_.actions.empty()) return std::move(out_);
  if (cancelled()) return fail(Code::cancelled, "stopped before anything was changed");
  const auto lock = TRY(lock_home(fs_, machinery_.home));
  TRY(recover_locked(machinery_));
  TRY(start_journal());

  std::uint64_t total = 0;
  for (std::size_t i = 0; i < plan_.actions.size(); ++i) {
    total += plan_.actions[i].size;
    names_of_[plan_.actions[i].target_state.id].push_back(i);
  }
  machinery_.progress.stage("sharing", total, true);
  const std::size_t count = plan_.actions.size();
  std::size_t begin = 0;
  while (begin < count && !cancelled() && !journal_error_) {
    std::size_t end = begin;
    std::uint64_t bytes = 0;
    for (; end < count && end - begin < kBatchActions; ++end) {
      const Action& a = plan_.actions[end];
      const std::uint64_t more = a.method == Method::dedupe ? a.size / kInPlaceShare : a.size;
      if (end > begin && bytes + more > kBatchBytes) break;
      bytes += more;
    }
    run_batch(begin, end);
    locks_.clear();
    restore_folder_times();
    begin = end;
  }
  for (; begin < count; ++begin) {
    skip(begin, journal_error_ ? fmt::format("the journal could not be written: {}", reason_of(*journal_error_)) : "stopped before its turn");
  }
  close();

  std::set<os::FileId> told;
  for (const auto& a : out_.done) {
    for (const auto& [planned, path] : {std::pair(a.target_state, a.target), std::pair(a.source_state, a.source)}) {
      if (!told.insert(planned.id).second) continue;
      const auto now = fs_.stat(path);
      if (now && now->kind == os::FileKind::regular && now->size == planned.size && !(fingerprint_of(*now) == planned)) {
        out_.moved.push_back({planned, fingerprint_of(*now)});
      }
    }
  }
  return std::move(out_);
}

}  // namespace

Result<Applied> apply(const Machinery& machinery, const Plan& plan) { return Applier(machinery, plan).run(); }

}  // namespace mlxcache::dedup
