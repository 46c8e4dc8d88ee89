#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/plan_text.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using dedup::Plan;
using mlxbase::format_bytes;
using mlxbase::format_exact;
using mlxbase::printable;
using mlxbase::Result;

dedup::MethodChoice method_of(const Arguments& arguments) {
  const std::string name = arguments.one("--method").value_or("auto");
  if (name == "reflink") return dedup::MethodChoice::reflink;
  if (name == "hardlink") return dedup::MethodChoice::hard_link;
  if (name == "symlink") return dedup::MethodChoice::symlink;
  return dedup::MethodChoice::automatic;
}

json::Value plan_json(const catalog::Inventory& inventory, const Plan& plan) {
  json::Value document{json::Object{}};
  document.set("applied", false);
  document.set("actions", actions_json(plan.actions));
  document.set("skipped", skipped_json(plan.skipped));
  document.set("bytes_freed", plan.bytes_freed);
  document.set("merges_metadata", plan.merges_metadata);
  document.set("problems", problems_json(inventory));
  return document;
}

Result<Exit> apply(Session& session, const catalog::Inventory& inventory, const Plan& plan) {
  const dedup::Applied applied = TRY(dedup::apply(session.machinery(), plan));
  session.progress_done();
  session.remember_moves(applied.moved);
  if (session.preferences().json) {
    json::Value document = plan_json(inventory, plan);
    document.set("applied", true);
    document.set("actions", actions_json(applied.done));
    std::vector<dedup::Skipped> skipped = plan.skipped;
    skipped.insert(skipped.end(), applied.skipped.begin(), applied.skipped.end());
    document.set("skipped", skipped_json(skipped));
    document.set("bytes_freed", applied.bytes_freed);
    document.set("transaction", applied.transaction);
    session.emit("mlxcache.dedup/1", std::move(document));
  }
  session.print(skipped_text(session, applied.skipped, "Left alone while applying"));
  session.say_wrapped(fmt::format("{} {} share their bytes now; {} freed ({} bytes).", session.style().green("Done:"),
                          count(applied.done.size(), "file"), format_bytes(applied.bytes_freed), format_exact(applied.bytes_freed)));
  if (!applied.transaction.empty()) session.note(fmt::format("To take it back: mlxcache undo {}", applied.transaction));
  if (session.cancelled()) return Exit::cancelled;
  return applied.skipped.empty() ? Exit::ok : Exit::partly;
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  // All stores are scanned even if only some may change: the copies to share with may be in the others.
  const catalog::Inventory inventory = TRY(session.scan(options));
  dedup::PlanOptions wanted;
  wanted.method = method_of(arguments);
  wanted.stores = kinds_of(arguments.all("--store"));
  wanted.models = arguments.all("--model");
  wanted.min_size = arguments.bytes("--min-size", wanted.min_size);
  Plan plan = TRY(dedup::make_plan(session.context(), inventory, wanted));
  const bool wants_apply = arguments.flag("--apply");

  if (!wants_apply) session.emit("mlxcache.dedup/1", plan_json(inventory, plan));
  session.print(plan_text(session, plan));
  session.print(skipped_text(session, plan.skipped, "Left alone"));
  if (!plan.skipped.empty()) session.say("");
  if (plan.actions.empty()) {
    session.say(inventory.listings.empty() ? "No model store was found on this machine." : "Nothing to do: no file can share more than it does.");
    if (wants_apply) {
      json::Value document = plan_json(inventory, plan);
      document.set("applied", true);
      document.set("transaction", nullptr);
      session.emit("mlxcache.dedup/1", std::move(document));
    }
    warn_of_problems(session, inventory);
    return Exit::ok;
  }
  session.say(fmt::format("{} {}, frees {} ({} bytes).", session.style().bold("The plan:"), count(plan.actions.size(), "file"),
                          format_bytes(plan.bytes_freed), format_exact(plan.bytes_freed)));
  warn_of_problems(session, inventory);
  const std::string merges = merges_text(session, plan);
  if (!wants_apply) {
    if (!merges.empty()) session.note("\n" + merges);
    session.note(fmt::format("{}Nothing was changed. To do exactly this:\n  mlxcache {} --apply", merges.empty() ? "\n" : "", printable(session.command_line())));
    return Exit::ok;
  }
  if (plan.merges_metadata) {
    session.note("\n" + merges);
    switch (session.ask("Do it, these files included?")) {
      case Answer::yes: break;
      case Answer::no: {
        if (session.cancelled()) return mlxbase::fail(mlxbase::Code::cancelled, "cancelled; nothing was changed");
        plan = without_merges(plan);
        if (plan.actions.empty() ||
            session.ask(fmt::format("And the other {} ({})?", count(plan.actions.size(), "file"), format_bytes(plan.bytes_freed))) != Answer::yes) {
          session.say("Nothing was changed.");
          return Exit::found;
        }
        break;
      }
      case Answer::nobody: {
        json::Value document = plan_json(inventory, plan);
        document.set("question", "hard links would change permissions, times or owner of some files: --yes accepts, --method reflink leaves them alone");
        session.emit("mlxcache.dedup/1", std::move(document));
        session.warn("nothing was changed: hard links would change permissions, times or owner of some files, and nobody is here to answer.\n"
                     "  --yes             does it ('mlxcache undo' brings everything back)\n"
                     "  --method reflink  leaves files alone that could only be hard-linked");
        return Exit::needs_answer;
      }
    }
  }
  return apply(session, inventory, plan);
}

constexpr Option kOptions[] = {
    {"--apply", "", Kind::text, false, "do what the plan says (without it, nothing is changed)"},
    {"--store", "NAME", Kind::store, true, "only change files of this kind of store (may be given several times)"},
    {"--model", "ID", Kind::model, true, "only change files of this model (may be given several times)"},
    {"--min-size", "SIZE", Kind::bytes, false, "leave files smaller than this alone (500k, 10M; 4 KiB if not given)"},
    {"--method", "HOW", Kind::method, false, "how to share; auto takes the safest that volume and store allow"},
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache dedup", "show the plan; nothing is changed"},
    {"mlxcache dedup --apply", "do it"},
    {"mlxcache dedup --store lm-studio --min-size 100M --apply", "only large files of LM Studio give up their own copy"},
    {"mlxcache dedup --apply --yes --json", "for a script"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or done completely; also when there was nothing to do"},
    {Exit::found, "the question was answered with no; nothing was changed"},
    {Exit::partly, "done, but some files of the plan were left alone (changed meanwhile, in use, locked)"},
    {Exit::busy, "another mlxcache is changing the stores right now; nothing was changed"},
    {Exit::needs_answer, "a question had to be answered and nobody was there; nothing was changed"},
    {Exit::cancelled, "cancelled; what was done until then is complete and can be undone"},
};

}  // namespace

const Command kDedup{
    "dedup",
    "let equal files share their disk blocks; shows the plan first",
    Group::share,
    true,
    "Prints the plan: which files would share the bytes of which others, how, and exactly what that frees. With --apply the very same "
    "plan is written to the journal and done. The bytes of both files are compared right before each change. Files that are open for "
    "writing, are partial downloads, belong to a running tool's lock or changed since the scan are left alone and listed.\n\n"
    "reflink shares blocks between independent files and is used wherever the volume can. hardlink makes two names of one file; it is "
    "never used for stores that write in place. symlink is used only where the owning tool is known to bear it. When hard links would "
    "change permissions, times or owner of a file, it asks first.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
