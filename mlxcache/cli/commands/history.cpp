#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"
#include "mlxcache/journal/journal.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Result;

Result<Exit> run(Session& session, const Arguments& arguments) {
  std::vector<std::string> problems;
  const auto transactions = TRY(journal::list(session.fs(), session.home(), problems));
  json::Value list{json::Array{}};
  Table table({{"Transaction"}, {"when"}, {"state"}, {"files", Align::right}, {"freed", Align::right}, {"command", Align::left, true}});
  for (const journal::Summary& t : transactions) {
    json::Value item{json::Object{}};
    item.set("transaction", t.id);
    item.set("started_at", iso_time(t.started_at_ns));
    item.set("command", mlxbase::to_utf8(t.command));
    item.set("state", journal::to_string(t.state));
    item.set("actions", t.actions);
    item.set("files", t.files);
    item.set("bytes_freed", t.bytes_freed);
    list.push(std::move(item));
    table.row({mlxbase::printable(t.id), local_time(t.started_at_ns), std::string(journal::to_string(t.state)), mlxbase::format_exact(t.files),
               mlxbase::format_bytes(t.bytes_freed), mlxbase::printable(t.command)});
  }
  json::Value document{json::Object{}};
  document.set("transactions", std::move(list));
  json::Value bad{json::Array{}};
  for (const std::string& p : problems) bad.push(mlxbase::to_utf8(p));
  document.set("problems", std::move(bad));
  session.emit("mlxcache.history/1", std::move(document));
  for (const std::string& p : problems) session.warn(mlxbase::printable(p));
  const Exit status = problems.empty() ? Exit::ok : Exit::found;
  if (session.preferences().json) return status;
  if (arguments.flag("--ids")) {
    for (const journal::Summary& t : transactions) session.say(mlxbase::printable(t.id));
    return status;
  }
  if (transactions.empty()) {
    session.say("Nothing was changed yet.");
  } else {
    session.print(table.render(session.columns(), session.style()));
    const bool any = std::any_of(transactions.begin(), transactions.end(), [](const journal::Summary& t) { return t.state != journal::State::undone; });
    if (any) session.note("To take one back: mlxcache undo TRANSACTION");
  }
  return status;
}

constexpr Option kOptions[] = {{"--ids", "", Kind::text, false, "only the transactions' names, newest first, one a line"}};
constexpr Example kExamples[] = {
    {"mlxcache history", "every change so far, newest first"},
    {"mlxcache history --json", "for a script"},
};
constexpr ExitNote kExits[] = {{Exit::found, "a journal file is damaged; the others are listed"}};

}  // namespace

const Command kHistory{
    "history",
    "list transactions: what was changed, when, and what became of it",
    Group::share,
    false,
    "Lists every change that mlxcache made on this machine, newest first. State: complete; undone; partly undone (some files were "
    "refused); cut (the process was killed: 'mlxcache recover' settles it); recovered (it was cut and has been settled).",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
