#include "mlxcache/cli/help.h"

#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/session.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;

mlxbase::Result<Exit> run(Session& session, const Arguments& arguments) {
  const auto name = arguments.one("COMMAND");
  json::Value list{json::Array{}};
  for (const Command& c : commands()) {
    if (name && c.name != *name) continue;
    json::Value item;
    item.set("name", c.name);
    item.set("summary", c.summary);
    item.set("usage", usage_of(c));
    json::Value options{json::Array{}};
    for (const Option& o : c.options) options.push(signature_of(o));
    item.set("options", std::move(options));
    list.push(std::move(item));
  }
  json::Value document;
  document.set("commands", std::move(list));
  session.emit("mlxcache.help/1", std::move(document));
  session.print(name ? help_of(*find_command(*name), session.columns(), session.style()) : general_help(session.columns(), session.style()));
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"COMMAND", Kind::command, false, false, "a command; the list of all if left out"}};
constexpr Example kExamples[] = {{"mlxcache help dedup", "the same as mlxcache dedup --help"}};

}  // namespace

const Command kHelp{
    "help",
    "list the commands, or explain one",
    Group::more,
    false,
    "Lists the commands, or explains one of them with examples and exit codes.",
    kOperands,
    {},
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
