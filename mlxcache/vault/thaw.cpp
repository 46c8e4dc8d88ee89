#include "mlxcache/vault/thaw.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/names.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/change/session.h"

namespace mlxcache::vault {

using change::Change;
using change::How;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

constexpr std::string_view kStaging = ".mlxcache-thaw";

std::string existing_folder(os::FileSystem& fs, std::string folder) {
  while (folder.size() > 1 && !fs.stat(folder, os::Follow::yes)) folder = std::string(path::parent(folder));
  return folder;
}

class Thawer {
 public:
  Thawer(Vault& vault, const FrozenModel& model, const Target& target, const change::Machinery& machinery, unsigned workers)
      : vault_(vault), model_(model), target_(target), machinery_(machinery), fs_(machinery.context.fs),
        means_{fs_, machinery.clock, machinery.progress, machinery.cancel, workers}, root_{target.kind, target.root, "vault"} {}

  Result<Thawed> run();

 private:
  Status open_staging();
  Status add(std::size_t i);
  Status add_file(std::size_t i, const std::string& to);
  Status make(const FrozenName& name, const std::string& at);
  Result<bool> is_there(const FrozenName& name, const std::string& to);
  void set_names_right();
  void clean();

  Vault& vault_;
  const FrozenModel& model_;
  const Target& target_;
  const change::Machinery& machinery_;
  os::FileSystem& fs_;
  Means means_;
  catalog::Root root_;
  std::string staging_;
  std::unique_ptr<os::Lock> staging_lock_;
  std::map<std::size_t, std::string> made_;  // first names of inodes, and where they lie until they are placed
  change::Plan plan_;
  std::vector<std::size_t> placed_;          // names that this run makes
  Thawed out_;
};

/// On the target's volume, so that what is whole can move in. What an earlier run left there goes.
Status Thawer::open_staging() {
  const std::string above = existing_folder(fs_, target_.root);
  const std::string own = path::join(machinery_.home, "thaw");
  TRY(os::make_dirs(fs_, machinery_.home, 0700));
  const bool at_home = TRY(fs_.stat(above, os::Follow::yes)).id.device == TRY(fs_.stat(machinery_.home, os::Follow::yes)).id.device;
  staging_ = at_home ? own : path::join(above, kStaging);
  TRY(os::make_dirs(fs_, staging_, 0700));
  auto lock = fs_.try_lock(path::join(staging_, "lock"), 0600);
  if (!lock && lock.error().code == Code::busy) return fail(Code::busy, fmt::format("another mlxcache thaws to {}", printable(staging_)));
  if (!lock) return fail(lock.error());
  staging_lock_ = std::move(*lock);
  for (const os::DirEntry& e : TRY(fs_.list(staging_))) {
    if (e.name != "lock") TRY(fs_.unlink(path::join(staging_, e.name)));
  }
  return {};
}

/// What is left at staging names was there already under its own.
void Thawer::clean() {
  if (staging_.empty()) return;
  if (const auto names = fs_.list(staging_)) {
    for (const os::DirEntry& e : *names) {
      if (e.name != "lock") (void)fs_.unlink(path::join(staging_, e.name));
    }
  }
  staging_lock_.reset();
  (void)fs_.unlink(path::join(staging_, "lock"));
  (void)fs_.remove_dir(staging_);
}

Status Thawer::make(const FrozenName& name, const std::string& at) {
  auto file = TRY(fs_.create(at, 0600));
  const bool sparse = std::ranges::any_of(name.segments, [](const Segment& s) { return s.what == Segment::What::hole; });
  if (!sparse) TRY(file->allocate(name.size));
  TRY(file->truncate(name.size));
  TRY(make_file(vault_, name, means_, [&](const Piece& piece) -> Status {
    if (piece.hole) return {};
    if (!piece.bytes.empty()) return file->pwrite(piece.offset, piece.bytes);
    if (!sparse) return {};  // reserved blocks read as zeros
    const std::vector<std::byte> zeros(std::size_t{1} << 20U);
    for (std::uint64_t done = 0; done < piece.length;) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), piece.length - done));
      TRY(file->pwrite(piece.offset + done, std::span(zeros).first(n)));
      done += n;
    }
    return {};
  }));
  for (const std::string& unset : TRY(file->set_metadata(name.metadata))) {
    if (unset != "owner") out_.notes.push_back({name.path, fmt::format("its {} could not be set", printable(unset))});
  }
  TRY(file->sync());
  ++out_.files;
  out_.bytes += name.size;
  return {};
}

/// Whether the very bytes have the name already.
Result<bool> Thawer::is_there(const FrozenName& name, const std::string& to) {
  const auto now = TRY(change::look(fs_, to));
  if (!now) return false;
  const auto other = [&] { return fail(Code::changed, fmt::format("{} is there already, with other content: nothing was made", printable(to))); };
  if (now->kind != name.kind) return other();
  if (name.kind == os::FileKind::directory) return true;
  if (name.kind == os::FileKind::symlink) {
    if (TRY(fs_.read_link(to)) != name.link_text) return other();
    return true;
  }
  const FrozenName& first = name.same_as == 0 ? name : model_.names[name.same_as - 1];
  if (now->size != first.size) return other();
  auto file = TRY(fs_.open_read(to));
  std::vector<std::byte> have;
  std::mutex mutex;
  auto equal = make_file(vault_, first, means_, [&](const Piece& piece) -> Status {
    const std::lock_guard lock(mutex);
    std::uint64_t done = 0;
    while (done < piece.length) {
      have.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece.length - done, std::uint64_t{1} << 20U)));
      const std::size_t got = TRY(file->pread(piece.offset + done, have));
      if (got == 0) return other();
      for (std::size_t i = 0; i < got; ++i) {
        if (have[i] != (piece.bytes.empty() ? std::byte{0} : piece.bytes[static_cast<std::size_t>(done) + i])) return other();
      }
      done += got;
    }
    return {};
  });
  if (!equal) return fail(equal.error());
  return true;
}

Status Thawer::add_file(std::size_t i, const std::string& to) {
  const FrozenName& name = model_.names[i];
  const std::size_t first = name.same_as == 0 ? i : name.same_as - 1;
  const std::string at = path::join(staging_, fmt::format("{}", i));
  if (const auto made = made_.find(first); made != made_.end()) {
    TRY(fs_.hard_link(made->second, at));
  } else {
    TRY(make(model_.names[first], at));
    made_.emplace(first, at);
  }
  Change c;
  c.kind = change::Kind::place;
  c.path = to;
  c.root = root_;
  c.ways = {How::adopt};
  c.source = at;
  c.source_digest = model_.names[first].sha256;
  c.mode = model_.names[first].metadata.mode;
  c.mtime_ns = model_.names[first].metadata.mtime_ns;
  c.bytes = name.same_as == 0 ? name.size : 0;
  plan_.changes.push_back(std::move(c));
  return {};
}

Status Thawer::add(std::size_t i) {
  const FrozenName& name = model_.names[i];
  const std::string to = place_of(target_, name.path);
  if (to.empty()) return {};
  TRY(change::check_parents(fs_, target_.root, to));
  if (TRY(is_there(name, to))) {
    if (name.kind != os::FileKind::directory) out_.there.push_back(to);
    return {};
  }
  placed_.push_back(i);
  Change c;
  c.path = to;
  c.root = root_;
  switch (name.kind) {
    case os::FileKind::directory: c.kind = change::Kind::make_folder; break;
    case os::FileKind::symlink:
      c.kind = change::Kind::place;
      c.ways = {How::link_text};
      c.content = name.link_text;
      break;
    default: return add_file(i, to);
  }
  plan_.changes.push_back(std::move(c));
  return {};
}

/// What the journal does not set: times of symlinks, modes and times of folders, the deepest first.
void Thawer::set_names_right() {
  for (auto i = placed_.rbegin(); i != placed_.rend(); ++i) {
    const FrozenName& name = model_.names[*i];
    if (name.kind == os::FileKind::regular) continue;
    const std::string to = place_of(target_, name.path);
    auto left = fs_.set_link_metadata(to, name.metadata);
    if (!left) {
      out_.notes.push_back({to, left.error().message});
      continue;
    }
    for (const std::string& unset : *left) {
      if (unset != "owner" && !(name.kind == os::FileKind::symlink && unset == "mode")) out_.notes.push_back({to, fmt::format("its {} could not be set", printable(unset))});
    }
  }
}

Result<Thawed> Thawer::run() {
  TRY(change::recover(machinery_));  // names of a run that was cut short would look as if they were there
  for (const FrozenName& n : model_.names) {
    // Looked at before anything is made: what is in the way costs no time then.
    const std::string to = place_of(target_, n.path);
    if (to.empty()) continue;
    const auto now = TRY(change::look(fs_, to));
    const FrozenName& first = n.same_as == 0 ? n : model_.names[n.same_as - 1];
    if (now && (now->kind != n.kind || (n.kind == os::FileKind::regular && now->size != first.size))) {
      return fail(Code::changed, fmt::format("{} is there already, with other content: nothing was made", printable(to)));
    }
  }
  TRY(open_staging());
  const auto all = [&]() -> Status {
    for (std::size_t i = 0; i < model_.names.size(); ++i) {
      machinery_.progress.item(model_.names[i].path);
      TRY(add(i));
    }
    out_.done = TRY(change::carry_out(machinery_, plan_));
    set_names_right();
    return {};
  };
  const Status done = all();
  clean();
  if (!done) return fail(done.error());
  return std::move(out_);
}

}  // namespace

Target target_of(const FrozenModel& model, const std::string& to) {
  Target target;
  if (const auto* adapter = stores::find_adapter(model.store)) target.kind = adapter->kind;
  if (to.empty()) {
    target.root = model.root;
    return target;
  }
  target.kind = catalog::StoreKind::loose;
  target.root = to;
  // The folder that all names share.
  std::optional<std::string> common;
  for (const FrozenName& n : model.names) {
    if (n.kind == os::FileKind::directory) continue;
    const std::size_t slash = n.path.rfind('/');
    const std::string folder = slash == std::string::npos ? std::string() : n.path.substr(0, slash + 1);
    if (!common) common = folder;
    while (!folder.starts_with(*common)) {
      const std::size_t above = common->size() < 2 ? std::string::npos : common->rfind('/', common->size() - 2);
      *common = above == std::string::npos ? std::string() : common->substr(0, above + 1);
    }
  }
  if (!model.store.empty() && common) target.strip = *common;  // a folder comes back as it was
  return target;
}

std::string place_of(const Target& target, const std::string& p) {
  if (p.size() < target.strip.size() || !p.starts_with(target.strip)) return {};
  const std::string rest = p.substr(target.strip.size());
  return rest.empty() ? std::string() : path::join(target.root, rest);
}

Result<Thawed> thaw(Vault& vault, const FrozenModel& model, const Target& target, const change::Machinery& machinery, unsigned workers) {
  return Thawer(vault, model, target, machinery, workers).run();
}

}  // namespace mlxcache::vault
