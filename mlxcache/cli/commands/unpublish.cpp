#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/journal/log_file.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::cli {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;

constexpr std::uint64_t kSmall = std::uint64_t{1} << 20U;  // manifests, configs and templates that only this tool has

/// Names that publish or pull has placed, in transactions that stand.
Result<std::set<std::string>> placed_by_us(Session& session) {
  std::set<std::string> out;
  std::vector<std::string> problems;
  for (const journal::Summary& summary : TRY(journal::list(session.fs(), session.home(), problems))) {
    if (summary.state == journal::State::undone) continue;
    const auto contents = journal::read(session.fs(), journal::file_of(session.home(), summary.id));
    if (!contents) continue;
    for (const auto& [index, step] : journal::fold(*contents).steps) {
      if (step.intent && step.intent->method == static_cast<std::uint8_t>(change::Kind::place) && step.done() && !step.undone()) out.insert(step.intent->target);
    }
  }
  return out;
}

/// Whether bytes that were measured to be those of `file` lie under a name that stays.
bool are_elsewhere(const catalog::Inventory& inventory, catalog::Catalog& catalog, const catalog::Fingerprint& file, std::uint64_t size, const std::set<std::string>& leaving) {
  std::vector<catalog::Fingerprint> states{file};
  for (const catalog::Inode& inode : inventory.inodes) {
    const bool stays = std::any_of(inode.names.begin(), inode.names.end(), [&](catalog::NameRef name) { return !leaving.contains(inventory.entry(name).path); });
    if (stays && inode.stat.size == size && inode.stat.kind == mlxbase::os::FileKind::regular) states.push_back(catalog::fingerprint_of(inode.stat));
  }
  const auto known = catalog.look_up(states);
  if (!known || !known->front()) return false;
  for (std::size_t i = 1; i < known->size(); ++i) {
    if (!(*known)[i]) continue;
    for (const mlxbase::Digest& digest : known->front()->digests) {
      if (std::find((*known)[i]->digests.begin(), (*known)[i]->digests.end(), digest) != (*known)[i]->digests.end()) return true;
    }
  }
  return false;
}

/// Why a model is no publication, if it is none.
std::optional<std::string> why_not(const catalog::Inventory& inventory, catalog::Catalog& catalog, const keep::Plan& plan, const std::set<std::string>& ours) {
  std::set<std::string> leaving;
  for (const change::Change& c : plan.changes.changes) leaving.insert(c.path);
  for (const keep::Leaving& l : plan.leaving) {
    if (l.freed_bytes < kSmall && !l.shared_with.empty()) continue;
    const bool all_ours = std::all_of(plan.changes.changes.begin(), plan.changes.changes.end(), [&](const change::Change& c) {
      if (c.kind != change::Kind::remove || !c.expected || c.root.path != l.store_root) return true;
      return ours.contains(c.path) && (c.expected->size < kSmall || are_elsewhere(inventory, catalog, *c.expected, c.expected->size, leaving));
    });
    if (all_ours) continue;
    return fmt::format("{} has these bytes to itself: taking the model out would lose it. That is 'mlxcache rm {} --from {}'",
                       stores::adapter_of(l.kind).title, printable(l.model), kind_name(l.kind));
  }
  return std::nullopt;
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const auto kinds = kinds_of(arguments.all("--from"));
  if (kinds.empty()) return fail(Code::invalid, "say where from: --from TOOL; see 'mlxcache unpublish --help'");
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  options.find_duplicates = false;
  const catalog::Inventory inventory = TRY(session.scan(options));
  const keep::Plan plan = TRY(keep::plan_remove(session.context(), inventory, session.home(), *arguments.one("MODEL"), kinds, false));
  if (const auto reason = why_not(inventory, *TRY(session.open_catalog()), plan, TRY(placed_by_us(session)))) return fail(Code::unsupported, *reason);
  return show_or_do(session, arguments, inventory, plan, "mlxcache.unpublish/1", "Nothing was taken out.");
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, true, false, "the model's name in that tool, as 'mlxcache ls' prints it"}};
constexpr Option kOptions[] = {
    {"--from", "TOOL", Kind::store, true, "take it out of this tool (may be given several times)"},
    kApplyOption,
    kNowOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache unpublish hf.co/Qwen/Qwen3-0.6B-GGUF:Q8_0 --from ollama", "show what would go"},
    {"mlxcache unpublish Qwen/Qwen3-0.6B-GGUF --from lm-studio --apply", "LM Studio no longer lists it; the other tools keep it"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or done"},
    {Exit::found, "it was refused (pinned, in use), with the reason"},
    {Exit::failed, "that tool has no such model, or has its bytes to itself: that is 'rm'"},
};

}  // namespace

const Command kUnpublish{
    "unpublish",
    "take a model out of one tool that others keep",
    Group::add,
    true,
    "The reverse of publish: the tool no longer lists the model, and no byte is lost. It takes out what publish or pull put there, and what shares its "
    "blocks with another tool; where a tool has the only bytes, it refuses and says that this is 'rm'.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
