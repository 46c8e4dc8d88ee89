#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/models.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Result;

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  options.find_duplicates = false;
  const catalog::Inventory inventory = TRY(session.scan(options));
  const std::string filter = arguments.one("FILTER").value_or("");

  json::Value models{json::Array{}};
  std::vector<std::string> ids;
  Table table({{"Model", Align::left, true}, {"store", Align::left}, {"format", Align::left}, {"files", Align::right}, {"size", Align::right}, {"", Align::left}});
  std::size_t listed = 0;
  for (const catalog::Listing& listing : inventory.listings) {
    for (const catalog::Model& model : listing.models) {
      if (!filter.empty() && !contains_ignoring_case(model.id, filter)) continue;
      ++listed;
      const ModelSize size = size_of(listing, model);
      if (session.preferences().json) {
        json::Value item = model_json(listing, model, size);
        item.set("files", size.files);
        models.push(std::move(item));
        continue;
      }
      ids.push_back(mlxbase::printable(model.id));
      table.row({mlxbase::printable(model.id), std::string(kind_name(listing.root.kind)), mlxbase::printable(model.format),
                 mlxbase::format_exact(size.files), mlxbase::format_bytes(size.bytes), model.incomplete ? "incomplete" : ""});
    }
  }
  json::Value document{json::Object{}};
  document.set("models", std::move(models));
  document.set("problems", problems_json(inventory));
  session.emit("mlxcache.ls/1", std::move(document));
  if (session.preferences().json) return Exit::ok;

  if (arguments.flag("--ids")) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const std::string& id : ids) session.say(id);
    return Exit::ok;
  }
  if (listed == 0) {
    session.say(filter.empty() ? "No models were found." : fmt::format("No model has '{}' in its name.", mlxbase::printable(filter)));
  } else {
    session.print(table.render(session.columns(), session.style()));
  }
  warn_of_problems(session, inventory);
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"FILTER", Kind::text, false, false, "only models with this text in their name (upper and lower case alike)"}};
constexpr Option kOptions[] = {
    kRootOption,
    kStoreOption,
    {"--ids", "", Kind::text, false, "only the names, one a line"},
};
constexpr Example kExamples[] = {
    {"mlxcache ls", "all models of all stores"},
    {"mlxcache ls qwen", "models with 'qwen' in their name"},
    {"mlxcache ls --store ollama --json", "for a script"},
};

}  // namespace

const Command kLs{
    "ls",
    "list models of all stores",
    Group::look,
    true,
    "Lists models as their tools name them. A model is marked incomplete when a shard or split is missing or a download of it has "
    "not finished.",
    kOperands,
    kOptions,
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
