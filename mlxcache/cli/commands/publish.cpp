#include "mlxcache/publish/publish.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;

constexpr std::size_t kMostName = 96;

std::string_view name_of(change::Kind kind) {
  switch (kind) {
    case change::Kind::make_folder: return "folder";
    case change::Kind::place: return "place";
    case change::Kind::replace: return "replace";
    case change::Kind::remove: return "remove";
  }
  return "unknown";
}

std::string_view name_of(change::How how) {
  switch (how) {
    case change::How::text: return "text";
    case change::How::link_text: return "link";
    case change::How::clone: return "reflink";
    case change::How::hard_link: return "hardlink";
    case change::How::symlink: return "symlink";
    case change::How::copy: return "copy";
    case change::How::adopt: return "move";
  }
  return "unknown";
}

/// "--as name[:tag]", or "org/name[:tag]" for targets with such names.
mlxbase::Status rename(stores::ModelSource& source, const std::string& as) {
  const auto fits = [](std::string_view part) {
    return !part.empty() && part.size() <= kMostName && part.front() != '.' && part.front() != '-' && std::all_of(part.begin(), part.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    });
  };
  std::string_view name = as;
  std::string_view tag;
  if (const auto colon = name.rfind(':'); colon != std::string_view::npos) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
  }
  const auto slash = name.find('/');
  const std::string_view org = slash == std::string_view::npos ? std::string_view{} : name.substr(0, slash);
  const std::string_view last = slash == std::string_view::npos ? name : name.substr(slash + 1);
  if (!fits(last) || (slash != std::string_view::npos && !fits(org)) || (as.contains(':') && !fits(tag))) {
    return fail(Code::invalid, fmt::format("--as: '{}' is no name; write it as name, name:tag or org/name, of letters, digits, '_', '.' and '-'", printable(as)));
  }
  source.name = last;
  source.id = org.empty() ? std::string() : fmt::format("{}/{}", org, last);
  if (!tag.empty()) source.tag = tag;
  return {};
}

json::Value changes_json(std::span<const change::Change> changes) {
  json::Value list{json::Array{}};
  for (const change::Change& c : changes) {
    json::Value item{json::Object{}};
    item.set("kind", name_of(c.kind));
    set_path(item, "path", c.path);
    item.set("how", c.ways.empty() ? json::Value(nullptr) : json::Value(name_of(c.ways.front())));
    if (!c.source.empty()) set_path(item, "source", c.source);
    list.push(std::move(item));
  }
  return list;
}

json::Value document_of(const catalog::Listing& listing, const catalog::Model& model, const publish::Plan& plan) {
  json::Value document{json::Object{}};
  document.set("applied", false);
  document.set("model", mlxbase::to_utf8(model.id));
  document.set("store", kind_name(listing.root.kind));
  json::Value targets{json::Array{}};
  for (const publish::Published& p : plan.targets) {
    json::Value item{json::Object{}};
    item.set("store", kind_name(p.root.kind));
    set_path(item, "root", p.root.path);
    item.set("visible_as", mlxbase::to_utf8(p.visible_as));
    item.set("new_bytes", p.new_bytes);
    json::Value notes{json::Array{}};
    for (const std::string& n : p.notes) notes.push(mlxbase::to_utf8(n));
    item.set("notes", std::move(notes));
    targets.push(std::move(item));
  }
  document.set("targets", std::move(targets));
  json::Value refused{json::Array{}};
  for (const publish::Refused& r : plan.refused) {
    json::Value item{json::Object{}};
    item.set("store", kind_name(r.kind));
    item.set("reason", mlxbase::to_utf8(r.reason));
    refused.push(std::move(item));
  }
  document.set("refused", std::move(refused));
  document.set("changes", changes_json(plan.changes.changes));
  return document;
}

void print_targets(Session& session, const publish::Plan& plan, bool done) {
  for (const publish::Published& p : plan.targets) {
    session.say(fmt::format("{}: {} {}", session.style().bold(stores::adapter_of(p.root.kind).title), done ? "calls it" : "will call it", printable(p.visible_as)));
    session.say_fitted("  " + session.show_path(p.root.path));
    session.say(p.new_bytes == 0 ? "  takes no disk: the bytes are shared" : fmt::format("  a copy: takes {}", format_bytes(p.new_bytes)));
    for (const std::string& n : p.notes) session.print(wrap_text(printable(n), session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0, "  "));
    if (!session.preferences().verbose || done) continue;
    for (const change::Change& c : plan.changes.changes) {
      if (!(c.root == p.root)) continue;
      session.say_fitted(fmt::format("    {:<8} {}", c.ways.empty() ? name_of(c.kind) : name_of(c.ways.front()), printable(path::relative_to(p.root.path, c.path))));
    }
  }
  for (const publish::Refused& r : plan.refused) {
    session.warn(fmt::format("not for {}: {}", stores::adapter_of(r.kind).title, printable(r.reason)));
  }
}

/// What was measured of the source holds for names that share its bytes; the next scan need not read them again.
void remember(Session& session, const change::Done& done) {
  auto catalog = session.open_catalog();
  if (!catalog) return;
  std::vector<catalog::Measured> rows;
  for (const change::Change& c : done.done) {
    if (c.kind != change::Kind::place || !c.source_digest || c.ways.empty() || c.ways.front() == change::How::symlink) continue;
    const auto stat = session.fs().stat(c.path);
    if (!stat || stat->kind != mlxbase::os::FileKind::regular) continue;
    catalog::Measured row;
    row.of = catalog::fingerprint_of(*stat);
    row.digests = {*c.source_digest};
    rows.push_back(std::move(row));
  }
  (void)(*catalog)->remember(rows);  // only saves work
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const auto kinds = kinds_of(arguments.all("--to"));
  if (kinds.empty()) return fail(Code::invalid, "say where to: --to TOOL; see 'mlxcache publish --help'");
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  options.find_duplicates = false;
  const catalog::Inventory inventory = TRY(session.scan(options));
  const publish::Found found = TRY(publish::find_model(inventory, *arguments.one("MODEL")));
  auto* catalog = TRY(session.open_catalog());
  stores::ModelSource source = TRY(publish::describe(session.context(), *catalog, inventory, found, session.progress()));
  session.progress_done();
  if (const auto as = arguments.one("--as")) TRY(rename(source, *as));

  const catalog::Listing& listing = inventory.listings[found.store];
  const catalog::Model& model = listing.models[found.model];
  std::vector<publish::Target> targets;
  std::vector<publish::Refused> refused;
  for (const catalog::StoreKind kind : kinds) {
    if (kind == listing.root.kind && !arguments.one("--as")) {
      refused.push_back({kind, "it is there already"});
      continue;
    }
    auto target = publish::target_of(session.context(), inventory, kind);
    if (target) {
      targets.push_back(std::move(*target));
    } else {
      refused.push_back({kind, target.error().message});
    }
  }
  publish::Plan plan = TRY(publish::make_plan(session.context(), source, targets, {}, arguments.flag("--copy")));
  plan.refused.insert(plan.refused.begin(), refused.begin(), refused.end());
  json::Value document = document_of(listing, model, plan);
  warn_of_problems(session, inventory);
  if (plan.targets.empty()) {
    session.emit("mlxcache.publish/1", std::move(document));
    print_targets(session, plan, false);
    session.say("Nothing was published.");
    return Exit::found;
  }
  if (!arguments.flag("--apply") || arguments.flag("--plan")) {
    session.emit("mlxcache.publish/1", std::move(document));
    print_targets(session, plan, false);
    session.note(fmt::format("\nNothing was changed. To do exactly this:\n  mlxcache {} --apply", printable(session.command_line())));
    return plan.refused.empty() ? Exit::ok : Exit::partly;
  }
  const change::Done done = TRY(change::carry_out(change_machinery(session), plan.changes));
  session.progress_done();
  remember(session, done);
  document.set("applied", true);
  document.set("changes", changes_json(done.done));
  document.set("transaction", done.transaction.empty() ? json::Value(nullptr) : json::Value(done.transaction));
  session.emit("mlxcache.publish/1", std::move(document));
  print_targets(session, plan, true);
  if (!done.transaction.empty()) session.note(fmt::format("To take it back: mlxcache undo {}", done.transaction));
  return plan.refused.empty() ? Exit::ok : Exit::partly;
}

constexpr Operand kOperands[] = {
    {"MODEL", Kind::model, true, false, "a model's name as 'mlxcache ls' prints it; 'store/name' takes that store's, 'name:Q4_K_M' one of several quantisations"}};
constexpr Option kOptions[] = {
    {"--to", "TOOL", Kind::store, true, "make it visible in this tool (may be given several times)"},
    {"--as", "NAME", Kind::text, false, "under this name: name, name:tag or org/name"},
    {"--copy", "", Kind::text, false, "copy where the volume or the tool bears no link (takes disk)"},
    {"--plan", "", Kind::text, false, "only show what would be done (as without --apply)"},
    kApplyOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache publish Qwen/Qwen3-0.6B-GGUF:Q8_0 --to ollama", "show what Ollama would get and how it would call it"},
    {"mlxcache publish llama3.2:3b --to lm-studio --to llama-cpp --apply", "Ollama's model in two more tools, no byte copied"},
    {"mlxcache publish org/name --to ollama --as name:latest --apply", "under a name of one's own"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or the model is visible in every tool that was asked for"},
    {Exit::found, "every target was refused, each with its reason"},
    {Exit::usage, "the model is incomplete, or the name fits several models"},
    {Exit::partly, "some targets were refused, each with its reason"},
    {Exit::failed, "no such model, its bytes are damaged, or something changed meanwhile: nothing was published then"},
};

}  // namespace

const Command kPublish{
    "publish",
    "make a model of one tool visible in another, without a copy",
    Group::add,
    true,
    "Shows what the other tool would be given and how it would call the model; with --apply it is done, all of it or nothing. The digests of all files are "
    "measured first (once; an unchanged file is not read again), and a file that is not what its store says is never published.\n\n"
    "The bytes are shared: by a clone where the volume can, else by a hard link where neither tool ever writes into its files, else by a symlink where the "
    "tool is known to bear it. A tool that cannot load the model refuses it, with the reason.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
