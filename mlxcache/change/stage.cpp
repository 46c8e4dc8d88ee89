#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/bytes.h"
#include "mlxcache/change/work.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

/// The volume cannot do it this way (here), so the next way may be tried.
bool volume_refuses(const Error& error, How how) {
  if (error.code == Code::unsupported || error.os_errno == EXDEV || error.os_errno == EMLINK) return true;
  return how == How::hard_link && error.os_errno == EPERM;  // no second names here, or not of other users' files
}

class Stager {
 public:
  Stager(const Machinery& machinery, Places& places, journal::Writer& journal, Work& work, Folders& to_sync)
      : machinery_(machinery), fs_(machinery.context.fs), places_(places), journal_(journal), work_(work), i_(work.intent), to_sync_(to_sync) {}

  Status run();

 private:
  Status folder();
  Status away();
  Status fresh();
  Status keep_old();
  Status in_staging_folder();
  Status tell_journal();
  Result<os::FileStat> make(How how);
  Result<os::FileStat> make_text();
  Result<os::FileStat> take_in();
  Result<os::FileStat> make_from_source(How how);
  Result<os::FileStat> finish_file(os::File& file);
  Status check_source(os::File& source) const;
  os::Metadata owned_like_folder(os::Metadata m) const;

  const Machinery& machinery_;
  os::FileSystem& fs_;
  Places& places_;
  journal::Writer& journal_;
  Work& work_;
  journal::Intent& i_;
  Folders& to_sync_;
};

Status Stager::tell_journal() {
  TRY(journal_.append(i_));
  return journal_.sync();
}

Status Stager::folder() {
  TRY(check_parents(fs_, i_.target_root, i_.target));
  if (auto folder = fs_.make_dir(i_.target, 0755); !folder) {
    // Somebody was quicker: with a new plan there is nothing to do for it.
    if (folder.error().os_errno == EEXIST) return fail(Error{Code::changed, folder.error().message, EEXIST});
    return folder;
  }
  const auto made = TRY(fs_.stat(i_.target));
  if (const auto above = fs_.stat(folder_of(i_.target), os::Follow::yes); above && (above->uid != made.uid || above->gid != made.gid)) {
    // A tool of another user has to be able to work in it.
    (void)fs_.set_link_metadata(i_.target, {.mode = made.mode, .uid = above->uid, .gid = above->gid, .atime_ns = made.atime_ns, .mtime_ns = made.mtime_ns});
  }
  to_sync_.add_parent_of(i_.target);
  work_.after = made;
  work_.staged = journal::Staged{.index = i_.index, .undo = false, .new_id = made.id, .digest = {}};
  return {};
}

/// The second name in the trash, of the very inode that was seen.
Status Stager::keep_old() {
  if (auto made = places_.make_trash_folders(i_.source, to_sync_); !made) {
    if (made.error().code != Code::permission) return made;
    i_.source = TRY(places_.trash(work_.change.root, i_.target, i_.index, true));
    TRY(tell_journal());
    TRY(places_.make_trash_folders(i_.source, to_sync_));
  }
  auto linked = fs_.hard_link(i_.target, i_.source);
  to_sync_.add_parent_of(i_.source);
  if (!linked) {
    const bool cannot = linked.error().code == Code::unsupported || linked.error().code == Code::permission || linked.error().os_errno == EMLINK;
    if (cannot && kind_of(i_) == Kind::remove) return {};  // then it is renamed when its turn comes
    return linked;
  }
  const auto got = TRY(fs_.stat(i_.source));
  if (got.id == i_.before.id) return {};
  TRY(fs_.unlink(i_.source));
  return fail(Code::changed, fmt::format("{} was replaced meanwhile", printable(i_.target)));
}

Status Stager::in_staging_folder() {
  auto made = make_staging_folder(fs_, work_.change.root, i_.staging);
  if (made || made.error().code != Code::permission) return made;
  i_.staging = TRY(places_.staging(work_.change.root, i_.target, true));
  if (!i_.keep.empty()) i_.keep = TRY(places_.staging(work_.change.root, i_.target, true));
  TRY(tell_journal());
  return make_staging_folder(fs_, work_.change.root, i_.staging);
}

Status Stager::away() {
  if (i_.before.kind == os::FileKind::directory) return {};
  if (i_.before.kind == os::FileKind::regular) {
    // Held only for the look: who writes it now keeps it.
    const auto held = TRY(hold(fs_, i_.target));
    const auto now = TRY(held.file->stat());
    if (now.id != i_.before.id || now.size != i_.before.size) return fail(Code::changed, fmt::format("{} changed meanwhile", printable(i_.target)));
  }
  TRY(in_staging_folder());
  return keep_old();
}

os::Metadata Stager::owned_like_folder(os::Metadata m) const {
  if (const auto above = fs_.stat(folder_of(i_.target), os::Follow::yes)) {
    m.uid = above->uid;
    m.gid = above->gid;
  }
  return m;
}

/// Metadata and bytes on the device; the inode.
Result<os::FileStat> Stager::finish_file(os::File& file) {
  if (kind_of(i_) == Kind::replace) {
    os::Metadata m = i_.before.metadata;
    // A new text is news to its tool; a mended file is what the tool has known all along.
    if (work_.change.ways.front() != How::adopt) m.atime_ns = m.mtime_ns = machinery_.clock.wall_ns();
    for (const auto& name : TRY(file.set_metadata(m))) {
      if (!name.starts_with("security.")) return fail(Code::permission, fmt::format("{} could not keep its {}", printable(i_.target), name));
    }
  } else {
    os::Metadata m = owned_like_folder(TRY(file.metadata()));
    m.mode = i_.before.metadata.mode;
    m.mtime_ns = i_.before.metadata.mtime_ns;
    (void)TRY(file.set_metadata(m));  // an owner that cannot be set is ours
  }
  TRY(file.sync());
  return file.stat();
}

Result<os::FileStat> Stager::make_text() {
  auto file = TRY(fs_.create(i_.staging, 0600));
  TRY(file->pwrite(0, mlxbase::as_bytes(work_.change.content)));
  return finish_file(*file);
}

/// Against what was seen before anything began; ctime is left out, since our own links move it.
Status Stager::check_source(os::File& source) const {
  const auto now = TRY(source.stat());
  const bool same_time = !work_.change.source_state || now.mtime_ns == work_.change.source_state->mtime_ns;
  if (now.id != i_.source_id || now.size != i_.size || !same_time) return fail(Code::changed, fmt::format("{} changed meanwhile", printable(i_.source)));
  return {};
}

Result<os::FileStat> Stager::make_from_source(How how) {
  auto source = TRY(hold(fs_, i_.source));
  TRY(check_source(*source.file));
  if (how == How::adopt) {
    const auto target_folder = TRY(fs_.stat(folder_of(i_.target), os::Follow::yes));
    const auto source_folder = TRY(fs_.stat(folder_of(i_.source), os::Follow::yes));
    if (target_folder.id.device != source_folder.id.device) return fail(Code::unsupported, "it lies on another volume");
    return finish_file(*source.file);
  }
  if (how == How::hard_link) {
    TRY(fs_.hard_link(i_.source, i_.staging));
    const auto linked = TRY(fs_.stat(i_.staging));
    if (linked.id != i_.source_id) return fail(Code::changed, fmt::format("{} was replaced meanwhile", printable(i_.source)));
    i_.before.metadata.mode = linked.mode;
    i_.before.metadata.mtime_ns = linked.mtime_ns;
    TRY(source.file->sync());
    return linked;
  }
  if (how == How::clone) {
    TRY(fs_.clone_file(i_.source, i_.staging));
    auto twin = TRY(fs_.open_read(i_.staging));
    if (source.guard->broken()) return fail(Code::changed, fmt::format("{} is being written", printable(i_.source)));
    TRY(check_source(*source.file));
    return finish_file(*twin);
  }
  if (!work_.change.source_digest) return fail(Code::invalid, "a copy needs a digest to compare with");
  auto copy = TRY(fs_.create(i_.staging, 0600));
  const auto digest = TRY(copy_bytes(*source.file, *copy, i_.size, {}, machinery_.cancel, machinery_.progress));
  if (digest != work_.change.source_digest->to_string()) return fail(Code::corrupt, fmt::format("{} does not have the digest it should have", printable(i_.source)));
  return finish_file(*copy);
}

/// The file that takes another's place moves to the temporary name: from there on it is like one that was made here.
Result<os::FileStat> Stager::take_in() {
  TRY(fs_.rename_new(work_.change.source, i_.staging));
  auto file = TRY(fs_.open_read(i_.staging));
  if (TRY(file->stat()).size != i_.size) return fail(Code::changed, fmt::format("{} changed meanwhile", printable(work_.change.source)));
  return finish_file(*file);
}

Result<os::FileStat> Stager::make(How how) {
  if (how == How::text) return make_text();
  if (how == How::adopt && kind_of(i_) == Kind::replace) return take_in();
  if (how == How::link_text || how == How::symlink) {
    TRY(fs_.make_symlink(how == How::symlink ? i_.source : work_.change.content, i_.staging));
    return fs_.stat(i_.staging);
  }
  return make_from_source(how);
}

Status Stager::fresh() {
  TRY(check_parents(fs_, i_.target_root, i_.target));
  TRY(in_staging_folder());
  to_sync_.add_parent_of(i_.staging);
  for (std::size_t n = 0; n < work_.change.ways.size(); ++n) {
    const How how = work_.change.ways[n];
    if (n > 0) {
      i_.source_kind = static_cast<std::uint8_t>(how);
      i_.before.kind = how == How::link_text || how == How::symlink ? os::FileKind::symlink : os::FileKind::regular;
      TRY(tell_journal());
    }
    auto made = make(how);
    if (made) {
      work_.after = *made;
      work_.staged = journal::Staged{.index = i_.index, .undo = false, .new_id = made->id, .digest = i_.digest};
      work_.change.ways = {how};
      // A hard link has the mode and time of its source, and undo compares with those.
      if (how == How::hard_link) TRY(journal_.append(i_));
      return {};
    }
    if (how != How::adopt && made.error().os_errno != EEXIST) TRY(remove_if_there(fs_, i_.staging));
    if (!volume_refuses(made.error(), how) || n + 1 == work_.change.ways.size()) return fail(made.error());
  }
  return fail(Code::invalid, "no way is given");
}

Status Stager::run() {
  machinery_.progress.item(i_.target);
  switch (kind_of(i_)) {
    case Kind::make_folder: return folder();
    case Kind::remove: return away();
    case Kind::place: return fresh();
    case Kind::replace: TRY(keep_old()); return fresh();
  }
  return {};
}

}  // namespace

Status stage(const Machinery& machinery, Places& places, journal::Writer& journal, Work& work, Folders& to_sync) {
  return Stager(machinery, places, journal, work, to_sync).run();
}

}  // namespace mlxcache::change
