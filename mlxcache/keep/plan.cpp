#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/keep/keep.h"
#include "mlxcache/keep/removals.h"
#include "mlxcache/ledger/ledger.h"
#include "mlxcache/stores/common.h"

namespace mlxcache::keep {
namespace {

namespace path = mlxbase::path;
using catalog::Entry;
using catalog::Inventory;
using catalog::Listing;
using catalog::Role;
using catalog::StoreKind;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;

bool is_among(const std::vector<StoreKind>& kinds, StoreKind kind) { return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end(); }

/// Stores that name payloads by digest and delete what no manifest names themselves. Elsewhere a file that no model has was put there by a person.
bool collects_by_itself(StoreKind kind) {
  switch (kind) {
    case StoreKind::hf_hub:
    case StoreKind::ollama:
    case StoreKind::llama_cpp:
    case StoreKind::docker_model_runner:
    case StoreKind::ramalama: return true;
    default: return false;
  }
}

/// A link whose whole folder is missing may lead to a disk that is not mounted today.
bool may_be_unmounted(mlxbase::os::FileSystem& fs, const Listing& listing, const Entry& link) {
  const std::string to = path::is_absolute(link.link_target) ? path::normal(link.link_target)
                                                             : path::normal(path::join(path::parent(link.path), link.link_target));
  return !path::is_within(listing.root.path, to) && !fs.stat(std::string(path::parent(to)), mlxbase::os::Follow::yes);
}

bool cancelled(const stores::Context& context) { return context.cancel != nullptr && context.cancel->requested(); }

}  // namespace

std::int64_t last_used_ns(const Inventory& inventory, std::uint32_t store, std::uint32_t model) {
  const Listing& listing = inventory.listings[store];
  std::int64_t latest = 0;
  for (const std::uint32_t e : listing.models[model].entries) {
    const Entry& entry = listing.entries[e];
    if (entry.role != Role::payload && entry.role != Role::link) continue;
    latest = std::max({latest, entry.stat.atime_ns, entry.stat.mtime_ns});
  }
  return latest;
}

Result<Plan> plan_remove(const stores::Context& context, const Inventory& inventory, const std::string& home, const std::string& model,
                         const std::vector<StoreKind>& from, bool everywhere) {
  const auto pinned = TRY(pins(context.fs, home));
  auto found = TRY(models_named(inventory, model));
  if (!from.empty()) {
    std::set<std::string> elsewhere;
    for (const Named& n : found) elsewhere.insert(std::string(stores::adapter_of(inventory.listings[n.store].root.kind).name));
    std::erase_if(found, [&](const Named& n) { return !is_among(from, inventory.listings[n.store].root.kind); });
    if (found.empty()) {
      return fail(Code::not_found, fmt::format("'{}' is in none of the stores that --from names; it is in {}", printable(model), fmt::join(elsewhere, ", ")));
    }
  }
  std::set<std::uint32_t> where;
  for (const Named& n : found) where.insert(n.store);
  if (from.empty() && !everywhere && where.size() > 1) {
    std::vector<std::string_view> names;
    for (const std::uint32_t s : where) names.push_back(stores::adapter_of(inventory.listings[s].root.kind).name);
    return fail(Code::invalid, fmt::format("'{}' is in {} stores ({}): say which with --from, or --everywhere", printable(model), where.size(), fmt::join(names, ", ")));
  }
  Removals removals(context, inventory, pinned);
  for (const Named& n : found) {
    if (cancelled(context)) return fail(Code::cancelled, "stopped while planning; nothing was changed");
    removals.add(n);
  }
  return removals.finish(true);
}

Result<Plan> plan_gc(const stores::Context& context, const Inventory& inventory, const GcOptions& options, std::int64_t now_ns) {
  const std::vector<std::string> none;
  Removals removals(context, inventory, none);
  for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
    const Listing& listing = inventory.listings[s];
    // The xet cache holds chunks, and keeps itself within its own bound.
    if (!is_among(options.only, listing.root.kind) || listing.root.kind == StoreKind::hf_xet) continue;
    if (cancelled(context)) return fail(Code::cancelled, "stopped while planning; nothing was changed");
    for (const Entry& entry : listing.entries) {
      // Of a link only its own times count; of a file the inode's, a rename included.
      const std::int64_t touched = std::max(entry.stat.mtime_ns, entry.stat.ctime_ns);
      const bool young = now_ns - touched < options.partial_age_ns;
      if (entry.role == Role::partial && options.partials) {
        if (stores::is_staging_name(path::file_name(entry.path)) || stores::is_staging_name(path::file_name(path::parent(entry.path)))) continue;
        if (young) {
          removals.refuse(entry.path, "a download that was written to lately: it may be running");
        } else {
          removals.add_name(s, entry, "partial download");
        }
      } else if (entry.role == Role::orphan && options.orphans) {
        if (!collects_by_itself(listing.root.kind)) {
          removals.refuse(entry.path, fmt::format("{} does not list it, but a person may have put it there", stores::adapter_of(listing.root.kind).title));
        } else if (young) {
          removals.refuse(entry.path, "it is new: a download may be about to name it");
        } else {
          removals.add_name(s, entry, "orphan");
        }
      } else if (entry.role == Role::broken && options.broken_links) {
        if (may_be_unmounted(context.fs, listing, entry)) {
          removals.refuse(entry.path, fmt::format("it leads to {}, which may be a disk that is not mounted", entry.link_target.view()));
        } else {
          removals.add_name(s, entry, "broken link");
        }
      }
    }
  }
  return removals.finish(false);
}

namespace {

struct Candidate {
  Named named;
  std::int64_t used_ns = 0;
};

/// Least recently used first.
std::vector<Candidate> candidates(const Inventory& inventory, const PruneOptions& options, std::int64_t now_ns) {
  std::vector<Candidate> out;
  for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
    const Listing& listing = inventory.listings[s];
    if (!is_among(options.only, listing.root.kind) || stores::adapter_of(listing.root.kind).remove == nullptr) continue;
    for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
      const std::int64_t used = last_used_ns(inventory, s, m);
      if (options.unused_ns && now_ns - used < *options.unused_ns) continue;
      out.push_back({{s, m}, used});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return a.used_ns < b.used_ns; });
  return out;
}

/// Goes through the candidates until enough is freed; `left_out` are not asked.
Plan choose(const stores::Context& context, const Inventory& inventory, const std::vector<std::string>& pinned, const std::vector<Candidate>& all,
            const std::set<std::pair<std::uint32_t, std::uint32_t>>& left_out, std::uint64_t wanted, std::vector<Named>& taken) {
  Removals removals(context, inventory, pinned);
  taken.clear();
  for (const Candidate& c : all) {
    if (cancelled(context) || removals.freed() >= wanted) break;
    if (left_out.contains({c.named.store, c.named.model})) continue;
    if (removals.add(c.named)) taken.push_back(c.named);
  }
  return removals.finish(true);  // a model goes whole or stays whole
}

}  // namespace

Result<Plan> plan_prune(const stores::Context& context, const Inventory& inventory, const std::string& home, const PruneOptions& options, std::int64_t now_ns) {
  if (!options.budget_bytes && !options.unused_ns) return fail(Code::invalid, "say what shall go: --budget SIZE, --unused TIME, or both");
  const auto pinned = TRY(pins(context.fs, home));
  std::uint64_t wanted = UINT64_MAX;
  if (options.budget_bytes) {
    const std::uint64_t held = ledger::make_ledger(context.fs, inventory).allocated_bytes;
    if (held <= *options.budget_bytes) return Plan{};
    wanted = held - *options.budget_bytes;
  }
  const auto all = candidates(inventory, options, now_ns);
  std::vector<Named> taken;
  std::set<std::pair<std::uint32_t, std::uint32_t>> left_out;
  Plan plan = choose(context, inventory, pinned, all, left_out, wanted, taken);
  if (options.budget_bytes) {
    // With a budget, what frees nothing goes only if it lets a later one free its blocks: not while somebody who stays has them all.
    std::vector<Refused> useless;
    for (std::size_t i = 0; i < plan.leaving.size() && i < taken.size(); ++i) {
      // A manifest's block is no reason to lose a model; what is shared only with others that go is needed to free theirs.
      const Leaving& l = plan.leaving[i];
      const bool next_to_nothing = l.freed_bytes * 100 < l.apparent_bytes || l.apparent_bytes == 0;
      if (!next_to_nothing || (l.shared_with.empty() && l.apparent_bytes > 0)) continue;
      left_out.insert({taken[i].store, taken[i].model});
      useless.push_back({path::join(stores::adapter_of(l.kind).name, l.model),
                         l.shared_with.empty() ? std::string("it frees nothing") : fmt::format("it frees nothing: {} has the same blocks", fmt::join(l.shared_with, ", "))});
    }
    if (!useless.empty()) {
      plan = choose(context, inventory, pinned, all, left_out, wanted, taken);
      plan.refused.insert(plan.refused.end(), useless.begin(), useless.end());
    }
  }
  if (cancelled(context)) return fail(Code::cancelled, "stopped while planning; nothing was changed");
  if (options.budget_bytes) plan.short_of_bytes = wanted - std::min(wanted, plan.freed_bytes);
  return plan;
}

}  // namespace mlxcache::keep
