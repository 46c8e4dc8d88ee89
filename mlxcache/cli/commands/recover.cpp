#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Result;

json::Value paths_json(const std::vector<std::string>& paths) {
  json::Value list{json::Array{}};
  for (const std::string& p : paths) list.push(mlxbase::to_utf8(p));
  return list;
}

Result<Exit> run(Session& session, const Arguments&) {
  const dedup::Recovered recovered = TRY(dedup::recover(session.machinery()));
  session.progress_done();
  json::Value document{json::Object{}};
  document.set("transactions", paths_json(recovered.transactions));
  document.set("rolled_back", paths_json(recovered.rolled_back));
  document.set("finished", paths_json(recovered.finished));
  document.set("left", skipped_json(recovered.left));
  session.emit("mlxcache.recover/1", std::move(document));
  if (recovered.transactions.empty()) {
    session.say("Nothing to recover: no change was cut short.");
    return Exit::ok;
  }
  for (const std::string& id : recovered.transactions) session.say(fmt::format("Settled {}", mlxbase::printable(id)));
  for (const std::string& p : recovered.rolled_back) session.say("  as before        " + session.show_path(p));
  for (const std::string& p : recovered.finished) session.say("  found complete   " + session.show_path(p));
  session.print(skipped_text(session, recovered.left, "Not settled yet"));
  return recovered.left.empty() ? Exit::ok : Exit::partly;
}

constexpr Example kExamples[] = {{"mlxcache recover", "settle what a crash or a power cut interrupted"}};
constexpr ExitNote kExits[] = {
    {Exit::ok, "everything is settled, or there was nothing to settle"},
    {Exit::partly, "some files could not be settled yet (a volume is not mounted); run it again when they can be reached"},
    {Exit::busy, "another mlxcache is changing the stores right now"},
};

}  // namespace

const Command kRecover{
    "recover",
    "settle a change that a crash or power cut interrupted",
    Group::share,
    false,
    "Finishes or rolls back a transaction that was cut short, so that every path has its original bytes again, shared or separate. "
    "Every command that looks at the stores does this by itself first; this one does nothing else.",
    {},
    {},
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
