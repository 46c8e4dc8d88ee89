#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"
#include "mlxcache/ledger/ledger.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using ledger::Line;
using mlxbase::format_bytes;
using mlxbase::Result;

constexpr std::size_t kModelsShown = 20;  // largest first; --verbose shows all

json::Value lines_json(const std::vector<Line>& lines) {
  json::Value list{json::Array{}};
  for (const Line& line : lines) {
    json::Value item{json::Object{}};
    item.set("name", mlxbase::to_utf8(line.name));
    if (!line.store.empty()) item.set("store", line.store);
    item.set("apparent_bytes", line.apparent_bytes);
    item.set("allocated_bytes", line.allocated_bytes);
    item.set("freed_if_deleted", line.freed_if_deleted);
    item.set("shared_with_others", line.shared_with_others);
    list.push(std::move(item));
  }
  return list;
}

void print_lines(Session& session, std::string title, std::vector<Line> lines, std::size_t limit, bool with_store) {
  if (lines.empty()) return;
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.allocated_bytes > b.allocated_bytes; });
  std::vector<Column> columns{{std::move(title), Align::left, true}};
  if (with_store) columns.push_back({"store", Align::left});
  for (const char* name : {"apparent", "on disk", "shared", "freed if deleted"}) columns.push_back({name, Align::right});
  Table table(std::move(columns));
  for (std::size_t i = 0; i < lines.size() && i < limit; ++i) {
    const Line& line = lines[i];
    std::vector<std::string> cells{session.show_path(line.name)};
    if (with_store) cells.push_back(line.store);
    for (const std::uint64_t v : {line.apparent_bytes, line.allocated_bytes, line.shared_with_others, line.freed_if_deleted}) cells.push_back(format_bytes(v));
    table.row(std::move(cells));
  }
  session.print(table.render(session.columns(), session.style()));
  if (lines.size() > limit) session.say(session.style().dim(fmt::format("and {} more (--verbose lists them)", lines.size() - limit)));
  session.say("");
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const catalog::Inventory inventory = TRY(session.scan(scan_options(arguments)));
  const ledger::Ledger ledger = ledger::make_ledger(session.fs(), inventory);
  json::Value document{json::Object{}};
  document.set("tools", lines_json(ledger.tools));
  document.set("models", lines_json(ledger.models));
  document.set("volumes", lines_json(ledger.volumes));
  document.set("allocated_bytes", ledger.allocated_bytes);
  document.set("exact", ledger.exact);
  json::Value notes{json::Array{}};
  for (const std::string& note : ledger.notes) notes.push(mlxbase::to_utf8(note));
  document.set("notes", std::move(notes));
  document.set("problems", problems_json(inventory));
  session.emit("mlxcache.du/1", std::move(document));
  if (session.preferences().json) return Exit::ok;
  if (inventory.listings.empty()) {
    session.say("No model store was found on this machine.");
    return Exit::ok;
  }
  print_lines(session, "Tool", ledger.tools, ledger.tools.size(), true);
  print_lines(session, "Model", ledger.models, session.preferences().verbose ? ledger.models.size() : kModelsShown, true);
  print_lines(session, "Volume", ledger.volumes, ledger.volumes.size(), false);
  session.say(fmt::format("The stores hold {} in all, each block counted once.", format_bytes(ledger.allocated_bytes)));
  for (const std::string& note : ledger.notes) session.note("note: " + mlxbase::printable(note));
  warn_of_problems(session, inventory);
  return Exit::ok;
}

constexpr Option kOptions[] = {kRootOption, kStoreOption};
constexpr Example kExamples[] = {
    {"mlxcache du", "what each tool, model and volume holds"},
    {"mlxcache du --json | jq '.models | max_by(.freed_if_deleted)'", "the model whose deletion would free most"},
};

}  // namespace

const Command kDu{
    "du",
    "the truthful ledger: what deleting each tool's models would free",
    Group::look,
    true,
    "Counts every disk block once, whatever number of names, hard links or clones refer to it. \"freed if deleted\" is what would really "
    "come back if that tool's folder or that model went away: blocks that nobody else refers to. It is often far less than what "
    "adding up file sizes gives.",
    {},
    kOptions,
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
