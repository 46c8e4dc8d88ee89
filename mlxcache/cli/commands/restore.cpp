#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"
#include "mlxcache/cli/undone.h"
#include "mlxcache/journal/journal.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;

/// One removal whose things are still in the trash.
struct Removal {
  std::string transaction;
  std::string command;
  std::int64_t removed_at_ns = 0;
  std::uint64_t names = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> paths;
};

/// Newest first.
Result<std::vector<Removal>> removals(Session& session) {
  std::map<std::string, Removal> by_id;
  for (const change::Trashed& t : TRY(change::trash(change_machinery(session)))) {
    Removal& r = by_id[t.transaction];
    r.transaction = t.transaction;
    r.removed_at_ns = std::max(r.removed_at_ns, t.removed_at_ns);
    ++r.names;
    r.bytes += t.bytes;
    r.paths.push_back(t.path);
  }
  std::vector<std::string> problems;
  for (const journal::Summary& s : TRY(journal::list(session.fs(), session.home(), problems))) {
    if (const auto at = by_id.find(s.id); at != by_id.end()) at->second.command = s.command;
  }
  std::vector<Removal> out;
  for (auto& [id, r] : by_id) out.push_back(std::move(r));
  // Not by their ids, which tell seconds apart only.
  std::ranges::sort(out, [](const Removal& a, const Removal& b) { return std::pair(b.removed_at_ns, b.transaction) < std::pair(a.removed_at_ns, a.transaction); });
  return out;
}

/// Whether the removal took this model out: it was named on the command line, or its parts are in the names that went.
bool is_of(const Removal& removal, const std::string& model) {
  std::istringstream words(removal.command);
  for (std::string word; words >> word;) {
    if (word == model) return true;
  }
  std::vector<std::string> forms{model};
  std::string as_path = model;
  std::replace(as_path.begin(), as_path.end(), ':', '/');
  forms.push_back(as_path);                      // Ollama: manifests/…/llama3.2/3b
  std::string as_hub = "models--" + model;
  for (auto at = as_hub.find('/'); at != std::string::npos; at = as_hub.find('/')) as_hub.replace(at, 1, "--");
  forms.push_back(as_hub);                       // models--org--name
  return std::any_of(removal.paths.begin(), removal.paths.end(), [&](const std::string& p) {
    return std::any_of(forms.begin(), forms.end(), [&](const std::string& f) { return (p + "/").find("/" + f + "/") != std::string::npos; });
  });
}

Result<Exit> list(Session& session) {
  const auto all = TRY(removals(session));
  json::Value items{json::Array{}};
  Table table({{"Transaction"}, {"when"}, {"names", Align::right}, {"frees", Align::right}, {"command", Align::left, true}});
  for (const Removal& r : all) {
    json::Value item{json::Object{}};
    item.set("transaction", r.transaction);
    item.set("removed_at", iso_time(r.removed_at_ns));
    item.set("names", r.names);
    item.set("bytes", r.bytes);
    item.set("command", mlxbase::to_utf8(r.command));
    items.push(std::move(item));
    table.row({printable(r.transaction), local_time(r.removed_at_ns), mlxbase::format_exact(r.names), mlxbase::format_bytes(r.bytes), printable(r.command)});
  }
  json::Value document{json::Object{}};
  document.set("trash", std::move(items));
  session.emit("mlxcache.restore/1", std::move(document));
  if (all.empty()) {
    session.say("The trash is empty.");
  } else {
    session.print(table.render(session.columns(), session.style()));
  }
  return Exit::ok;
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  if (arguments.flag("--list")) return list(session);
  const auto all = TRY(removals(session));
  const std::string what = arguments.one("WHAT").value_or("");
  const auto at = std::find_if(all.begin(), all.end(), [&](const Removal& r) { return what.empty() || r.transaction == what || is_of(r, what); });
  if (at == all.end()) {
    return fail(Code::not_found, all.empty() ? std::string("the trash is empty: there is nothing to restore")
                                             : fmt::format("nothing of '{}' is in the trash; 'mlxcache restore --list' shows what is", printable(what)));
  }
  const auto undone = TRY(dedup::undo(session.machinery(), at->transaction));
  return report_undone(session, undone, "mlxcache.restore/1");
}

constexpr Operand kOperands[] = {{"WHAT", Kind::text, false, false, "a transaction, or a model's name; the latest removal if left out"}};
constexpr Option kOptions[] = {{"--list", "", Kind::text, false, "only show what is in the trash"}};
constexpr Example kExamples[] = {
    {"mlxcache restore", "the latest removal comes back"},
    {"mlxcache restore llama3.2:3b", "the latest removal of this model"},
    {"mlxcache restore --list", "what is in the trash"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "everything is where it was"},
    {Exit::found, "every file was refused, each with its reason"},
    {Exit::partly, "some files were refused: something else has their place by now"},
    {Exit::failed, "there is no such thing in the trash"},
};

}  // namespace

const Command kRestore{
    "restore",
    "bring back what rm, prune or gc removed",
    Group::remove,
    true,
    "Takes a removal back out of the trash: every name, link and folder as it was, with the same inode. What is in the way by now is left, and the reason is "
    "told. It is 'undo' for removals; 'mlxcache gc' empties the trash of what lies there for longer than 14 days.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
