#include "mlxcache/cli/change_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::format_bytes;
using mlxbase::format_exact;
using mlxbase::printable;
using mlxbase::Result;

constexpr std::size_t kShown = 20;  // of a long list; --verbose shows all

std::string fitted(Session& session, const std::string& text) {
  return session.columns() > 0 ? elide_middle(text, static_cast<std::size_t>(session.columns())) : text;
}

json::Value strings(const std::vector<std::string>& texts) {
  json::Value list{json::Array{}};
  for (const std::string& t : texts) list.push(mlxbase::to_utf8(t));
  return list;
}

}  // namespace

change::Machinery change_machinery(Session& session) {
  return {.context = session.context(), .home = session.home(), .clock = session.world().clock, .progress = session.progress(),
          .cancel = &session.world().cancel, .command = session.command_line()};
}

json::Value left_alone_json(std::span<const change::Skipped> skipped) {
  json::Value list{json::Array{}};
  for (const change::Skipped& s : skipped) list.push(problem_json(s.path, s.reason));
  return list;
}

json::Value plan_json(const keep::Plan& plan) {
  json::Value leaving{json::Array{}};
  for (const keep::Leaving& l : plan.leaving) {
    json::Value item{json::Object{}};
    item.set("store", kind_name(l.kind));
    set_path(item, "root", l.store_root);
    item.set("what", mlxbase::to_utf8(l.model));
    item.set("apparent_bytes", l.apparent_bytes);
    item.set("bytes_freed", l.freed_bytes);
    item.set("last_used", iso_time(l.last_used_ns));
    item.set("kept", strings(l.kept));
    item.set("shared_with", strings(l.shared_with));
    leaving.push(std::move(item));
  }
  json::Value refused{json::Array{}};
  for (const keep::Refused& r : plan.refused) {
    json::Value item{json::Object{}};
    item.set("what", mlxbase::to_utf8(r.what));
    item.set("reason", mlxbase::to_utf8(r.reason));
    refused.push(std::move(item));
  }
  json::Value document{json::Object{}};
  document.set("applied", false);
  document.set("leaving", std::move(leaving));
  document.set("refused", std::move(refused));
  document.set("skipped", json::Value{json::Array{}});
  document.set("names", plan.changes.changes.size());
  document.set("bytes_freed", plan.freed_bytes);
  document.set("exact", plan.exact);
  return document;
}

json::Value done_json(const keep::Plan& plan, const change::Done& done, bool emptied) {
  json::Value document = plan_json(plan);
  document.set("applied", true);
  document.set("skipped", left_alone_json(done.skipped));
  document.set("names", done.done.size());
  document.set("bytes_freed", done.bytes_freed);
  document.set("transaction", done.transaction.empty() ? json::Value(nullptr) : json::Value(done.transaction));
  document.set("emptied", emptied);
  return document;
}

std::string leaving_text(Session& session, const keep::Plan& plan) {
  const Style& style = session.style();
  std::string out;
  const std::size_t width = session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0;
  const std::size_t shown = session.preferences().verbose ? plan.leaving.size() : std::min(plan.leaving.size(), kShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const keep::Leaving& l = plan.leaving[i];
    out += fitted(session, fmt::format("  {:>8}  {}  ({})", format_bytes(l.freed_bytes), printable(l.model), kind_name(l.kind))) + "\n";
    if (!l.shared_with.empty() && l.freed_bytes < l.apparent_bytes) {
      std::vector<std::string> names;
      for (const std::string& s : l.shared_with) names.push_back(printable(s));
      const std::uint64_t stays = l.apparent_bytes - std::min(l.freed_bytes, l.apparent_bytes);
      out += wrap_text(fmt::format("{} stay: {} {} the same blocks", format_bytes(stays), fmt::join(names, ", "), names.size() == 1 ? "has" : "have"), width,
                       "            ");
    }
    for (const std::string& k : l.kept) out += style.dim(fitted(session, "            stays: " + printable(k))) + "\n";
  }
  if (shown < plan.leaving.size()) out += style.dim(fmt::format("            and {} more (--verbose lists them)", plan.leaving.size() - shown)) + "\n";
  if (!plan.refused.empty()) {
    if (!plan.leaving.empty()) out += "\n";
    out += style.bold("Left alone") + "\n";
    std::map<std::string, std::vector<const keep::Refused*>> by_reason;
    for (const keep::Refused& r : plan.refused) by_reason[r.reason].push_back(&r);
    for (const auto& [reason, items] : by_reason) {
      out += wrap_text(printable(reason), width, "  ");
      const std::size_t most = session.preferences().verbose ? items.size() : std::min<std::size_t>(items.size(), 3);
      for (std::size_t i = 0; i < most; ++i) out += style.dim(fitted(session, "    " + session.show_path(items[i]->what))) + "\n";
      if (most < items.size()) out += style.dim(fmt::format("    and {} more (--verbose lists them)", items.size() - most)) + "\n";
    }
  }
  return out;
}

Result<Exit> show_or_do(Session& session, const Arguments& arguments, const catalog::Inventory& inventory, const keep::Plan& plan, std::string_view schema,
                        std::string_view nothing) {
  const bool wants_apply = arguments.flag("--apply");
  session.print(leaving_text(session, plan));
  if (!plan.leaving.empty() || !plan.refused.empty()) session.say("");
  if (plan.changes.changes.empty()) {
    session.emit(schema, wants_apply ? done_json(plan, {}, false) : plan_json(plan));
    session.say(nothing);
    warn_of_problems(session, inventory);
    return plan.refused.empty() ? Exit::ok : Exit::found;
  }
  session.say_wrapped(fmt::format("{} {} into the trash, frees {}{} ({} bytes).", session.style().bold("The plan:"), count(plan.changes.changes.size(), "name"),
                                  plan.exact ? "" : "at least ", format_bytes(plan.freed_bytes), format_exact(plan.freed_bytes)));
  warn_of_problems(session, inventory);
  if (!wants_apply) {
    session.emit(schema, plan_json(plan));
    session.note(fmt::format("\nNothing was changed. To do exactly this:\n  mlxcache {} --apply", printable(session.command_line())));
    return Exit::ok;
  }
  const auto machinery = change_machinery(session);
  const change::Done done = TRY(change::carry_out(machinery, plan.changes));
  session.progress_done();
  bool emptied = false;
  if (arguments.flag("--now") && !done.transaction.empty()) {
    TRY(change::empty_trash(machinery, done.transaction, INT64_MAX));
    session.progress_done();
    emptied = true;
  }
  session.emit(schema, done_json(plan, done, emptied));
  for (const change::Skipped& s : done.skipped) session.warn(fmt::format("left alone: {}: {}", session.show_path(s.path), printable(s.reason)));
  if (emptied) {
    session.say_wrapped(fmt::format("{} {} removed; {} freed ({} bytes).", session.style().green("Done:"), count(done.done.size(), "name"),
                                    format_bytes(done.bytes_freed), format_exact(done.bytes_freed)));
  } else {
    session.say_wrapped(fmt::format("{} {} in the trash; emptying it frees {} ({} bytes).", session.style().green("Done:"), count(done.done.size(), "name"),
                                    format_bytes(done.bytes_freed), format_exact(done.bytes_freed)));
    if (!done.transaction.empty()) {
      session.note(fmt::format("To take it back: mlxcache restore {}\nThe trash is emptied by 'mlxcache gc --apply' after 14 days.", done.transaction));
    }
  }
  if (session.cancelled()) return Exit::cancelled;
  return done.skipped.empty() && plan.refused.empty() ? Exit::ok : Exit::partly;
}

}  // namespace mlxcache::cli
