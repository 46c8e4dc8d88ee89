#include "mlxcache/cli/undone.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;

constexpr std::size_t kShown = 10;  // restored paths; --verbose shows all

}  // namespace

Exit report_undone(Session& session, const dedup::Undone& undone, std::string_view schema) {
  session.progress_done();
  session.remember_moves(undone.moved);
  json::Value document{json::Object{}};
  json::Value restored{json::Array{}};
  for (const std::string& p : undone.restored) restored.push(mlxbase::to_utf8(p));
  document.set("transaction", undone.transaction);
  document.set("restored", std::move(restored));
  document.set("refused", skipped_json(undone.refused));
  document.set("notes", skipped_json(undone.notes));
  session.emit(schema, std::move(document));

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

}  // namespace mlxcache::cli
