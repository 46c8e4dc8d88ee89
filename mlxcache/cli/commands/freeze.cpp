#include "mlxcache/vault/freeze.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/vault_text.h"
#include "mlxcache/keep/keep.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::os::FileKind;

constexpr std::uint64_t kLeastGain = 2;  // per cent: less is not worth anybody's time

/// One model or folder on its way into the vault.
struct Target {
  vault::Subject subject;
  keep::Plan removal;          // not with --keep
  std::string refused;         // why it is left alone; else empty
  vault::Estimate estimate;
  std::optional<vault::Frozen> frozen;
  std::string id;              // in the vault
  change::Done done;
  std::uint64_t bytes() const { return frozen ? frozen->tally.all_bytes() : estimate.tally.all_bytes(); }
  const vault::Tally& tally() const { return frozen ? frozen->tally : estimate.tally; }
  std::string title() const { return subject.store.empty() ? subject.name : path::join(subject.store, subject.name); }
};

Status walk(Session& session, const std::string& dir, std::vector<std::string>& out) {
  out.push_back(dir);
  for (const auto& e : TRY(session.fs().list(dir))) {
    const std::string full = path::join(dir, e.name);
    if (TRY(session.fs().stat(full)).kind == FileKind::directory) {
      TRY(walk(session, full, out));
    } else {
      out.push_back(full);
    }
  }
  return {};
}

/// Takes away what lies in a plain folder, and the folder.
Result<keep::Plan> plan_of_folder(Session& session, const vault::Subject& subject) {
  keep::Plan plan;
  const catalog::Root root{catalog::StoreKind::loose, std::string(path::parent(subject.root)), "freeze"};
  std::set<mlxbase::os::FileId> counted;
  for (auto p = subject.paths.rbegin(); p != subject.paths.rend(); ++p) {
    const auto stat = TRY(session.fs().stat(*p));
    change::Change c;
    c.kind = change::Kind::remove;
    c.path = *p;
    c.root = root;
    if (stat.kind != FileKind::directory) c.expected = catalog::fingerprint_of(stat);
    if (stat.kind == FileKind::regular && stat.links == 1) c.bytes = stat.allocated_bytes;
    plan.freed_bytes += c.bytes;
    plan.changes.changes.push_back(std::move(c));
  }
  plan.exact = false;  // nobody asked who else has its blocks
  return plan;
}

Result<Target> folder_target(Session& session, const std::string& folder, bool keep) {
  Target t;
  t.subject = {folder, "", "", folder, {}};
  TRY(walk(session, folder, t.subject.paths));
  std::sort(t.subject.paths.begin(), t.subject.paths.end());
  if (!keep) t.removal = TRY(plan_of_folder(session, t.subject));
  return t;
}

/// Every model of that name in one listing (all its revisions) is one target.
Result<Target> model_target(Session& session, const catalog::Inventory& inventory, std::uint32_t store, const std::string& id, bool keep) {
  const catalog::Listing& listing = inventory.listings[store];
  const auto& adapter = stores::adapter_of(listing.root.kind);
  Target t;
  t.subject = {id, "", std::string(adapter.name), listing.root.path, {}};
  std::set<std::string> names;
  for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
    const catalog::Model& model = listing.models[m];
    if (model.id != id) continue;
    if (model.incomplete) t.refused = "it is not whole: a part is missing or still being downloaded";
    for (const std::uint32_t e : model.entries) names.insert(listing.entries[e].path);
    if (adapter.remove == nullptr) continue;
    if (const auto removal = adapter.remove(session.context(), listing, m)) {
      names.insert(removal->names.begin(), removal->names.end());
      if (!removal->rewritten.empty() && !keep) t.refused = fmt::format("{} lists it in a file of its own, which thaw could not set right: use --keep", adapter.title);
    }
  }
  if (!keep && t.refused.empty()) {
    t.removal = TRY(keep::plan_remove(session.context(), inventory, session.home(), id, {listing.root.kind}, true));
    for (const keep::Refused& r : t.removal.refused) t.refused = r.reason;
    for (const change::Change& c : t.removal.changes.changes) {
      if (c.root.path != listing.root.path) t.refused = fmt::format("{} has it in two folders: {} and {}", adapter.title, listing.root.path, c.root.path);
      names.insert(c.path);
    }
  }
  for (const std::string& p : names) {
    const auto stat = session.fs().stat(p);
    if (!stat && stat.error().code == Code::not_found) continue;
    if (!stat) return fail(stat.error());
    if (!path::is_within(listing.root.path, p)) {
      t.refused = fmt::format("{} lies outside the store", printable(p));
      continue;
    }
    t.subject.paths.push_back(p);
  }
  return t;
}

bool looks_like_a_folder(std::string_view text) { return text.starts_with('/') || text.starts_with('.') || text.starts_with('~'); }

Result<std::vector<Target>> find_targets(Session& session, const Arguments& arguments, bool keep) {
  std::vector<Target> out;
  std::set<std::pair<std::uint32_t, std::string>> models;
  std::optional<catalog::Inventory> inventory;
  const auto look = [&]() -> Status {
    if (inventory) return {};
    scan::Options options;
    options.extra_roots = arguments.all("--root");
    options.find_duplicates = false;
    inventory = TRY(session.scan(options));
    return {};
  };
  const auto kinds = kinds_of(arguments.all("--store"));
  const auto wanted = [&](catalog::StoreKind kind) { return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end(); };
  for (const std::string& text : arguments.all("MODEL")) {
    if (looks_like_a_folder(text)) {
      const std::string folder = TRY(session.fs().real_path(named_folder(session, text)));
      if (TRY(session.fs().stat(folder)).kind != FileKind::directory) return fail(Code::invalid, fmt::format("{} is no folder", printable(folder)));
      out.push_back(TRY(folder_target(session, folder, keep)));
      continue;
    }
    TRY(look());
    std::set<std::uint32_t> in;
    for (const keep::Named& n : TRY(keep::models_named(*inventory, text))) {
      if (!wanted(inventory->listings[n.store].root.kind)) continue;
      in.insert(n.store);
      models.emplace(n.store, inventory->listings[n.store].models[n.model].id);
    }
    if (in.empty()) return fail(Code::not_found, fmt::format("'{}' is in none of the stores that --store names", printable(text)));
    if (in.size() > 1 && kinds.empty()) return fail(Code::invalid, fmt::format("'{}' is in several stores: say which with --store, or write store/name", printable(text)));
  }
  const auto unused = arguments.one("--unused");
  if (unused || arguments.all("MODEL").empty()) {
    if (!unused && kinds.empty()) return fail(Code::invalid, "say what shall be frozen: models, folders, --unused AGE or --store NAME");
    TRY(look());
    const std::int64_t now = session.world().clock.wall_ns();
    for (std::uint32_t s = 0; s < inventory->listings.size(); ++s) {
      const catalog::Listing& listing = inventory->listings[s];
      if (!wanted(listing.root.kind) || stores::adapter_of(listing.root.kind).remove == nullptr) continue;
      std::map<std::string, std::int64_t> used;
      for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
        auto& last = used[listing.models[m].id];
        last = std::max(last, keep::last_used_ns(*inventory, s, m));
      }
      for (const auto& [id, last] : used) {
        if (!unused || now - last >= arguments.age_ns("--unused", 0)) models.emplace(s, id);
      }
    }
  }
  for (const auto& [store, id] : models) out.push_back(TRY(model_target(session, *inventory, store, id, keep)));
  return out;
}

/// Whether it is worth it; what the trash would free counts, or with --keep what the bytes themselves come to.
void weigh(Target& t, bool keep) {
  const std::uint64_t bytes = t.bytes();
  const std::uint64_t freed = keep ? bytes : std::min(bytes, t.removal.freed_bytes);
  const std::uint64_t stored = t.tally().all_stored();
  if (bytes == 0) {
    t.refused = "it has no bytes";
  } else if (freed < stored || (freed - stored) * 100 < bytes * kLeastGain) {
    const bool shared = !keep && freed * 100 < bytes * 90;
    t.refused = fmt::format("freezing it would free less than {} %: {} of {} would be stored{}", kLeastGain, format_bytes(stored), format_bytes(bytes),
                            shared ? fmt::format(", and only {} would be free, since others have the same blocks", format_bytes(freed)) : std::string());
  }
}

Status freeze_one(Session& session, vault::Vault& vault, Target& t, bool keep, bool now) {
  const vault::Means means = vault_means(session);
  vault::FrozenModel model;
  TRY(vault::twice(vault, model, [&]() -> Status {
    session.progress().stage(fmt::format("freeze {}", printable(t.subject.name)), t.estimate.tally.all_bytes(), true);
    t.frozen = TRY(vault::freeze(vault, t.subject, means));
    model = t.frozen->model;
    weigh(t, keep);
    if (!t.refused.empty()) return {};
    // The originals go only after what the disk holds has given their bytes back.
    session.progress().stage(fmt::format("read {} back", printable(t.subject.name)), t.frozen->model.bytes, true);
    return vault::read_back(vault, t.frozen->model, means);
  }));
  if (!t.refused.empty()) return {};
  t.id = TRY(vault.add_model(t.frozen->model));
  if (keep) return {};
  const auto machinery = change_machinery(session);
  t.done = TRY(change::carry_out(machinery, t.removal.changes));
  if (now && !t.done.transaction.empty()) TRY(change::empty_trash(machinery, t.done.transaction, INT64_MAX));
  return {};
}

json::Value document_of(const std::vector<Target>& targets, const std::string& vault, bool applied, bool keep) {
  json::Value models{json::Array{}};
  for (const Target& t : targets) {
    json::Value item{json::Object{}};
    item.set("name", mlxbase::to_utf8(t.subject.name));
    item.set("store", t.subject.store.empty() ? json::Value(nullptr) : json::Value(t.subject.store));
    set_path(item, "root", t.subject.root);
    item.set("bytes", t.bytes());
    item.set("stored_bytes", t.tally().all_stored());
    item.set("bytes_freed", keep ? 0 : t.removal.freed_bytes);
    item.set("estimated", !t.frozen.has_value());
    item.set("seconds", t.frozen ? json::Value(nullptr) : json::Value(static_cast<double>(t.estimate.whole_ns) / 1e9));
    item.set("reasons", reasons_json(t.tally()));
    item.set("refused", t.refused.empty() ? json::Value(nullptr) : json::Value(mlxbase::to_utf8(t.refused)));
    item.set("frozen", t.id.empty() ? json::Value(nullptr) : json::Value(t.id));
    item.set("transaction", t.done.transaction.empty() ? json::Value(nullptr) : json::Value(t.done.transaction));
    models.push(std::move(item));
  }
  json::Value document{json::Object{}};
  document.set("applied", applied);
  document.set("keep", keep);
  set_path(document, "vault", vault);
  document.set("models", std::move(models));
  return document;
}

std::string line_of(Session& session, const Target& t) {
  const std::uint64_t bytes = t.bytes();
  const std::uint64_t stored = t.tally().all_stored();
  std::string out = fmt::format("  {}: {} to {}{} ({} %)\n", printable(t.title()), format_bytes(bytes), t.frozen ? "" : "about ", format_bytes(stored),
                                bytes == 0 ? 0 : (stored * 100 + bytes / 2) / bytes);
  out += session.style().dim("      " + reasons_text(t.tally())) + "\n";
  return out;
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const bool keep = arguments.flag("--keep");
  const bool apply = arguments.flag("--apply");
  std::vector<Target> targets = TRY(find_targets(session, arguments, keep));
  const std::string folder = vault_folder(session, arguments);
  for (const Target& t : targets) {
    if (path::is_within(t.subject.root, folder)) return fail(Code::invalid, fmt::format("the vault {} lies in {}: it cannot hold itself", printable(folder), printable(t.subject.root)));
  }
  auto vault = TRY(vault::Vault::open(session.fs(), folder, apply ? vault::Access::write : vault::Access::look));
  warn_of_damage(session, vault->damaged());
  std::uint64_t bytes = 0, stored = 0, freed = 0, count_of = 0;
  std::int64_t time_ns = 0;
  std::unordered_set<mlxbase::Digest> seen;
  bool cancelled = false;
  for (Target& t : targets) {
    if (!t.refused.empty() || cancelled) continue;
    session.progress().stage(fmt::format("look at {}", printable(t.subject.name)), 0, false);
    if (apply) seen.clear();  // what was frozen before it is in the vault
    t.estimate = TRY(vault::estimate(*vault, t.subject, vault_means(session), seen));
    weigh(t, keep);
    session.progress_done();
    if (apply) {
      if (!t.refused.empty()) continue;
      if (auto frozen = freeze_one(session, *vault, t, keep, arguments.flag("--now")); !frozen) {
        if (frozen.error().code == Code::cancelled) {
          cancelled = true;
        } else if (targets.size() == 1) {
          return fail(frozen.error());
        }
        t.refused = frozen.error().message;
      }
      session.progress_done();
    }
  }
  std::size_t refused = 0;
  for (const Target& t : targets) {
    if (!t.refused.empty()) {
      ++refused;
      continue;
    }
    session.print(line_of(session, t));
    ++count_of;
    bytes += t.bytes();
    stored += t.tally().all_stored();
    freed += t.removal.freed_bytes;
    time_ns += t.estimate.whole_ns;
  }
  if (refused > 0) {
    if (count_of > 0) session.say("");
    session.say(session.style().bold("Left alone"));
    for (const Target& t : targets) {
      if (!t.refused.empty()) session.say_wrapped(fmt::format("  {}: {}", printable(t.title()), printable(t.refused)));
    }
  }
  session.emit("mlxcache.freeze/1", document_of(targets, folder, apply, keep));
  if (count_of == 0) {
    session.say(refused > 0 ? "\nNothing was frozen." : "There is nothing to freeze.");
    return cancelled ? Exit::cancelled : refused > 0 ? Exit::found : Exit::ok;
  }
  session.say("");
  const std::string what = count(count_of, "model");
  if (!apply) {
    session.say_wrapped(fmt::format("{} {} of {} into {} at {}; {}. About {}.", session.style().bold("The plan:"), what, format_bytes(bytes), format_bytes(stored), session.show_path(folder),
                                    keep ? "nothing is removed" : fmt::format("frees {}", format_bytes(freed > stored ? freed - stored : 0)),
                                    mlxbase::format_duration(std::chrono::nanoseconds(time_ns))));
    session.note(fmt::format("\nNothing was changed. To do this:\n  mlxcache {} --apply", printable(session.command_line())));
    return Exit::ok;
  }
  if (keep) {
    session.say_wrapped(fmt::format("{} {} of {} stored in {}, read back and compared; nothing was removed.", session.style().green("Done:"), what, format_bytes(bytes), format_bytes(stored)));
  } else {
    session.say_wrapped(fmt::format("{} {} of {} stored in {}, read back and compared; {} are {}.", session.style().green("Done:"), what, format_bytes(bytes), format_bytes(stored),
                                    format_bytes(freed), arguments.flag("--now") ? "free" : "in the trash"));
    if (!arguments.flag("--now")) session.note("The trash is emptied by 'mlxcache gc --apply' after 14 days; 'mlxcache restore' brings the files back. From the vault: 'mlxcache thaw'.");
  }
  if (cancelled) return Exit::cancelled;
  return refused > 0 ? Exit::partly : Exit::ok;
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, false, true, "models as 'mlxcache ls' prints them, also 'store/name'; folders begin with '/', '.' or '~'"}};
constexpr Option kOptions[] = {
    kApplyOption,
    {"--keep", "", Kind::text, false, "copy into the vault and remove nothing"},
    kNowOption,
    {"--unused", "AGE", Kind::age, false, "all models that nothing has read for so long (60d, 2w, 12h)"},
    {"--store", "NAME", Kind::store, true, "only models of this kind of store (may be given several times); alone: all of its models"},
    kVaultOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache freeze Qwen/Qwen3-0.6B", "show what it would come to"},
    {"mlxcache freeze --unused 60d --apply", "what nothing has read for two months goes into the vault"},
    {"mlxcache freeze ./checkpoints --keep --apply", "a folder of one's own, as a copy"},
    {"mlxcache thaw Qwen/Qwen3-0.6B", "the same files again, at their place"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or done completely"},
    {Exit::found, "everything was left alone (pinned, in use, nothing to gain), each with its reason"},
    {Exit::usage, "nothing was named, or several stores have the model"},
    {Exit::partly, "done, but some models were left alone"},
    {Exit::failed, "no store has such a model, or something changed meanwhile: the files are as they were"},
    {Exit::busy, "another mlxcache writes to the vault or changes the stores"},
};

}  // namespace

const Command kFreeze{
    "freeze",
    "put cold models into the vault, small, and free their disk",
    Group::cold,
    true,
    "Shows what freezing would free, from a look at parts of each file. With --apply every file is read and cut at its tensors; a tensor that the vault has "
    "is kept once, one that is like a known one as the difference, others coded close to their entropy. Everything is then read back from the disk and "
    "compared by SHA-256, and only after that the files leave their store, into the trash. 'mlxcache thaw' brings the exact files back.\n\n"
    "What gains less than 2 % is left alone, and so is what is pinned, open in a program, or not downloaded completely.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
