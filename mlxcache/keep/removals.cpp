#include "mlxcache/keep/removals.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/os/processes.h"

namespace mlxcache::keep {
namespace {

namespace path = mlxbase::path;
using catalog::Entry;
using catalog::Listing;
using catalog::Model;
using catalog::Role;
using change::Change;
using mlxbase::printable;
using mlxbase::os::FileKind;

std::string title(const Listing& listing, const Model& model) { return path::join(stores::adapter_of(listing.root.kind).name, model.id); }

}  // namespace

std::optional<std::string> in_use(const std::string& p, const mlxbase::os::FileStat& stat) {
  const auto holders = mlxbase::os::processes_holding(p, stat.id);
  if (holders.empty()) return std::nullopt;
  const auto& first = holders.front();
  return fmt::format("{} (process {}) has {} open", first.program.empty() ? "a program" : printable(first.program), first.pid, printable(path::file_name(p)));
}

Removals::Removals(const stores::Context& context, const catalog::Inventory& inventory, const std::vector<std::string>& pins)
    : context_(context), inventory_(inventory), pins_(pins), freed_(context.fs, inventory), view_(context.fs),
      view_context_{view_, context.environment, context.cancel} {}

const Listing& Removals::listing_now(std::uint32_t store) {
  const auto at = relisted_.find(store);
  return at == relisted_.end() ? inventory_.listings[store] : at->second;
}

std::optional<std::string> Removals::why_not(Named named, const Listing& listing, const Model& model) const {
  const stores::Adapter& adapter = stores::adapter_of(listing.root.kind);
  if (is_pinned(pins_, listing.root.kind, model.id)) return "it is pinned ('mlxcache unpin' lets it go)";
  if (adapter.remove == nullptr) return fmt::format("models of {} are not removed by mlxcache", adapter.title);
  std::set<mlxbase::os::FileId> asked;
  for (const std::uint32_t e : inventory_.listings[named.store].models[named.model].entries) {
    const Entry& entry = inventory_.listings[named.store].entries[e];
    if (entry.stat.kind != FileKind::regular || entry.role != Role::payload || !asked.insert(entry.stat.id).second) continue;
    if (auto used = in_use(entry.path, entry.stat)) return used;
  }
  return std::nullopt;
}

bool Removals::add(Named named) {
  const Listing& before = inventory_.listings[named.store];
  const Model& model = before.models[named.model];
  const Listing& now = listing_now(named.store);
  const auto at = std::find_if(now.models.begin(), now.models.end(), [&](const Model& m) { return m.id == model.id && m.revision == model.revision; });
  if (at == now.models.end()) return false;  // went with another of its store
  if (auto reason = why_not(named, before, model)) {
    refuse(title(before, model), std::move(*reason));
    return false;
  }
  const auto removal = stores::adapter_of(before.root.kind).remove(view_context_, now, static_cast<std::uint32_t>(at - now.models.begin()));
  if (!removal) {
    refuse(title(before, model), removal.error().message);
    return false;
  }
  Leaving leaving;
  leaving.kind = before.root.kind;
  leaving.store_root = before.root.path;
  leaving.model = model.id;
  leaving.last_used_ns = last_used_ns(inventory_, named.store, named.model);
  leaving.kept = removal->kept;
  for (const stores::NewName& name : removal->rewritten) add_rewrite(before.root, name);
  std::set<mlxbase::os::FileId> counted;
  for (const std::string& name : removal->names) {
    const auto stat = context_.fs.stat(name);
    if (stat && stat->kind == FileKind::regular && counted.insert(stat->id).second) leaving.apparent_bytes += stat->size;
    leaving.freed_bytes += add_change(before.root, name);
  }
  plan_.freed_bytes += leaving.freed_bytes;
  plan_.leaving.push_back(std::move(leaving));
  names_.push_back(removal->names);
  std::vector<catalog::Root> roots;
  for (const Listing& listing : inventory_.listings) roots.push_back(listing.root);
  relisted_[named.store] = stores::list_store(view_context_, before.root, roots);
  return true;
}

std::uint64_t Removals::add_change(const catalog::Root& root, const std::string& p) {
  const auto stat = context_.fs.stat(p);
  if (!stat) return 0;  // gone already
  Change change;
  change.kind = change::Kind::remove;
  change.path = p;
  change.root = root;
  if (stat->kind != FileKind::directory) change.expected = catalog::fingerprint_of(*stat);
  change.bytes = freed_.leave(p);
  const std::uint64_t bytes = change.bytes;
  if (stat->kind != FileKind::directory) view_.remove(p);  // a folder goes only if it is empty by then
  plan_.changes.changes.push_back(std::move(change));
  return bytes;
}

void Removals::add_rewrite(const catalog::Root& root, const stores::NewName& name) {
  view_.rewrite(name.path, name.content);
  if (const auto at = rewrites_.find(name.path); at != rewrites_.end()) {
    plan_.changes.changes[at->second].content = name.content;  // one new text for all that leave
    return;
  }
  Change change;
  change.kind = change::Kind::replace;
  change.path = name.path;
  change.root = root;
  change.ways = {change::How::text};
  change.content = name.content;
  change.mode = name.mode;
  change.expected = name.expected;
  if (!change.expected) {
    if (const auto stat = context_.fs.stat(name.path)) change.expected = catalog::fingerprint_of(*stat);
  }
  rewrites_.emplace(name.path, plan_.changes.changes.size());
  plan_.changes.changes.push_back(std::move(change));
}

void Removals::add_name(std::uint32_t store, const Entry& entry, std::string_view what) {
  const catalog::Root& root = inventory_.listings[store].root;
  if (entry.stat.kind == FileKind::regular) {
    if (auto used = in_use(entry.path, entry.stat)) return refuse(entry.path, std::move(*used));
  }
  Leaving leaving;
  leaving.kind = root.kind;
  leaving.store_root = root.path;
  leaving.model = fmt::format("{}: {}", what, path::relative_to(root.path, entry.path));
  leaving.apparent_bytes = entry.stat.kind == FileKind::regular ? entry.stat.size : 0;
  leaving.last_used_ns = std::max(entry.stat.atime_ns, entry.stat.mtime_ns);
  leaving.freed_bytes = add_change(root, entry.path);
  plan_.freed_bytes += leaving.freed_bytes;
  names_.push_back({entry.path});
  plan_.leaving.push_back(std::move(leaving));
}

Plan Removals::finish(bool whole) {
  plan_.changes.whole = whole;
  for (std::size_t i = 0; i < plan_.leaving.size(); ++i) {
    std::set<std::string> holders;
    for (const std::string& name : names_[i]) {
      for (const catalog::NameRef ref : freed_.holders(name)) {
        const Listing& listing = inventory_.listings[ref.store];
        const Entry& entry = listing.entries[ref.entry];
        const std::string store(stores::adapter_of(listing.root.kind).name);
        holders.insert(entry.model >= 0 ? fmt::format("{}: {}", store, listing.models[static_cast<std::size_t>(entry.model)].id) : store);
      }
    }
    plan_.leaving[i].shared_with.assign(holders.begin(), holders.end());
  }
  plan_.exact = freed_.exact();
  return std::move(plan_);
}

}  // namespace mlxcache::keep
