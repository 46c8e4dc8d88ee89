#include <fmt/format.h>

#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/change.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/change/work.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

/// Names of one inode in the trash: its blocks go with the last of them.
struct Names {
  std::uint64_t seen = 0;
};

bool in_trash(os::FileSystem& fs, const journal::Step& step) {
  const auto& i = *step.intent;
  if (!step.done() || step.undone() || step.emptied) return false;
  if (kind_of(i) != Kind::remove && kind_of(i) != Kind::replace) return false;
  if (i.before.kind == os::FileKind::directory) return false;
  const auto now = fs.stat(i.source);
  return now && same_inode(i.before.id, now->id);
}

/// Blocks that go with this name: none while another name of the inode stays.
std::uint64_t freed_by(os::FileSystem& fs, const std::string& name, std::map<os::FileId, Names>& names) {
  const auto now = fs.stat(name);
  if (!now || now->kind != os::FileKind::regular) return 0;
  if (++names[now->id].seen < now->links) return 0;
  const auto file = fs.open_read(name);
  if (!file) return now->allocated_bytes;
  const auto sharing = (*file)->sharing();
  return sharing ? sharing->private_bytes : now->allocated_bytes;
}

struct Opened {
  journal::Transaction transaction;
  journal::Contents contents;
  std::string file;
};
/// A transaction of this room that is at rest, or nothing.
std::optional<Opened> open(os::FileSystem& fs, const std::string& home, const std::string& id) {
  Opened out;
  out.file = journal::file_of(home, id);
  auto contents = journal::read(fs, out.file);
  if (!contents) return std::nullopt;
  out.contents = std::move(*contents);
  out.transaction = journal::fold(out.contents);
  if (out.transaction.cut() || !journal::changes_names(out.transaction)) return std::nullopt;
  return out;
}

std::vector<Trashed> trashed_of(os::FileSystem& fs, const journal::Transaction& t, std::map<os::FileId, Names>& names) {
  std::vector<Trashed> out;
  for (const auto& [index, step] : t.steps) {
    if (!in_trash(fs, step)) continue;
    const auto& i = *step.intent;
    out.push_back({t.begin.id, i.target, i.source, freed_by(fs, i.source, names), t.begin.time_ns});
  }
  return out;
}

/// Tells the journal, deletes, and closes it again.
Status empty_one(const Machinery& machinery, Opened& opened) {
  os::FileSystem& fs = machinery.context.fs;
  auto writer = TRY(journal::Writer::reopen(fs, opened.file, opened.contents));
  std::vector<const journal::Intent*> going;
  for (auto& [index, step] : opened.transaction.steps) {
    if (!in_trash(fs, step)) continue;
    TRY(writer.append(journal::Settled{.index = index, .outcome = journal::Outcome::emptied, .after_id = {}, .after_mtime_ns = 0, .after_size = 0, .digest = {}, .reason = {}}));
    step.emptied = true;
    going.push_back(&*step.intent);
  }
  TRY(writer.sync());
  Folders to_sync;
  for (const auto* i : going) {
    TRY(remove_if_there(fs, i->source));
    to_sync.add_parent_of(i->source);
  }
  TRY(to_sync.sync(fs));
  for (const auto* i : going) remove_own_folders(fs, *i, {}, to_sync);
  (void)to_sync.sync(fs);  // an empty folder of ours at worst
  const bool was_recovered = opened.transaction.closed->state == journal::State::recovered;
  TRY(writer.append(opened.transaction.closing(machinery.clock.wall_ns(), was_recovered)));
  return writer.sync();
}

Result<std::vector<std::string>> ids(const Machinery& machinery, const std::string& wanted) {
  std::vector<std::string> out;
  std::vector<std::string> problems;
  for (const auto& s : TRY(journal::list(machinery.context.fs, machinery.home, problems))) {
    if (wanted.empty() || s.id == wanted) out.push_back(s.id);
  }
  if (!wanted.empty() && out.empty()) return fail(Code::not_found, fmt::format("there is no transaction {}", mlxbase::printable(wanted)));
  return out;
}

}  // namespace

Result<std::vector<Trashed>> trash(const Machinery& machinery) {
  std::vector<Trashed> out;
  std::map<os::FileId, Names> names;
  for (const auto& id : TRY(ids(machinery, {}))) {
    const auto opened = open(machinery.context.fs, machinery.home, id);
    if (!opened) continue;
    for (auto& t : trashed_of(machinery.context.fs, opened->transaction, names)) out.push_back(std::move(t));
  }
  return out;
}

Result<std::vector<Trashed>> empty_trash(const Machinery& machinery, const std::string& transaction, std::int64_t older_than_ns) {
  os::FileSystem& fs = machinery.context.fs;
  std::vector<Trashed> out;
  if (!fs.stat(journal::folder(machinery.home), os::Follow::yes) && transaction.empty()) return out;
  const auto lock = TRY(lock_home(fs, machinery.home));
  TRY(recover_locked(machinery));
  std::map<os::FileId, Names> names;
  for (const auto& id : TRY(ids(machinery, transaction))) {
    auto opened = open(fs, machinery.home, id);
    if (!opened || opened->transaction.begin.time_ns >= older_than_ns) continue;
    auto going = trashed_of(fs, opened->transaction, names);
    if (going.empty()) continue;
    TRY(empty_one(machinery, *opened));
    for (auto& t : going) out.push_back(std::move(t));
  }
  return out;
}

}  // namespace mlxcache::change
