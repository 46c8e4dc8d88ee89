#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Result;

constexpr std::size_t kShown = 10;  // restored paths; --verbose shows all

Result<Exit> run(Session& session, const Arguments& arguments) {
  const dedup::Undone undone = TRY(dedup::undo(session.machinery(), arguments.one("TXN").value_or("")));
  session.progress_done();
  session.remember_moves(undone.moved);
  json::Value document{json::Object{}};
  json::Value restored{json::Array{}};
  for (const std::string& p : undone.restored) restored.push(mlxbase::to_utf8(p));
  document.set("transaction", undone.transaction);
  document.set("restored", std::move(restored));
  document.set("refused", skipped_json(undone.refused));
  document.set("notes", skipped_json(undone.notes));
  session.emit("mlxcache.undo/1", std::move(document));

  const std::size_t shown = session.preferences().verbose ? undone.restored.size() : std::min(undone.restored.size(), kShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const std::string line = "  restored  " + session.show_path(undone.restored[i]);
    session.say(session.columns() > 0 ? elide_middle(line, static_cast<std::size_t>(session.columns())) : line);
  }
  if (shown < undone.restored.size()) session.say(session.style().dim(fmt::format("  and {} more", undone.restored.size() - shown)));
  session.print(skipped_text(session, undone.refused, "Refused"));
  session.print(skipped_text(session, undone.notes, "Restored, except for"));
  session.say(fmt::format("{} {} as before{}.", session.style().green("Done:"), count(undone.restored.size(), "file is", "files are"),
                          undone.refused.empty() ? "" : fmt::format("; {} refused", count(undone.refused.size(), "file was", "files were"))));
  if (session.cancelled()) return Exit::cancelled;
  if (undone.refused.empty()) return Exit::ok;
  return undone.restored.empty() ? Exit::found : Exit::partly;
}

constexpr Operand kOperands[] = {{"TXN", Kind::transaction, false, false, "a transaction, as 'mlxcache history' lists it; the latest if left out"}};
constexpr Example kExamples[] = {
    {"mlxcache undo", "take the latest dedup back"},
    {"mlxcache undo 20261123T042027-3fa9", "take this one back"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "everything is as it was"},
    {Exit::found, "every file was refused, each with its reason"},
    {Exit::partly, "some files were refused: their tool has changed them since. It may be run again"},
    {Exit::failed, "there is nothing to undo, or no such transaction"},
    {Exit::out_of_space, "the disk has no room for the separate copies; what was restored until then is complete"},
};

}  // namespace

const Command kUndo{
    "undo",
    "take a dedup back: every file its own bytes again",
    Group::share,
    false,
    "Gives every file of a transaction its own inode, bytes, permissions, times, owner and attributes again, exactly as they were. "
    "A file that its tool has replaced, deleted or written to since is refused and left as it is: the newer state wins. The disk needs "
    "room for the copies that are separate again.",
    kOperands,
    {},
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
