#include <fmt/format.h>

#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

using mlxbase::Result;

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  options.find_duplicates = false;  // blocks are counted by the plan itself
  const catalog::Inventory inventory = TRY(session.scan(options));
  const keep::Plan plan = TRY(keep::plan_remove(session.context(), inventory, session.home(), *arguments.one("MODEL"), kinds_of(arguments.all("--from")),
                                                arguments.flag("--everywhere")));
  return show_or_do(session, arguments, inventory, plan, "mlxcache.rm/1", "Nothing was removed.");
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, true, false, "a model's name as 'mlxcache ls' prints it; 'store/name' and 'name@revision' narrow"}};
constexpr Option kOptions[] = {
    {"--from", "TOOL", Kind::store, true, "only out of this tool's stores (may be given several times)"},
    {"--everywhere", "", Kind::text, false, "out of every store that has it"},
    kApplyOption,
    kNowOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache rm llama3.2:3b", "show what would go, and what that frees"},
    {"mlxcache rm Qwen/Qwen3-0.6B --from hf-hub --apply", "into the trash"},
    {"mlxcache restore", "take it back"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or done completely"},
    {Exit::found, "everything was refused (pinned, in use, half downloaded), each with its reason"},
    {Exit::usage, "several stores have it, and neither --from nor --everywhere was given"},
    {Exit::partly, "done, but not in every store that was asked for"},
    {Exit::failed, "no store has such a model, or something changed meanwhile: nothing was removed then"},
};

}  // namespace

const Command kRm{
    "rm",
    "remove a model from one tool or all, into a trash",
    Group::remove,
    true,
    "Shows what would go and exactly what that frees: bytes that another tool has too (the same blocks, by a link or a clone) stay, and it says whose they "
    "are. With --apply the model leaves as its own tool would take it out, first what makes it visible. Everything goes into a trash on the same disk, "
    "from which 'mlxcache restore' brings it back, until it is emptied.\n\n"
    "A model that is pinned, that a program has open, or whose download has not finished is refused.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
