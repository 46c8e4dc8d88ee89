#include <fmt/format.h>

#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

using mlxbase::Result;

Result<Exit> run(Session& session, const Arguments& arguments) {
  keep::PruneOptions wanted;
  if (arguments.one("--budget")) wanted.budget_bytes = arguments.bytes("--budget", 0);
  if (arguments.one("--unused")) wanted.unused_ns = arguments.age_ns("--unused", 0);
  wanted.only = kinds_of(arguments.all("--store"));
  if (!wanted.budget_bytes && !wanted.unused_ns) {
    return mlxbase::fail(mlxbase::Code::invalid, "say what shall go: --budget SIZE, --unused AGE, or both; see 'mlxcache prune --help'");
  }
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  options.find_duplicates = false;
  const catalog::Inventory inventory = TRY(session.scan(options));
  const keep::Plan plan = TRY(keep::plan_prune(session.context(), inventory, session.home(), wanted, session.world().clock.wall_ns()));
  auto shown = show_or_do(session, arguments, inventory, plan, "mlxcache.prune/1", plan.short_of_bytes > 0 ? "Nothing can go." : "Nothing has to go.");
  if (shown && plan.short_of_bytes > 0) {
    session.warn(fmt::format("the budget of {} is not reached: {} more would have to go; what stays is pinned, in use, not older than --unused, or shares its blocks",
                             mlxbase::format_bytes(*wanted.budget_bytes), mlxbase::format_bytes(plan.short_of_bytes)));
  }
  return shown;
}

constexpr Option kOptions[] = {
    {"--budget", "SIZE", Kind::bytes, false, "all stores together shall hold no more than this (200G), shared bytes counted once"},
    {"--unused", "AGE", Kind::age, false, "only models that nothing has read for so long (60d, 2w, 12h)"},
    {"--store", "NAME", Kind::store, true, "only models of this kind of store (may be given several times)"},
    kApplyOption,
    kNowOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache prune --unused 60d", "show what nothing has read for two months"},
    {"mlxcache prune --budget 200G --apply", "least recently used first, until 200 GB are left"},
    {"mlxcache pin llama3.2:3b", "this one stays"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or done completely; also when nothing has to go"},
    {Exit::found, "everything that could go was refused (pinned, in use), each with its reason"},
    {Exit::partly, "done; some models were refused"},
    {Exit::failed, "something changed meanwhile: nothing was removed"},
};

}  // namespace

const Command kPrune{
    "prune",
    "remove what was not used for long, or until a budget is kept",
    Group::remove,
    true,
    "Chooses models, least recently used first: by the latest time at which one of their files was read or written, as far as the disk keeps it (Linux notes "
    "a reading once a day). Pinned models stay. With a budget, a model whose blocks another model keeps is left alone: removing it would free nothing. "
    "Everything goes into the trash, from which 'mlxcache restore' brings it back.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
