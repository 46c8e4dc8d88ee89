#include "mlxcache/stores/removal_common.h"

#include <algorithm>
#include <map>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;

constexpr std::int64_t kMinute = 60'000'000'000;  // nanoseconds
// LM Studio and others go on with a download minutes after its last byte came.
constexpr std::int64_t kQuietMinutes = 10;
constexpr int kMaxDepth = 64;

/// Whether there is nothing but folders below; those are added, deepest first.
bool only_folders(const Context& context, const std::string& dir, int depth, std::vector<std::string>& folders) {
  const auto names = context.fs.list(dir);
  if (!names || depth > kMaxDepth) return false;
  for (const auto& entry : *names) {
    if (entry.kind != FileKind::directory || !only_folders(context, path::join(dir, entry.name), depth + 1, folders)) return false;
  }
  folders.push_back(dir);
  return true;
}

}  // namespace

mlxbase::Result<const catalog::Model*> model_of(const Listing& listing, std::uint32_t model) {
  if (model >= listing.models.size()) return mlxbase::fail(Code::invalid, "there is no such model in the listing");
  return &listing.models[model];
}

mlxbase::Status refuse_if_written(const Context& context, const Entry& partial) {
  if (partial.stat.kind != FileKind::regular) return {};
  const std::string name = mlxbase::printable(partial.path);
  const auto stat = context.fs.stat(partial.path);
  if (!stat) return {};  // finished or given up since
  const std::int64_t age = mlxbase::system_clock().wall_ns() - stat->mtime_ns;
  if (age >= 0 && age < kQuietMinutes * kMinute) {
    return mlxbase::fail(Code::busy, "a download is at work on it, or was a few minutes ago: " + name);
  }
  auto file = context.fs.open_read(partial.path);
  if (!file) return {};
  if (auto guard = context.fs.guard_against_writers(**file, partial.path); !guard && guard.error().code == Code::busy) {
    return mlxbase::fail(Code::busy, "a download is at work on it: " + name);
  }
  return {};
}

mlxbase::Status refuse_if_locked(const Context& context, const LockFile& lock) {
  const auto stat = context.fs.stat(lock.path);
  if (!stat || stat->kind != FileKind::regular) return {};
  if (auto held = context.fs.try_lock(lock.path, lock.mode); !held && held.error().code == Code::busy) {
    return mlxbase::fail(Code::busy, "a tool holds its lock: " + mlxbase::printable(lock.path));
  }
  return {};
}

RemovalBuilder::RemovalBuilder(const Context& context, const Listing& listing, std::uint32_t model)
    : context_(context), listing_(listing), model_(model), other_(listing.entries.size(), -1) {
  const auto real = context.fs.real_path(listing.root.path);
  real_root_ = real ? *real : listing.root.path;
  for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
    if (m == model) continue;
    for (const std::uint32_t e : listing.models[m].entries) other_[e] = static_cast<std::int32_t>(m);
  }
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& entry = listing.entries[e];
    if (entry.stat.kind != FileKind::symlink) continue;
    std::string to = path::normal(path::join(path::parent(entry.path), entry.link_target));
    if (path::is_within(real_root_, to)) to = path::join(listing.root.path, path::relative_to(real_root_, to));
    targets_.emplace_back(std::move(to), e);
  }
  std::sort(targets_.begin(), targets_.end());
}

bool RemovalBuilder::needed_elsewhere(std::uint32_t entry) {
  const std::string& where = listing_.entries[entry].path;
  if (other_[entry] >= 0) {
    keep(where, "needed by " + listing_.models[static_cast<std::size_t>(other_[entry])].id);
    return true;
  }
  for (auto it = std::lower_bound(targets_.begin(), targets_.end(), std::pair(where, std::uint32_t{0})); it != targets_.end() && it->first == where; ++it) {
    const Entry& link = listing_.entries[it->second];
    if (names_.contains(link.path)) continue;
    keep(where, link.model >= 0 && static_cast<std::uint32_t>(link.model) != model_
                    ? "needed by " + listing_.models[static_cast<std::size_t>(link.model)].id
                    : "the link " + link.path + " leads to it");
    return true;
  }
  return false;
}

mlxbase::Status RemovalBuilder::take(std::uint32_t entry) {
  const Entry& e = listing_.entries[entry];
  if (names_.contains(e.path) || e.role == Role::foreign || is_staging_name(path::file_name(e.path))) return {};
  if (needed_elsewhere(entry)) return {};
  if (e.role == Role::partial) TRY(refuse_if_written(context_, e));
  take_name(e.path);
  return {};
}

void RemovalBuilder::take_name(const std::string& where) {
  if (where == listing_.root.path || !path::is_within(listing_.root.path, where) || !names_.insert(where).second) return;
  out_.names.push_back(where);
}

void RemovalBuilder::keep(const std::string& where, std::string_view reason) {
  std::string line = mlxbase::printable(where) + ": " + mlxbase::printable(reason);
  if (std::find(out_.kept.begin(), out_.kept.end(), line) == out_.kept.end()) out_.kept.push_back(std::move(line));
}

std::vector<std::uint32_t> RemovalBuilder::below(const std::string& folder) const {
  std::vector<std::uint32_t> out;
  for (std::uint32_t e = 0; e < listing_.entries.size(); ++e) {
    if (path::is_within(folder, listing_.entries[e].path)) out.push_back(e);
  }
  return out;
}

Removal RemovalBuilder::finish(std::string_view whole) {
  const std::string& root = listing_.root.path;
  // Deepest first: a folder is empty if all that it holds goes.
  std::map<std::size_t, std::set<std::string>, std::greater<>> folders;
  const auto consider = [&](std::string_view folder) {
    if (folder == root || !path::is_within(root, folder)) return;
    folders[static_cast<std::size_t>(std::count(folder.begin(), folder.end(), '/'))].emplace(folder);
  };
  for (const std::string& name : out_.names) consider(path::parent(name));
  if (!whole.empty()) consider(whole);
  for (auto level = folders.begin(); level != folders.end(); ++level) {
    for (const std::string& folder : level->second) {
      const auto names = context_.fs.list(folder);
      if (!names) continue;
      std::vector<std::string> also;
      const bool empties = std::all_of(names->begin(), names->end(), [&](const auto& entry) {
        const std::string child = path::join(folder, entry.name);
        if (names_.contains(child)) return true;
        if (entry.name == ".DS_Store") {  // the Finder's, in any folder that it showed
          also.push_back(child);
          return true;
        }
        const bool inside = !whole.empty() && path::is_within(whole, child);
        return inside && entry.kind == FileKind::directory && only_folders(context_, child, 0, also);
      });
      if (!empties) continue;
      for (const std::string& child : also) take_name(child);
      take_name(folder);
      consider(path::parent(folder));
    }
  }
  return std::move(out_);
}

std::vector<std::uint32_t> entries_below(const Listing& listing, const std::string& folder, std::uint32_t model) {
  std::vector<std::uint32_t> out;
  const std::string inside = folder + "/";
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& entry = listing.entries[e];
    const bool others = entry.model >= 0 && static_cast<std::uint32_t>(entry.model) != model;
    if (!others && (entry.path == folder || entry.path.starts_with(inside))) out.push_back(e);
  }
  return out;
}

mlxbase::Result<Removal> remove_plain(const Context& context, const Listing& listing, std::uint32_t model, const std::vector<std::uint32_t>& companions,
                                      std::string_view whole) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  std::vector<std::uint32_t> entries = of->entries;
  entries.insert(entries.end(), companions.begin(), companions.end());
  const auto rank = [&](std::uint32_t e) {
    switch (listing.entries[e].role) {
      case Role::metadata:
        return 0;
      case Role::link:
      case Role::broken:
        return 1;
      case Role::payload:
      case Role::orphan:
        return path::extension(listing.entries[e].path) == ".json" ? 0 : 2;  // config.json makes a folder a model
      default:
        return 3;
    }
  };
  std::stable_sort(entries.begin(), entries.end(), [&](std::uint32_t a, std::uint32_t b) { return rank(a) < rank(b); });
  RemovalBuilder out(context, listing, model);
  for (const std::uint32_t e : entries) TRY(out.take(e));
  return out.finish(whole);
}

}  // namespace mlxcache::stores
