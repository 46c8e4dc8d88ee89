#include "mlxcache/cli/plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace path = mlxbase::path;
using dedup::Action;
using dedup::Method;
using mlxbase::format_bytes;
using mlxbase::format_exact;
using mlxbase::printable;

constexpr std::size_t kActionsShown = 12;  // of one store; --verbose shows all. A plan of a thousand lines is read by nobody

std::string_view means(Method method) {
  switch (method) {
    case Method::dedupe: return "reflink in place: the kernel compares the bytes and shares the blocks; the file itself stays";
    case Method::clone: return "reflink: a clone takes the name; permissions, times and owner are kept";
    case Method::hard_link: return "hard link: both names become one file";
    case Method::symlink: return "symlink: the name points to the other copy";
  }
  return {};
}

std::string within(const Session& session, const catalog::Root& root, const std::string& p) {
  if (path::is_within(root.path, p) && p.size() > root.path.size()) return printable(path::relative_to(root.path, p));
  return session.show_path(p);
}

}  // namespace

json::Value actions_json(std::span<const Action> actions) {
  json::Value list{json::Array{}};
  for (const Action& a : actions) {
    json::Value item{json::Object{}};
    item.set("method", dedup::to_string(a.method));
    item.set("in_place", a.method == Method::dedupe);
    set_path(item, "source", a.source);
    set_path(item, "target", a.target);
    item.set("source_store", kind_name(a.source_root.kind));
    item.set("target_store", kind_name(a.target_root.kind));
    item.set("size", a.size);
    item.set("bytes", a.bytes);
    if (a.digest) item.set("digest", a.digest->to_string());
    json::Value merges{json::Array{}};
    for (const std::string& m : a.merges) merges.push(mlxbase::to_utf8(m));
    item.set("merges", std::move(merges));
    list.push(std::move(item));
  }
  return list;
}

std::string plan_text(Session& session, const dedup::Plan& plan) {
  struct Section {
    const catalog::Root* root;
    Method method;
    std::uint64_t bytes = 0;
    std::vector<const Action*> actions;
  };
  std::map<std::pair<std::string, Method>, Section> by_key;
  for (const Action& a : plan.actions) {
    Section& section = by_key.try_emplace({a.target_root.path, a.method}, Section{&a.target_root, a.method, 0, {}}).first->second;
    section.bytes += a.bytes;
    section.actions.push_back(&a);
  }
  std::vector<Section> sections;
  for (auto& [key, section] : by_key) sections.push_back(std::move(section));
  std::stable_sort(sections.begin(), sections.end(), [](const Section& a, const Section& b) { return a.bytes > b.bytes; });

  const Style& style = session.style();
  const auto fit = [&](std::string text) {
    return session.columns() > 0 ? elide_middle(text, static_cast<std::size_t>(session.columns())) : text;
  };
  std::string out;
  for (Section& section : sections) {
    out += style.bold(fmt::format("{}: {}, frees {}", stores::adapter_of(section.root->kind).title, count(section.actions.size(), "file"),
                                  format_bytes(section.bytes))) + "\n";
    out += style.dim(fit("  " + session.show_path(section.root->path))) + "\n";
    out += wrap_text(std::string(means(section.method)), session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0, "  ");
    std::stable_sort(section.actions.begin(), section.actions.end(), [](const Action* a, const Action* b) { return a->bytes > b->bytes; });
    const std::size_t shown = session.preferences().verbose ? section.actions.size() : std::min(section.actions.size(), kActionsShown);
    for (std::size_t i = 0; i < shown; ++i) {
      const Action& a = *section.actions[i];
      out += fit(fmt::format("  {:>8}  {}", format_bytes(a.bytes), within(session, a.target_root, a.target))) + "\n";
      out += style.dim(fit(fmt::format("            = {}", session.show_path(a.source)))) + "\n";
    }
    if (shown < section.actions.size()) {
      out += style.dim(fmt::format("            and {} more (--verbose lists them)", section.actions.size() - shown)) + "\n";
    }
    out += "\n";
  }
  return out;
}

std::string merges_text(Session& session, const dedup::Plan& plan) {
  std::map<std::string, std::vector<const Action*>> by_change;
  std::size_t files = 0;
  for (const Action& a : plan.actions) {
    if (a.merges.empty()) continue;
    ++files;
    by_change[fmt::format("{}", fmt::join(a.merges, ", "))].push_back(&a);
  }
  if (files == 0) return {};
  const std::size_t width = static_cast<std::size_t>(session.world().err.columns());
  std::string out = wrap_text(
      fmt::format("{} would become a hard link, because the volume cannot share blocks or because hard links were asked for. Names "
                  "of one file have its permissions, times and owner in common. What that changes ('mlxcache undo' brings all of it back):",
                  files == 1 ? "1 file" : fmt::format("Each of {} files", files)),
      width, "");
  for (const auto& [change, actions] : by_change) {
    out += wrap_text(fmt::format("{}: {}", count(actions.size(), "file"), printable(change)), width, "  ");
    std::string line = "    " + session.show_path(actions.front()->target);
    if (width > 0) line = elide_middle(line, width);
    out += session.error_style().dim(line) + "\n";
    if (actions.size() > 1) out += session.error_style().dim(fmt::format("    and {} more", actions.size() - 1)) + "\n";
  }
  return out;
}

}  // namespace mlxcache::cli
