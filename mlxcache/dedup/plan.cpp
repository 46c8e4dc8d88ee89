#include "mlxcache/dedup/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/catalog/block_owners.h"
#include "mlxcache/dedup/volumes.h"

namespace mlxcache::dedup {
namespace {

using catalog::Entry;
using catalog::Group;
using catalog::Inode;
using catalog::Inventory;
using catalog::Links;
using catalog::Role;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

/// One inode of a group, with all that decides what may be done to it.
struct Copy {
  std::uint32_t inode = 0;
  std::vector<const Entry*> names;             // all that the scan saw
  std::vector<const catalog::Root*> roots;     // beside names
  bool every_name_selected = true;             // --store and --model choose all its names
  bool some_name_selected = false;
  Links links{true, true, true};               // what all its names tolerate
  std::string links_reason;                    // why not more
  bool claim_checked = false;
  bool model_incomplete = false;
  bool orphan = false;
  bool keeps_mtime = false;
  std::vector<mlxbase::os::Extent> extents;
  bool extents_known = false;
};

class Planner {
 public:
  Planner(const stores::Context& context, const Inventory& inventory, const PlanOptions& options)
      : context_(context), inventory_(inventory), options_(options), volumes_(context.fs) {}

  Result<Plan> run();

 private:
  mlxbase::Status check_models() const;
  bool selected(catalog::NameRef name, const Entry& entry) const;
  Copy copy_of(std::uint32_t inode) const;
  void plan_group(const Group& group);
  void plan_pool(const Group& group, std::vector<Copy> copies);
  bool open_and_ask(Copy& copy);
  std::size_t choose_source(const std::vector<Copy>& copies, Method method) const;
  bool chosen(const Copy& copy, Method method) const;
  std::optional<std::string> why_not(const Copy& copy, const Copy& source, Method method) const;
  void add_shared_extents(const Group& group, const std::vector<Copy>& copies, std::size_t source, std::vector<std::size_t> targets, Method method);
  void add_replacements(const Group& group, const Copy& source, const Copy& target, Method method);
  void add_action(const Group& group, const Copy& source, const Copy& target, std::size_t name, Method method, std::uint64_t bytes);
  std::vector<std::string> merges(const Copy& source, const Copy& target, Method method);
  void skip(const Copy& copy, std::string reason);
  const std::string& folder_of(const Copy& copy) const { return copy.roots.front()->path; }
  std::uint64_t device_of(const Copy& copy) const { return inventory_.inodes[copy.inode].stat.id.device; }

  const stores::Context& context_;
  const Inventory& inventory_;
  const PlanOptions& options_;
  Volumes volumes_;
  Plan plan_;
};

mlxbase::Status Planner::check_models() const {
  for (const std::string& wanted : options_.models) {
    bool found = false;
    for (const auto& listing : inventory_.listings) {
      found = found || std::any_of(listing.models.begin(), listing.models.end(), [&](const auto& m) { return m.id == wanted; });
    }
    if (!found) return fail(Code::invalid, fmt::format("no store has a model named {}; `mlxcache ls` shows the names", mlxbase::printable(wanted)));
  }
  return {};
}

bool Planner::selected(catalog::NameRef name, const Entry& entry) const {
  if (options_.only && !options_.only->contains(entry.stat.id)) return false;
  const auto& listing = inventory_.listings[name.store];
  if (!options_.stores.empty() && std::find(options_.stores.begin(), options_.stores.end(), listing.root.kind) == options_.stores.end()) return false;
  if (options_.models.empty()) return true;
  for (const auto& model : listing.models) {
    if (std::find(options_.models.begin(), options_.models.end(), model.id) == options_.models.end()) continue;
    if (std::find(model.entries.begin(), model.entries.end(), name.entry) != model.entries.end()) return true;
  }
  return false;
}

Copy Planner::copy_of(std::uint32_t index) const {
  const Inode& inode = inventory_.inodes[index];
  Copy copy;
  copy.inode = index;
  for (const catalog::NameRef name : inode.names) {
    const Entry& entry = inventory_.entry(name);
    const auto& listing = inventory_.listings[name.store];
    copy.names.push_back(&entry);
    copy.roots.push_back(&listing.root);
    const bool in = selected(name, entry);
    copy.every_name_selected = copy.every_name_selected && in;
    copy.some_name_selected = copy.some_name_selected || in;
    copy.links = copy.links & entry.links;
    if (copy.links_reason.empty()) copy.links_reason = entry.links_reason;
    copy.claim_checked = copy.claim_checked || (entry.claim && entry.claim_checked_by_tool);
    copy.orphan = copy.orphan || entry.role == Role::orphan;
    if (entry.model >= 0) copy.model_incomplete = copy.model_incomplete || listing.models[static_cast<std::size_t>(entry.model)].incomplete;
    copy.keeps_mtime = copy.keeps_mtime || stores::adapter_of(listing.root.kind).keeps_mtime;
  }
  return copy;
}

void Planner::skip(const Copy& copy, std::string reason) { plan_.skipped.push_back({copy.names.front()->path, std::move(reason)}); }

/// Reads the extents of a copy; false (and listed) if it cannot even be opened or somebody is writing to it.
bool Planner::open_and_ask(Copy& copy) {
  const std::string& path = copy.names.front()->path;
  auto file = context_.fs.open_read(path);
  if (!file) {
    skip(copy, fmt::format("cannot be read: {}", file.error().message));
    return false;
  }
  // The kernel answers for our own files at once; for others the processes would have to be searched: apply does that.
  const std::uint32_t uid = context_.environment.uid;
  if (uid == 0 || inventory_.inodes[copy.inode].stat.uid == uid) {
    if (auto guard = context_.fs.guard_against_writers(**file, path); !guard && guard.error().code == Code::busy) {
      skip(copy, "a program has it open for writing");
      plan_.skipped.back().for_now = true;
      return false;
    }
  }
  if (auto extents = (*file)->extents()) {
    copy.extents = std::move(*extents);
    copy.extents_known = true;
  }
  return true;
}

/// The copy whose bytes stay: the one that lets most be freed, which makes those that must not be changed the source. Among equals
/// the one that the stores rely on most.
std::size_t Planner::choose_source(const std::vector<Copy>& copies, Method method) const {
  const auto rank = [&](std::size_t candidate) {
    const Copy& c = copies[candidate];
    const Inode& inode = inventory_.inodes[c.inode];
    std::uint64_t frees = 0;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      if (i == candidate || why_not(copies[i], c, method)) continue;
      const Inode& other = inventory_.inodes[copies[i].inode];
      frees += other.sharing_known ? other.private_bytes : other.stat.allocated_bytes;
    }
    // More names and more already shared bytes: fewer changes. Oldest first: the least surprising original.
    return std::make_tuple(~frees, c.orphan, c.model_incomplete, !c.claim_checked, ~inode.shared_bytes, ~std::uint64_t{inode.stat.links},
                           inode.stat.mtime_ns, c.names.front()->path);
  };
  // Weighing each against all others is quadratic: thousands of equal small files need no best of all.
  constexpr std::size_t kWeighed = 64;
  std::size_t best = 0;
  auto best_rank = rank(0);
  for (std::size_t i = 1; i < std::min(copies.size(), kWeighed); ++i) {
    auto r = rank(i);
    if (r < best_rank) best = i, best_rank = std::move(r);
  }
  return best;
}

/// Why a link of this kind is not made, in words.
std::string refusal(const Copy& copy, std::string_view what) {
  const auto& adapter = stores::adapter_of(copy.roots.front()->kind);
  const std::string why = copy.links_reason.empty() ? std::string(adapter.title) + " does not tolerate it" : copy.links_reason;
  return fmt::format("no {}: {}", what, why);
}

bool Planner::chosen(const Copy& copy, Method method) const {
  return method == Method::dedupe ? copy.some_name_selected : copy.every_name_selected;
}

/// Why `copy` may not take the bytes of `source`; nothing if it may. An empty reason needs no word to the person.
std::optional<std::string> Planner::why_not(const Copy& copy, const Copy& source, Method method) const {
  const Inode& inode = inventory_.inodes[copy.inode];
  const bool in_place = method == Method::dedupe;
  if (!chosen(copy, method)) {
    // Not chosen by --store or --model: no word about it, unless one of several names was.
    return copy.some_name_selected ? "another name of it is outside what --store and --model chose" : "";
  }
  if (copy.orphan) return "no model refers to it (an orphan): removing it frees more than sharing";
  if (inode.stat.immutable) return "it is marked immutable";
  if (inode.stat.dataless) return "it is a cloud placeholder: reading it would download it";
  if (copy.model_incomplete && !in_place) return "its model is incomplete: a download may be running";

  switch (method) {
    case Method::dedupe:
    case Method::clone:
      if (!copy.links.reflink) return refusal(copy, "sharing of extents");
      break;
    case Method::hard_link: {
      if (!copy.links.hard_link) return refusal(copy, "hard link");
      if (!source.links.hard_link) {
        return fmt::format("its twin {} takes no hard link: {}", mlxbase::printable(source.names.front()->path), refusal(source, "hard link"));
      }
      if (copy.keeps_mtime && inventory_.inodes[source.inode].stat.mtime_ns > inode.stat.mtime_ns) {
        return "its tool compares modification times, and a hard link would carry a later one";
      }
      const auto owner = std::find_if(copy.roots.begin(), copy.roots.end(), [](const auto* root) { return stores::adapter_of(root->kind).must_own_files; });
      if (owner != copy.roots.end() && inventory_.inodes[source.inode].stat.uid != inode.stat.uid) {
        return fmt::format("no hard link: {} needs to own its files, and its twin has another owner", stores::adapter_of((*owner)->kind).title);
      }
      break;
    }
    case Method::symlink:
      if (!copy.links.symlink) return refusal(copy, "symlink");
      // The tool that keeps an orphan may delete it any day.
      if (source.orphan) return "its only twin is an orphan, which its tool may delete";
      break;
  }

  const std::uint32_t uid = context_.environment.uid;
  if (in_place && uid != 0 && inode.stat.uid != uid && (inode.stat.mode & 022U) == 0) {
    return fmt::format("it belongs to another user (uid {}): run as that user or as root", inode.stat.uid);
  }
  if (!in_place && inode.stat.links > copy.names.size()) {
    return fmt::format("it has {} more name(s) outside the scanned stores: replacing the known ones frees nothing", inode.stat.links - copy.names.size());
  }
  return std::nullopt;
}

std::vector<std::string> Planner::merges(const Copy& source, const Copy& target, Method method) {
  std::vector<std::string> out;
  if (method == Method::symlink) {
    out.emplace_back("becomes a symlink: if its twin is deleted, it is gone too");
    return out;
  }
  if (method != Method::hard_link) return out;
  const auto& s = inventory_.inodes[source.inode].stat;
  const auto& t = inventory_.inodes[target.inode].stat;
  if (s.mode != t.mode) out.push_back(fmt::format("mode {:04o} becomes {:04o}", t.mode, s.mode));
  if (s.uid != t.uid || s.gid != t.gid) out.push_back(fmt::format("owner {}:{} becomes {}:{}", t.uid, t.gid, s.uid, s.gid));
  if (s.mtime_ns != t.mtime_ns) out.emplace_back("takes its twin's times");
  const auto a = context_.fs.metadata(source.names.front()->path);
  const auto b = context_.fs.metadata(target.names.front()->path);
  if (a && b && a->attributes != b->attributes) out.emplace_back("takes its twin's extended attributes");
  return out;
}

void Planner::add_action(const Group& group, const Copy& source, const Copy& target, std::size_t name, Method method, std::uint64_t bytes) {
  Action action;
  action.method = method;
  action.source = source.names.front()->path;
  action.target = target.names[name]->path;
  action.source_root = *source.roots.front();
  action.target_root = *target.roots[name];
  action.source_state = catalog::fingerprint_of(inventory_.inodes[source.inode].stat);
  action.target_state = catalog::fingerprint_of(inventory_.inodes[target.inode].stat);
  action.digest = group.digest;
  action.size = group.size;
  action.bytes = bytes;
  action.merges = merges(source, target, method);
  plan_.merges_metadata = plan_.merges_metadata || !action.merges.empty();
  plan_.bytes_freed += bytes;
  plan_.actions.push_back(std::move(action));
}

/// Replaces every name of an inode: its blocks are freed with the last.
void Planner::add_replacements(const Group& group, const Copy& source, const Copy& target, Method method) {
  const Inode& inode = inventory_.inodes[target.inode];
  const std::uint64_t frees = inode.sharing_known ? inode.private_bytes : inode.stat.allocated_bytes;
  for (std::size_t n = 0; n < target.names.size(); ++n) {
    add_action(group, source, target, n, method, n + 1 == target.names.size() ? frees : 0);
  }
}

/// Reflinks, with exact figures where the volume names its blocks.
void Planner::add_shared_extents(const Group& group, const std::vector<Copy>& copies, std::size_t source, std::vector<std::size_t> targets, Method method) {
  const bool exact = std::all_of(copies.begin(), copies.end(), [](const Copy& c) { return c.extents_known; });
  std::map<std::size_t, std::uint64_t> frees;
  std::map<std::size_t, std::uint64_t> held_elsewhere;
  std::map<std::size_t, std::uint64_t> own;  // runs the source does not hold
  if (exact) {
    catalog::BlockOwners owners;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      auto extents = copies[i].extents;
      if (method == Method::dedupe) std::erase_if(extents, [](const auto& e) { return !e.written; });  // reserved blocks stay with the inode
      owners.add(static_cast<std::uint32_t>(i), extents);
    }
    const std::set<std::size_t> goes(targets.begin(), targets.end());
    for (const auto& run : owners.runs()) {
      std::size_t last = copies.size();
      bool stays = false;
      for (const std::uint32_t o : run.owners) {
        if (!goes.contains(o)) {
          stays = true;
        } else {
          // Freed when the last of the holders that go has gone.
          const auto position = [&](std::size_t c) { return std::find(targets.begin(), targets.end(), c) - targets.begin(); };
          if (last == copies.size() || position(o) > position(last)) last = o;
        }
        if (!std::binary_search(run.owners.begin(), run.owners.end(), static_cast<std::uint32_t>(source))) own[o] += run.length;
      }
      if (stays || last == copies.size()) continue;
      (run.has_unknown_owner() ? held_elsewhere : frees)[last] += run.length;
    }
  } else {
    for (const std::size_t t : targets) {
      const Inode& inode = inventory_.inodes[copies[t].inode];
      frees[t] = own[t] = inode.sharing_known ? inode.private_bytes : inode.stat.allocated_bytes;
    }
  }
  for (const std::size_t t : targets) {
    if (own[t] == 0) continue;  // shares all its blocks with the source already (or has none: an inline file)
    if (frees[t] == 0 && held_elsewhere[t] > 0) {
      skip(copies[t], fmt::format("{} of its blocks are held by something outside the stores too (a snapshot?): sharing would free nothing",
                                  mlxbase::format_bytes(held_elsewhere[t])));
      continue;
    }
    if (method == Method::dedupe) {
      // The inode stays: one of its names is enough. Take one that was chosen.
      std::size_t name = 0;
      const Inode& inode = inventory_.inodes[copies[t].inode];
      while (name + 1 < inode.names.size() && !selected(inode.names[name], *copies[t].names[name])) ++name;
      add_action(group, copies[source], copies[t], name, method, frees[t]);
    } else {
      for (std::size_t n = 0; n < copies[t].names.size(); ++n) {
        add_action(group, copies[source], copies[t], n, method, n + 1 == copies[t].names.size() ? frees[t] : 0);
      }
    }
  }
}

void Planner::plan_pool(const Group& group, std::vector<Copy> copies) {
  const auto& facts = volumes_.facts(device_of(copies.front()), folder_of(copies.front()));
  const std::string where = facts.mount_point.empty() ? "this volume" : fmt::format("{} ({})", facts.mount_point, facts.type);

  std::optional<Method> method;
  std::string cannot;
  const std::optional<Method> reflink = facts.dedupe.value_or(false)  ? std::optional(Method::dedupe)
                                        : facts.clone.value_or(false) ? std::optional(Method::clone)
                                                                      : std::nullopt;
  const bool hard_links = facts.hard_links.value_or(false);
  switch (options_.method) {
    case MethodChoice::automatic:
      method = reflink ? reflink : hard_links ? std::optional(Method::hard_link) : std::nullopt;
      cannot = fmt::format("{} can neither share extents nor hard link", where);
      break;
    case MethodChoice::reflink:
      method = reflink;
      cannot = fmt::format("{} cannot share extents between files", where);
      break;
    case MethodChoice::hard_link:
      if (hard_links) method = Method::hard_link;
      cannot = fmt::format("{} cannot hard link", where);
      break;
    case MethodChoice::symlink:
      if (facts.symlinks.value_or(false)) method = Method::symlink;
      cannot = fmt::format("{} has no symlinks", where);
      break;
  }
  if (!facts.why_not_probed.empty()) {
    method.reset();
    cannot = fmt::format("what {} can do could not be tried: {}", where, facts.why_not_probed);
  }

  std::erase_if(copies, [&](Copy& c) { return !open_and_ask(c); });
  if (copies.size() < 2) return;
  const std::size_t source = choose_source(copies, method.value_or(Method::clone));
  std::vector<std::size_t> targets;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (i == source) continue;
    const auto reason = method ? why_not(copies[i], copies[source], *method) : copies[i].some_name_selected ? std::optional(cannot) : std::optional<std::string>("");
    if (!reason) {
      targets.push_back(i);
    } else if (!reason->empty()) {
      skip(copies[i], *reason);
    }
  }
  if (!method || targets.empty()) return;
  if (*method == Method::dedupe || *method == Method::clone) {
    add_shared_extents(group, copies, source, std::move(targets), *method);
  } else {
    for (const std::size_t t : targets) add_replacements(group, copies[source], copies[t], *method);
  }
}

void Planner::plan_group(const Group& group) {
  std::map<std::string, std::vector<Copy>> pools;
  for (const std::uint32_t i : group.inodes) {
    Copy copy = copy_of(i);
    // Symlinks reach across volumes; extents and hard links stay within one pool (hard links within one device).
    std::string pool = "all";
    if (options_.method == MethodChoice::hard_link) {
      pool = fmt::format("device {}", device_of(copy));
    } else if (options_.method != MethodChoice::symlink) {
      pool = volumes_.pool(device_of(copy), folder_of(copy));
    }
    pools[pool].push_back(std::move(copy));
  }
  const bool several = pools.size() > 1;
  for (auto& [pool, copies] : pools) {
    if (copies.size() > 1) {
      plan_pool(group, std::move(copies));
    } else if (several && copies.front().some_name_selected) {
      skip(copies.front(), "its twins are on other volumes, and only a symlink reaches there (--method symlink, where its tool tolerates one)");
    }
  }
}

Result<Plan> Planner::run() {
  TRY(check_models());
  for (const Group& group : inventory_.groups) {
    if (context_.cancel != nullptr && context_.cancel->requested()) return fail(Code::cancelled, "stopped while planning; nothing was changed");
    if (group.size >= options_.min_size) plan_group(group);
  }
  return std::move(plan_);
}

}  // namespace

std::string_view to_string(Method method) {
  switch (method) {
    case Method::dedupe:
    case Method::clone: return "reflink";
    case Method::hard_link: return "hardlink";
    case Method::symlink: return "symlink";
  }
  return "unknown";
}

Result<Plan> make_plan(const stores::Context& context, const Inventory& inventory, const PlanOptions& options) {
  return Planner(context, inventory, options).run();
}

Plan without_merges(const Plan& plan) {
  // All names of an inode or none: an inode that keeps one name frees nothing.
  std::set<mlxbase::os::FileId> merged;
  for (const Action& a : plan.actions) {
    if (!a.merges.empty()) merged.insert(a.target_state.id);
  }
  Plan rest;
  rest.skipped = plan.skipped;
  for (const Action& a : plan.actions) {
    if (merged.contains(a.target_state.id)) {
      rest.skipped.push_back({a.target, "a hard link would change its permissions, times or owner"});
    } else {
      rest.bytes_freed += a.bytes;
      rest.actions.push_back(a);
    }
  }
  return rest;
}

}  // namespace mlxcache::dedup
