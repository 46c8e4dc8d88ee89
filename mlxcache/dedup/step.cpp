#include "mlxcache/dedup/step.h"

namespace mlxcache::dedup {

using mlxbase::Status;
namespace os = mlxbase::os;

namespace {

/// Why the swap must not stand, or empty: somebody came to write while we compared.
std::string disturbed(os::FileSystem& fs, Prepared& p) {
  if (p.target.guard && p.target.guard->broken()) return "a program opened it for writing meanwhile";
  if (p.source.file) {
    if (p.source.guard && p.source.guard->broken()) return "a program opened the file to share with for writing meanwhile";
    const auto now = p.source.file->stat();
    if (!now) return now.error().message;
    if (now->size != p.source_state.size || now->mtime_ns != p.source_state.mtime_ns) return "the file to share with changed meanwhile";
    if (!p.source_path.empty()) {
      const auto named = fs.stat(p.source_path);
      if (!named || named->id != p.source_state.id) return "the file to link to was moved or replaced meanwhile";
    }
  }
  return {};
}

Status sync_folders(os::FileSystem& fs, const std::vector<Prepared>& batch) {
  std::set<std::string> folders;
  for (const auto& p : batch) {
    if (p.result.kind != SwapResult::Kind::done) continue;
    folders.insert(folder_of(p.swap.target));
    folders.insert(folder_of(p.swap.staging));
  }
  for (const auto& folder : folders) TRY(fs.sync_dir(folder));
  return {};
}

}  // namespace

SwapResult discard(os::FileSystem& fs, const Swap& swap, std::string reason) {
  if (auto removed = remove_if_there(fs, swap.staging); !removed) {
    return {SwapResult::Kind::stuck, reason + "; " + removed.error().message};
  }
  return {SwapResult::Kind::refused, std::move(reason)};
}

Status carry_out(os::FileSystem& fs, journal::Writer& journal, std::vector<Prepared>& batch) {
  const auto write_staged = [&]() -> Status {
    for (const auto& p : batch) TRY(journal.append(p.staged));
    return journal.sync();
  };
  if (auto written = write_staged(); !written) {
    for (auto& p : batch) p.result = discard(fs, p.swap, "the journal could not be written");
    return written;
  }

  for (auto& p : batch) {
    if (auto why = disturbed(fs, p); !why.empty()) {
      p.result = discard(fs, p.swap, std::move(why));
      continue;
    }
    p.result = swap_in(fs, p.swap);
    if (p.result.kind == SwapResult::Kind::refused) {
      // Refused before the swap leaves the new inode at its temporary name; put back after it leaves nothing.
      p.result = discard(fs, p.swap, std::move(p.result.reason));
    } else if (p.result.kind == SwapResult::Kind::done) {
      if (auto why = disturbed(fs, p); !why.empty()) p.result = put_back(fs, p.swap, std::move(why));
    }
  }

  const auto synced = sync_folders(fs, batch);
  for (auto& p : batch) {
    if (p.result.kind != SwapResult::Kind::done) continue;
    // The sync gave a writer that had looked the name up just before the swap time to show itself.
    auto why = synced ? disturbed(fs, p) : synced.error().message;
    p.result = why.empty() ? finish(fs, p.swap) : put_back(fs, p.swap, std::move(why));
  }
  return {};
}

}  // namespace mlxcache::dedup
