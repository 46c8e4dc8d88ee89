#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/man_page.h"
#include "mlxcache/cli/session.h"

namespace mlxcache::cli {
namespace {

mlxbase::Result<Exit> run(Session& session, const Arguments& arguments) {
  const auto name = arguments.one("COMMAND");
  const std::string page = name ? man_page_of(*find_command(*name)) : man_page();
  mlxbase::json::Value document;
  document.set("page", page);
  session.emit("mlxcache.man/1", std::move(document));
  session.print(page);
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"COMMAND", Kind::command, false, false, "a command; mlxcache itself if left out"}};
constexpr Example kExamples[] = {
    {"mlxcache man | man -l -", "read the manual page"},
    {"mlxcache man dedup > mlxcache-dedup.1", "write one to a file"},
};

}  // namespace

const Command kMan{
    "man",
    "print a manual page",
    Group::more,
    false,
    "Prints the manual page of mlxcache or of one of its commands, in roff.",
    kOperands,
    {},
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
