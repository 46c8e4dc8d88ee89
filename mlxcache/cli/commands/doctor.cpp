#include "mlxcache/doctor/doctor.h"

#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/help.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using doctor::Report;
using doctor::Weight;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;

json::Value maybe(const std::optional<bool>& value) { return value ? json::Value(*value) : json::Value(); }

json::Value volumes_json(const Report& report) {
  json::Value list{json::Array{}};
  for (const doctor::Volume& v : report.volumes) {
    json::Value item{json::Object{}};
    set_path(item, "mount_point", v.facts.mount_point);
    item.set("type", mlxbase::to_utf8(v.facts.type));
    item.set("total_bytes", v.facts.total_bytes);
    item.set("free_bytes", v.facts.free_bytes);
    item.set("block_bytes", v.facts.block_bytes);
    item.set("read_only", v.facts.read_only);
    item.set("network", v.facts.network);
    item.set("case_sensitive", maybe(v.facts.case_sensitive));
    json::Value roots{json::Array{}};
    for (const std::string& r : v.roots) roots.push(mlxbase::to_utf8(r));
    item.set("roots", std::move(roots));
    json::Value ways{json::Array{}};
    for (const doctor::Way& w : v.ways) {
      json::Value way{json::Object{}};
      way.set("method", w.name);
      way.set("possible", maybe(w.possible));
      if (!w.why.empty()) way.set("why", mlxbase::to_utf8(w.why));
      ways.push(std::move(way));
    }
    item.set("methods", std::move(ways));
    list.push(std::move(item));
  }
  return list;
}

json::Value report_json(Session& session, const Report& report) {
  json::Value document{json::Object{}};
  document.set("version", kVersion);
  document.set("platform", mlxbase::to_utf8(report.platform));
  set_path(document, "home", session.home());
  document.set("volumes", volumes_json(report));
  json::Value list{json::Array{}};
  for (const doctor::Store& s : report.stores) {
    json::Value item{json::Object{}};
    item.set("kind", kind_name(s.root.kind));
    set_path(item, "root", s.root.path);
    item.set("origin", mlxbase::to_utf8(s.root.origin));
    item.set("files", s.files);
    item.set("foreign_owned", s.foreign_owned);
    item.set("caution", s.caution);
    json::Value problems{json::Array{}};
    for (const catalog::Problem& p : s.problems) problems.push(problem_json(p.path, p.error.message));
    item.set("problems", std::move(problems));
    list.push(std::move(item));
  }
  document.set("stores", std::move(list));
  json::Value clients{json::Array{}};
  for (const doctor::Client& c : report.clients) {
    json::Value item{json::Object{}};
    item.set("program", c.program);
    item.set("version", mlxbase::to_utf8(c.version));
    set_path(item, "path", c.path);
    item.set("hazard", c.hazard.empty() ? json::Value() : json::Value(c.hazard));
    clients.push(std::move(item));
  }
  document.set("clients", std::move(clients));
  json::Value servers{json::Array{}};
  for (const doctor::Server& s : report.servers.running) {
    json::Value item{json::Object{}};
    item.set("program", s.program);
    item.set("pid", s.pid);
    servers.push(std::move(item));
  }
  document.set("servers", report.servers.known ? std::move(servers) : json::Value());
  json::Value findings{json::Array{}};
  for (const doctor::Finding& f : report.findings) {
    json::Value item{json::Object{}};
    item.set("weight", f.weight == Weight::hazard ? "hazard" : "note");
    item.set("what", mlxbase::to_utf8(f.what));
    item.set("advice", mlxbase::to_utf8(f.advice));
    findings.push(std::move(item));
  }
  document.set("findings", std::move(findings));
  return document;
}

std::size_t width_of(Session& session) { return session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0; }

void print_volumes(Session& session, const Report& report) {
  const Style& style = session.style();
  session.say("\n" + style.bold("Volumes"));
  if (report.volumes.empty()) session.say("  no store, so no volume to examine");
  for (const doctor::Volume& v : report.volumes) {
    const std::string mount = v.facts.mount_point.empty() ? "(mount point not known)" : session.show_path(v.facts.mount_point);
    session.say(fmt::format("  {}  {}, {} free of {}{}", style.bold(mount), printable(v.facts.type), format_bytes(v.facts.free_bytes),
                            format_bytes(v.facts.total_bytes), v.facts.read_only ? ", read-only" : ""));
    for (const doctor::Way& w : v.ways) {
      const std::string word = w.possible ? (*w.possible ? style.green("yes") : style.yellow("no ")) : style.yellow("?  ");
      std::string text = wrap_text(printable(w.why), width_of(session), std::string(19, ' '));
      if (!text.empty()) text.pop_back();
      session.say(fmt::format("    {:<9} {}{}", w.name, word, text.empty() ? "" : "  " + text.substr(19)));
    }
  }
}

void print_stores(Session& session, const Report& report) {
  const Style& style = session.style();
  session.say("\n" + style.bold("Stores"));
  if (report.stores.empty()) session.say("  none found");
  for (const doctor::Store& s : report.stores) {
    const std::string line = fmt::format("  {}  {}", stores::adapter_of(s.root.kind).title, style.dim(session.show_path(s.root.path)));
    session.say(line);
    if (!s.caution.empty()) session.print(style.dim(wrap_text(s.caution, width_of(session), "    ")));
    std::size_t shown = 0;
    for (const catalog::Problem& p : s.problems) {
      if (shown++ == 5 && !session.preferences().verbose) {
        session.say(fmt::format("    and {} more (--verbose lists them)", s.problems.size() - 5));
        break;
      }
      session.print(style.yellow(wrap_text(fmt::format("{}: {}", session.show_path(p.path), printable(p.error.message)), width_of(session), "    ")));
    }
  }
}

void print_clients(Session& session, const Report& report) {
  session.say("\n" + session.style().bold("Programs that use these stores"));
  if (report.clients.empty()) session.say("  none found in the usual places");
  Table table({{""}, {""}, {"", Align::left, true}});
  for (const doctor::Client& c : report.clients) {
    table.row({"  " + printable(c.program), c.version.empty() ? "?" : printable(c.version), session.show_path(c.path)});
  }
  session.print(table.render(session.columns(), session.style()));
  if (!report.servers.known) {
    session.say("  Running servers: not known on this system.");
  } else {
    for (const doctor::Server& s : report.servers.running) session.say(fmt::format("  {} is running (process {})", s.program, s.pid));
  }
}

void print_findings(Session& session, const Report& report) {
  const Style& style = session.style();
  session.say("");
  if (report.findings.empty()) {
    session.say(style.green("Nothing stands in the way."));
    return;
  }
  session.say(style.bold("To know"));
  for (const doctor::Finding& f : report.findings) {
    std::string text = printable(f.what) + ".";
    if (!f.advice.empty()) text += fmt::format(" {}.", printable(f.advice));
    std::string wrapped = wrap_text(text, width_of(session), "    ");
    wrapped.erase(0, 4);
    session.print(fmt::format("  {} {}", f.weight == Weight::hazard ? style.yellow("!") : style.dim("·"), wrapped));
  }
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  options.find_duplicates = false;
  const catalog::Inventory inventory = TRY(session.scan(options));
  const Report report = doctor::examine(session.context(), inventory);
  session.progress_done();
  session.emit("mlxcache.doctor/1", report_json(session, report));
  session.say(fmt::format("mlxcache {} on {}", kVersion, printable(report.platform)));
  session.say(fmt::format("own state in {}", session.show_path(session.home())));
  print_volumes(session, report);
  print_stores(session, report);
  print_clients(session, report);
  print_findings(session, report);
  for (const doctor::Finding& f : report.findings) {
    if (f.weight == Weight::hazard) return Exit::found;
  }
  return Exit::ok;
}

constexpr Option kOptions[] = {kRootOption, kStoreOption};
constexpr Example kExamples[] = {
    {"mlxcache doctor", "what stands in the way of sharing here, and what could be dangerous"},
    {"mlxcache doctor --json", "everything, for a bug report"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "nothing stands in the way"},
    {Exit::found, "there is a hazard: a store that could not be read, or a program whose version makes a way of sharing unsafe"},
};

}  // namespace

const Command kDoctor{
    "doctor",
    "explain what sharing is possible here, why not, and what to beware of",
    Group::check,
    true,
    "Goes through volumes (which ways of sharing they can, found by trying with small hidden files inside a store's folder, which are "
    "removed again), stores (what could not be read, what each tool makes of links), and programs on this machine whose version makes a "
    "way of sharing unsafe. Programs are looked for where installers put them, never by walking the disk.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
