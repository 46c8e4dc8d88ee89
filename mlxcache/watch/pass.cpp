#include "mlxcache/watch/pass.h"

#include <algorithm>
#include <map>
#include <set>

#include "mlxcache/group/inodes.h"
#include "mlxcache/scan/scan.h"
#include "mlxcache/watch/taken_back.h"

namespace mlxcache::watch {
namespace {

using catalog::Inode;
using catalog::Inventory;
using catalog::Role;
using mlxbase::Code;
using mlxbase::Result;

constexpr std::uint64_t kReadsOfAnAction = 2;  // both files are compared, by the kernel or by us

bool may_have_twins(const Inventory& inventory, const Inode& inode) {
  if (inode.stat.dataless) return false;
  return std::any_of(inode.names.begin(), inode.names.end(), [&](catalog::NameRef name) {
    const Role role = inventory.entry(name).role;
    return role == Role::payload || role == Role::orphan;
  });
}

Rules rules_of(const Machine& m, const Settings& settings, std::int64_t since_ns) {
  return {.since_ns = since_ns, .now_ns = m.clock.wall_ns(), .quiet_ns = settings.quiet_ns, .min_size = settings.min_size, .stores = settings.stores};
}

class Look {
 public:
  Look(const Machine& machine, const Settings& settings, std::int64_t since_ns, Budget& budget)
      : m_(machine), settings_(settings), since_ns_(since_ns), budget_(budget) {}

  Result<Pass> run() {
    out_.began_ns = m_.clock.wall_ns();
    auto done = share();
    out_.ended_ns = m_.clock.wall_ns();
    if (!done && done.error().code != Code::cancelled) return mlxbase::fail(done.error());
    out_.cancelled = !done || m_.cancel.requested();
    std::set<std::string> waiting;
    for (const Waiting& w : out_.waiting) waiting.insert(w.path);
    for (const std::uint32_t i : seen_) {
      if (!out_.cancelled && !waiting.contains(name_of(inventory_.inodes[i]))) out_.settled.emplace(inventory_.inodes[i].stat.id, inventory_.inodes[i].stat.ctime_ns);
    }
    // Cut short, it has not seen all: the next look begins where this one did.
    out_.since_ns = out_.cancelled ? since_ns_ : std::max(since_ns_, next_since(out_.began_ns, out_.waiting));
    return std::move(out_);
  }

 private:
  mlxbase::Status share();
  Result<std::set<std::uint64_t>> affordable_sizes();
  Result<std::map<std::uint64_t, std::uint64_t>> unknown_bytes(const std::set<std::uint64_t>& sizes);
  dedup::Plan make_affordable(const dedup::Plan& plan);
  void sort_out(const dedup::Plan& plan);
  mlxbase::Status apply(const dedup::Plan& plan);
  void wait(const Inode& inode, Why why, std::int64_t until);
  std::string name_of(const Inode& inode) const { return inventory_.entry(inode.names.front()).path; }

  const Machine& m_;
  const Settings& settings_;
  std::int64_t since_ns_;
  Budget& budget_;
  Inventory inventory_;
  News news_;
  std::vector<std::uint32_t> seen_;  // all that were ready at first
  std::set<mlxbase::os::FileId> ready_;
  std::map<std::string, std::uint32_t> inode_of_;  // of the ready ones, by each name; and of their equals
  Pass out_;
};

void Look::wait(const Inode& inode, Why why, std::int64_t until) { out_.waiting.push_back({name_of(inode), why, until, inode.stat.ctime_ns}); }

/// What would have to be read to compare all files of each size: those that the catalog does not know.
Result<std::map<std::uint64_t, std::uint64_t>> Look::unknown_bytes(const std::set<std::uint64_t>& sizes) {
  std::vector<catalog::Fingerprint> asked;
  std::map<std::uint64_t, std::size_t> members;
  for (const Inode& inode : inventory_.inodes) {
    if (!sizes.contains(inode.stat.size) || !may_have_twins(inventory_, inode)) continue;
    ++members[inode.stat.size];
    asked.push_back(catalog::fingerprint_of(inode.stat));
  }
  const auto known = TRY(m_.catalog.look_up(asked));
  std::map<std::uint64_t, std::uint64_t> out;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (members[asked[i].size] < 2) continue;
    std::uint64_t& bytes = out[asked[i].size];
    if (!known[i] || known[i]->digests.empty()) bytes += asked[i].size;
  }
  return out;  // sizes that only one file has are not in it
}

/// Sizes of new files that others have too, as far as comparing them is within the budget. Reading them is paid for here.
Result<std::set<std::uint64_t>> Look::affordable_sizes() {
  std::set<std::uint64_t> sizes;
  for (const std::uint32_t i : news_.ready) sizes.insert(inventory_.inodes[i].stat.size);
  const auto unknown = TRY(unknown_bytes(sizes));
  const std::int64_t now = m_.clock.wall_ns();
  std::set<std::uint64_t> out;
  std::set<std::uint64_t> refused;
  std::uint64_t planned = 0;
  for (const std::uint32_t i : news_.ready) {
    const Inode& inode = inventory_.inodes[i];
    const std::uint64_t size = inode.stat.size;
    const auto cost = unknown.find(size);
    if (cost == unknown.end()) continue;  // no twin
    if (!out.contains(size) && !refused.contains(size)) {
      // The first may go over the brim, if the bucket is empty; those after it must fit beside it.
      const bool fits = planned == 0 ? budget_.admits(cost->second, now)
                                     : cost->second == 0 || (budget_.limit() ? budget_.used(now) + planned + cost->second <= budget_.limit()->bytes : true);
      if (fits) planned += cost->second;
      (fits ? out : refused).insert(size);
    }
    if (refused.contains(size)) wait(inode, Why::budget, budget_.when(cost->second, now));
  }
  return out;
}

/// Actions that are within the budget; an inode's names stay together.
dedup::Plan Look::make_affordable(const dedup::Plan& plan) {
  const std::int64_t now = m_.clock.wall_ns();
  dedup::Plan out{.actions = {}, .skipped = plan.skipped, .bytes_freed = 0, .merges_metadata = plan.merges_metadata};
  std::map<mlxbase::os::FileId, bool> decided;
  std::uint64_t planned = 0;
  for (const dedup::Action& a : plan.actions) {
    auto it = decided.find(a.target_state.id);
    if (it == decided.end()) {
      const std::uint64_t cost = a.size * kReadsOfAnAction;
      const bool fits = planned == 0 ? budget_.admits(cost, now) : !budget_.limit() || budget_.used(now) + planned + cost <= budget_.limit()->bytes;
      if (fits) planned += cost;
      if (!fits) out_.waiting.push_back({a.target, Why::budget, budget_.when(cost, now), a.target_state.ctime_ns});
      it = decided.emplace(a.target_state.id, fits).first;
    }
    if (!it->second) continue;
    out.actions.push_back(a);
    out.bytes_freed += a.bytes;
  }
  return out;
}

/// What the plan left alone: for now, or for good.
void Look::sort_out(const dedup::Plan& plan) {
  const std::int64_t now = m_.clock.wall_ns();
  for (const dedup::Skipped& s : plan.skipped) {
    const auto skipped = inode_of_.find(s.path);
    if (skipped == inode_of_.end()) continue;  // a copy that was there before: `dedup` tells of it
    const Inode& inode = inventory_.inodes[skipped->second];
    if (!s.for_now) {
      if (ready_.contains(inode.stat.id)) out_.left.push_back(s);
      continue;
    }
    // Whether it is the new one or its twin that is in use: those new ones of this size wait.
    for (const std::uint32_t i : news_.ready) {
      const Inode& waiting = inventory_.inodes[i];
      if (waiting.stat.size == inode.stat.size) wait(waiting, Why::in_use, next_try(waiting.stat.ctime_ns, now));
    }
  }
}

mlxbase::Status Look::apply(const dedup::Plan& plan) {
  const dedup::Machinery machinery{.context = m_.context, .home = m_.home, .clock = m_.clock, .progress = m_.progress, .cancel = &m_.cancel, .command = m_.command};
  dedup::Applied applied = TRY(dedup::apply(machinery, plan));
  const std::int64_t now = m_.clock.wall_ns();
  for (const auto& moved : applied.moved) (void)m_.catalog.moved(moved.before, moved.after);  // what it forgets is measured again
  for (const dedup::Action& a : applied.done) out_.bytes_read += a.size * kReadsOfAnAction;
  for (const dedup::Skipped& s : applied.skipped) {
    const auto action = std::find_if(plan.actions.begin(), plan.actions.end(), [&](const dedup::Action& a) { return a.target == s.path; });
    if (action == plan.actions.end()) continue;
    if (s.for_now) {
      out_.waiting.push_back({s.path, Why::in_use, next_try(action->target_state.ctime_ns, now), action->target_state.ctime_ns});
    } else {
      out_.bytes_read += action->size * kReadsOfAnAction;  // perhaps to the last byte
      out_.left.push_back(s);
    }
  }
  out_.actions = std::move(applied.done);
  out_.bytes_freed = applied.bytes_freed;
  out_.transaction = std::move(applied.transaction);
  return {};
}

mlxbase::Status Look::share() {
  scan::Options options;
  options.extra_roots = settings_.extra_roots;
  options.find_duplicates = false;
  options.workers = 1;
  options.clock = &m_.clock;
  inventory_ = TRY(scan::scan(m_.context, m_.catalog, options, m_.progress));
  for (const auto& listing : inventory_.listings) out_.roots.push_back(listing.root);

  news_ = look(inventory_, rules_of(m_, settings_, since_ns_));
  out_.waiting = std::move(news_.waiting);
  seen_ = news_.ready;
  if (news_.ready.empty()) return {};
  const auto left_alone = taken_back(m_.context.fs, m_.home);
  std::erase_if(news_.ready, [&](std::uint32_t i) {
    const Inode& inode = inventory_.inodes[i];
    return std::any_of(inode.names.begin(), inode.names.end(), [&](catalog::NameRef name) { return left_alone.contains({inventory_.entry(name).path, inode.stat.id.inode}); });
  });
  out_.fresh = news_.ready.size();
  options.sizes = TRY(affordable_sizes());
  if (options.sizes->empty()) return {};
  options.min_size = settings_.min_size;
  const auto compared = scan::find_duplicates(m_.context, m_.catalog, inventory_, options, m_.progress);
  for (const Inode& inode : inventory_.inodes) out_.bytes_read += inode.bytes_read;
  budget_.take(out_.bytes_read, m_.clock.wall_ns());
  TRY(compared);

  for (const std::uint32_t i : news_.ready) {
    if (options.sizes->contains(inventory_.inodes[i].stat.size)) ready_.insert(inventory_.inodes[i].stat.id);
  }
  for (const auto& group : inventory_.groups) {
    for (const std::uint32_t i : group.inodes) {
      for (const catalog::NameRef name : inventory_.inodes[i].names) inode_of_.emplace(inventory_.entry(name).path, i);
    }
  }
  dedup::PlanOptions wanted;
  wanted.method = settings_.method;
  wanted.min_size = settings_.min_size;
  wanted.only = ready_;
  dedup::Plan plan = TRY(dedup::make_plan(m_.context, inventory_, wanted));
  if (!settings_.merges_metadata) plan = dedup::without_merges(plan);
  sort_out(plan);
  plan = make_affordable(plan);
  if (plan.actions.empty()) return {};
  if (settings_.dry_run) {
    out_.bytes_freed = plan.bytes_freed;
    out_.actions = std::move(plan.actions);
    return {};
  }
  const std::uint64_t before = out_.bytes_read;
  TRY(apply(plan));
  budget_.take(out_.bytes_read - before, m_.clock.wall_ns());
  return {};
}

}  // namespace

News look_at_stores(const Machine& machine, const Settings& settings, std::int64_t since_ns, const std::vector<catalog::Root>& roots,
                    const std::vector<catalog::Root>& all, const Settled& settled) {
  Inventory inventory;
  for (const catalog::Root& root : roots) inventory.listings.push_back(stores::list_store(machine.context, root, all));
  group::build_inodes(inventory);
  News news = look(inventory, rules_of(machine, settings, since_ns));
  std::erase_if(news.ready, [&](std::uint32_t i) { return settled.contains({inventory.inodes[i].stat.id, inventory.inodes[i].stat.ctime_ns}); });
  return news;
}

Result<Pass> look_and_share(const Machine& machine, const Settings& settings, std::int64_t since_ns, Budget& budget) {
  return Look(machine, settings, since_ns, budget).run();
}

}  // namespace mlxcache::watch
