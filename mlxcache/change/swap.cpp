#include "mlxcache/change/swap.h"

#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/session.h"

namespace mlxcache::change {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;

constexpr int kRounds = 64;  // an owner that replaces the file this often while we look at it keeps us out

SwapResult done() { return {SwapResult::Kind::done, {}}; }
SwapResult refused(std::string reason) { return {SwapResult::Kind::refused, std::move(reason)}; }
SwapResult stuck(std::string reason) { return {SwapResult::Kind::stuck, std::move(reason)}; }

/// Whether the name has the old inode, with the bytes that were compared. ctime is left out: renaming moves it.
bool is_old(const Swap& swap, const os::FileStat& s) {
  return s.id == swap.old_id && s.kind == swap.old_kind && s.size == swap.old_size && s.mtime_ns == swap.old_mtime_ns;
}

/// A stat where "not there" is an answer.
Result<std::optional<os::FileStat>> look(os::FileSystem& fs, const std::string& path) {
  if (path.empty()) return std::optional<os::FileStat>();
  auto s = fs.stat(path, os::Follow::no);
  if (s) return std::optional<os::FileStat>(*s);
  if (s.error().code == Code::not_found) return std::optional<os::FileStat>();
  return fail(s.error());
}

/// Gives the inode at `from` the free name `target` again. Never over something that has appeared there.
Status give_name_back(os::FileSystem& fs, const std::string& from, const std::string& target) {
  auto linked = fs.hard_link(from, target);
  if (!linked) return linked;
  TRY(fs.sync_dir(folder_of(target)));  // before its only other name goes
  return fs.unlink(from);
}

/// The loop behind put_back(): both names are exchanged until the one that goes away is what we had put there ourselves, so that
/// whatever the owner put at the target, at any moment in between, ends up at the target.
Status exchange_back(os::FileSystem& fs, const Swap& swap) {
  os::FileId placed = swap.new_id;
  for (int round = 0; round < kRounds; ++round) {
    const auto hand = TRY(fs.stat(swap.staging)).id;
    if (auto swapped = fs.exchange(swap.staging, swap.target); !swapped) {
      if (swapped.error().code != Code::not_found) return swapped;
      // The owner removed the name meanwhile. Bytes that may be newer than what we compared are not thrown away for that.
      auto named = give_name_back(fs, swap.staging, swap.target);
      if (named || named.error().os_errno != EEXIST) return named;
      continue;
    }
    const auto got = TRY(fs.stat(swap.staging)).id;
    if (got == placed) return fs.unlink(swap.staging);
    placed = hand;
  }
  return fail(Code::busy, fmt::format("{} is replaced again and again", mlxbase::printable(swap.target)));
}

Status rename_back(os::FileSystem& fs, const Swap& swap) {
  const auto now = TRY(look(fs, swap.target));
  if (!now) return give_name_back(fs, swap.keep, swap.target);
  if (now->id == swap.new_id) {
    TRY(fs.rename(swap.keep, swap.target));
    return remove_if_there(fs, swap.keep);  // rename between two names of one inode leaves both
  }
  return fs.unlink(swap.keep);  // its owner has replaced the target: the old inode is superseded
}

/// For volumes that cannot swap names: the old inode gets a second name first, so that nothing depends on the rename.
SwapResult swap_by_rename(os::FileSystem& fs, Swap& swap) {
  if (auto linked = fs.hard_link(swap.target, swap.keep); !linked) {
    return refused(fmt::format("the volume can neither swap two names nor give a file a second one: {}", linked.error().message));
  }
  const auto drop = [&](std::string reason) {
    if (auto removed = fs.unlink(swap.keep); !removed) return stuck(removed.error().message);
    return refused(std::move(reason));
  };
  const auto kept = fs.stat(swap.keep);
  const auto now = fs.stat(swap.target);
  if (!kept || !now) return drop(kept ? now.error().message : kept.error().message);
  if (!is_old(swap, *kept) || !is_old(swap, *now)) return drop("it changed meanwhile");
  if (auto renamed = fs.rename(swap.staging, swap.target); !renamed) return drop(renamed.error().message);
  swap.kept = true;
  const auto after = fs.stat(swap.target);
  if (after && after->id == swap.new_id) return done();
  return put_back(fs, swap, after ? "it changed meanwhile" : after.error().message);
}

}  // namespace

SwapResult swap_in(os::FileSystem& fs, Swap& swap) {
  swap.kept = false;
  const auto now = fs.stat(swap.target);
  if (!now) return refused(now.error().code == Code::not_found ? "it is gone" : now.error().message);
  if (!is_old(swap, *now)) return refused("it changed meanwhile");
  if (auto swapped = fs.exchange(swap.staging, swap.target); !swapped) {
    if (swapped.error().code == Code::unsupported) return swap_by_rename(fs, swap);
    return refused(swapped.error().code == Code::not_found ? "it is gone" : swapped.error().message);
  }
  // Between the look and the swap the owner may have put something else there: then that is in our hands now.
  const auto got = fs.stat(swap.staging);
  if (got && is_old(swap, *got)) return done();
  return put_back(fs, swap, got ? "it changed meanwhile" : got.error().message);
}

SwapResult put_back(os::FileSystem& fs, const Swap& swap, std::string reason) {
  auto back = swap.kept ? rename_back(fs, swap) : exchange_back(fs, swap);
  if (!back) return stuck(fmt::format("{}; putting it back failed: {}", reason, back.error().message));
  return refused(std::move(reason));
}

SwapResult finish(os::FileSystem& fs, const Swap& swap) {
  const auto old = fs.stat(swap.old_at());
  if (!old) return put_back(fs, swap, old.error().message);
  if (!is_old(swap, *old)) return put_back(fs, swap, "it changed meanwhile");
  if (auto removed = fs.unlink(swap.old_at()); !removed) return put_back(fs, swap, removed.error().message);
  return done();
}

Result<Fate> settle(os::FileSystem& fs, Swap swap, bool staged) {
  const auto target = TRY(look(fs, swap.target));
  const auto staging = TRY(look(fs, swap.staging));
  const auto keep = TRY(look(fs, swap.keep));
  // After a crash only inode numbers are compared (see same_inode): everything here lies on one volume.
  const auto old_inode = [&](const std::optional<os::FileStat>& s) { return s && same_inode(swap.old_id, s->id) && s->kind == swap.old_kind; };
  const auto new_inode = [&](const std::optional<os::FileStat>& s) { return s && staged && same_inode(swap.new_id, s->id); };
  const auto clear = [&](const std::optional<os::FileStat>& s, const std::string& path) -> Status {
    if (!s) return {};
    return remove_if_there(fs, path);
  };
  const auto sync_names = [&]() -> Status {
    for (const std::string& dir : {folder_of(swap.target), folder_of(swap.staging)}) {
      if (auto synced = fs.sync_dir(dir); !synced && synced.error().code != Code::not_found) return synced;
    }
    return {};
  };
  const auto cannot_tell = [&](const std::string& what) {
    return fail(Code::changed, fmt::format("{} holds a file that is neither the old one nor the new one; left alone", mlxbase::printable(what)));
  };

  if (!staged) {
    // The swap never began: what lies at the temporary names is our preparation, unless it is the old inode itself and its only name.
    if ((old_inode(staging) || old_inode(keep)) && !old_inode(target)) return cannot_tell(swap.staging);
    TRY(clear(staging, swap.staging));
    TRY(clear(keep, swap.keep));
    if (staging || keep) TRY(sync_names());
    return Fate::old_stays;
  }
  if (old_inode(target)) {
    if (staging && !old_inode(staging) && !new_inode(staging)) return cannot_tell(swap.staging);
    TRY(clear(staging, swap.staging));
    TRY(clear(keep, swap.keep));
    TRY(sync_names());
    return Fate::old_stays;
  }
  if (new_inode(target)) {
    if (staging && !new_inode(staging)) {
      // The old inode, or one that the owner put at the target just before the swap.
      swap.old_id = staging->id;
      swap.new_id = target->id;
      swap.kept = false;
      auto back = exchange_back(fs, swap);
      if (!back && back.error().code == Code::unsupported) {
        // It was on its way back from elsewhere, where two names cannot be swapped: then as from `keep`.
        Swap by_rename = swap;
        by_rename.keep = swap.staging;
        back = rename_back(fs, by_rename);
      }
      TRY(back);
      TRY(clear(keep, swap.keep));
      TRY(sync_names());
      return Fate::old_stays;
    }
    if (old_inode(keep)) {
      swap.new_id = target->id;
      TRY(rename_back(fs, swap));
      TRY(clear(staging, swap.staging));
      TRY(sync_names());
      return Fate::old_stays;
    }
    TRY(clear(staging, swap.staging));
    TRY(clear(keep, swap.keep));
    TRY(sync_names());
    return Fate::swapped;
  }
  if (!target && (old_inode(staging) || old_inode(keep))) {
    // The old inode has no name but ours. Whether its owner removed the target is not for us to guess: it gets its name back.
    if (!look(fs, folder_of(swap.target))->has_value()) {
      TRY(clear(staging, swap.staging));  // the whole folder was removed since: so was the file
      TRY(clear(keep, swap.keep));
      return Fate::old_stays;
    }
    const bool at_staging = old_inode(staging);
    TRY(give_name_back(fs, at_staging ? swap.staging : swap.keep, swap.target));
    if (at_staging) {
      TRY(clear(keep, swap.keep));
    } else {
      TRY(clear(staging, swap.staging));
    }
    TRY(sync_names());
    return Fate::old_stays;
  }
  // The owner has replaced or removed the target since.
  if (staging && !old_inode(staging) && !new_inode(staging)) return cannot_tell(swap.staging);
  TRY(clear(staging, swap.staging));
  TRY(clear(keep, swap.keep));
  if (staging || keep) TRY(sync_names());
  return Fate::old_stays;
}

}  // namespace mlxcache::change
