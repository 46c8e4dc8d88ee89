#include "mlxcache/verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/online.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/repair/upstream.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;
using verify::Checked;
using repair::Standing;
using verify::Verdict;

json::Value checked_json(const Checked& c) {
  json::Value item{json::Object{}};
  set_path(item, "path", c.path);
  item.set("store", c.store);
  item.set("model", mlxbase::to_utf8(c.model));
  item.set("verdict", verify::to_string(c.verdict));
  if (c.claimed) item.set("claimed", c.claimed->to_string());
  if (c.measured) item.set("measured", c.measured->to_string());
  if (!c.reason.empty()) item.set("reason", mlxbase::to_utf8(c.reason));
  if (!c.twin.empty()) set_path(item, "twin", c.twin);
  json::Value damage{json::Array{}};
  for (const verify::Range& r : c.damage) {
    json::Value range{json::Object{}};
    range.set("offset", r.offset);
    range.set("length", r.length);
    damage.push(std::move(range));
  }
  item.set("damage", std::move(damage));
  item.set("from_catalog", c.from_catalog);
  return item;
}

void print_checked(Session& session, const Checked& c) {
  const Style& style = session.style();
  const std::string word(verify::to_string(c.verdict));
  const bool bad = c.verdict == Verdict::damaged || c.verdict == Verdict::malformed || c.verdict == Verdict::unreadable;
  const std::string padded = fmt::format("{:<10}", word);
  std::string shown = session.show_path(c.path);
  // The path of a damaged file is wanted whole, however long the line.
  if (!bad && session.columns() > 24) shown = elide_middle(shown, static_cast<std::size_t>(session.columns()) - 12);
  session.say(fmt::format("{}  {}", bad ? style.red(padded) : c.verdict == Verdict::intact ? style.green(padded) : style.dim(padded), shown));
  if (!bad) return;
  if (!c.model.empty()) session.say(fmt::format("            model {} in {}", printable(c.model), c.store));
  if (!c.reason.empty()) session.say("            " + printable(c.reason));
  if (c.claimed && c.measured) {
    session.say(fmt::format("            should be {}", c.claimed->to_string()));
    session.say(fmt::format("            is        {}", c.measured->to_string()));
  }
  if (!c.twin.empty()) session.say(fmt::format("            an intact copy: {}", session.show_path(c.twin)));
  if (c.by_pieces) session.say("            no intact copy is here; these pieces are not what they were:");
  for (std::size_t i = 0; i < c.damage.size() && i < 8; ++i) {
    session.say(fmt::format("            differs at bytes {} to {} ({})", mlxbase::format_exact(c.damage[i].offset),
                            mlxbase::format_exact(c.damage[i].offset + c.damage[i].length), format_bytes(c.damage[i].length)));
  }
  if (c.damage.size() > 8) session.say(fmt::format("            and in {} more places", c.damage.size() - 8));
}

json::Value upstream_json(const repair::UpstreamReport& report) {
  json::Value models{json::Array{}};
  for (const repair::ComparedModel& m : report.models) {
    json::Value item{json::Object{}};
    item.set("model", mlxbase::to_utf8(m.model));
    item.set("store", m.store);
    const auto text = [](const std::string& t) { return t.empty() ? json::Value(nullptr) : json::Value(mlxbase::to_utf8(t)); };
    item.set("id", text(m.id));
    item.set("commit", text(m.commit));
    item.set("head", text(m.head));
    item.set("moved", m.moved);
    item.set("problem", text(m.problem));
    models.push(std::move(item));
  }
  json::Value files{json::Array{}};
  json::Value sums{json::Object{}};
  std::map<repair::Standing, std::uint64_t> tally;
  for (const repair::ComparedFile& f : report.files) {
    ++tally[f.standing];
    json::Value item{json::Object{}};
    set_path(item, "path", f.path);
    item.set("store", f.store);
    item.set("model", mlxbase::to_utf8(f.model));
    item.set("remote_path", mlxbase::to_utf8(f.remote_path));
    item.set("state", repair::to_string(f.standing));
    if (f.expected) item.set("expected", f.expected->to_string());
    if (f.measured) item.set("measured", f.measured->to_string());
    if (!f.reason.empty()) item.set("reason", mlxbase::to_utf8(f.reason));
    files.push(std::move(item));
  }
  for (const Standing s : {Standing::ok, Standing::damaged, Standing::changed, Standing::gone, Standing::unknown}) sums.set(repair::to_string(s), tally[s]);
  json::Value out{json::Object{}};
  out.set("models", std::move(models));
  out.set("files", std::move(files));
  out.set("totals", std::move(sums));
  return out;
}

void print_upstream(Session& session, const repair::UpstreamReport& report) {
  const Style& style = session.style();
  std::map<Standing, std::uint64_t> tally;
  for (const repair::ComparedModel& m : report.models) {
    if (m.moved) {
      session.say_wrapped(fmt::format("{}: {} means commit {} now; here is {}", printable(m.model), printable(m.id), m.head.substr(0, 12), m.commit.substr(0, 12)));
    } else if (!m.problem.empty()) {
      session.say_wrapped(fmt::format("{} ({}): not compared: {}", printable(m.model), m.store, printable(m.problem)));
    }
  }
  for (const repair::ComparedFile& f : report.files) {
    ++tally[f.standing];
    if (!session.preferences().verbose && (f.standing == Standing::ok || f.standing == Standing::unknown)) continue;
    const std::string word = fmt::format("{:<16}", repair::to_string(f.standing));
    session.say(fmt::format("{}  {}", f.standing == Standing::ok ? style.green(word) : f.standing == Standing::damaged ? style.red(word) : style.dim(word), session.show_path(f.path)));
    if (!f.reason.empty()) session.say("                  " + printable(f.reason));
  }
  session.say_wrapped(fmt::format("Against upstream: {} ok, {} damaged, {} changed there, {} gone there, {} unknown. Nothing was downloaded but lists of files.",
                                  tally[Standing::ok], tally[Standing::damaged], tally[Standing::changed], tally[Standing::gone], tally[Standing::unknown]));
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  const catalog::Inventory inventory = TRY(session.scan(options));
  catalog::Catalog* catalog = TRY(session.open_catalog());
  const verify::Options wanted{.models = arguments.all("MODEL"), .deep = arguments.flag("--deep")};
  std::optional<repair::UpstreamReport> compared;
  if (arguments.flag("--upstream")) {
    const Online online = TRY(go_online(session));
    repair::Upstream upstream(*online.client, online.endpoints, session.context().cancel, session.world().clock);
    compared = TRY(repair::compare_upstream(session.context(), *catalog, inventory, wanted, upstream, session.world().clock, session.progress()));
  }
  const verify::Report report =
      compared ? compared->verified : TRY(verify::verify(session.context(), *catalog, inventory, wanted, session.world().clock, session.progress()));
  session.progress_done();

  std::map<Verdict, std::uint64_t> tally;
  json::Value files{json::Array{}};
  for (const Checked& c : report.files) {
    ++tally[c.verdict];
    if (session.preferences().json) files.push(checked_json(c));
  }
  const std::uint64_t bad = tally[Verdict::damaged] + tally[Verdict::malformed];
  json::Value document{json::Object{}};
  document.set("files", std::move(files));
  json::Value sums{json::Object{}};
  for (const Verdict v : {Verdict::intact, Verdict::damaged, Verdict::malformed, Verdict::unclaimed, Verdict::unreadable}) {
    sums.set(verify::to_string(v), tally[v]);
  }
  document.set("totals", std::move(sums));
  document.set("bytes_read", report.bytes_read);
  document.set("problems", problems_json(inventory));
  if (compared) document.set("upstream", upstream_json(*compared));
  session.emit("mlxcache.verify/1", std::move(document));

  for (const Checked& c : report.files) {
    if (session.preferences().verbose || c.verdict == Verdict::damaged || c.verdict == Verdict::malformed || c.verdict == Verdict::unreadable) {
      print_checked(session, c);
    }
  }
  session.say_wrapped(fmt::format("{} intact, {} damaged, {} malformed, {} unreadable, {} without a digest to compare; {} read.", tally[Verdict::intact],
                          tally[Verdict::damaged], tally[Verdict::malformed], tally[Verdict::unreadable], tally[Verdict::unclaimed],
                          format_bytes(report.bytes_read)));
  if (tally[Verdict::unclaimed] > 0 && !wanted.deep) {
    session.note("--deep checks the structure of safetensors and GGUF files for which no store gives a digest.");
  }
  if (bad > 0) session.note("'mlxcache repair MODEL' mends a file: from an intact copy on this machine, else from where it came from.");
  if (compared) print_upstream(session, *compared);
  warn_of_problems(session, inventory);
  if (bad > 0) return Exit::found;
  if (compared && std::any_of(compared->files.begin(), compared->files.end(), [](const auto& f) { return f.standing == Standing::damaged; })) return Exit::found;
  return tally[Verdict::unreadable] > 0 ? Exit::partly : Exit::ok;
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, false, true, "only these models; all if left out"}};
constexpr Option kOptions[] = {
    {"--deep", "", Kind::text, false, "read everything again, trusting no earlier measurement, and check the containers' structure"},
    {"--upstream", "", Kind::text, false, "also hold it against what the hub or registry has now; asks for lists of files, downloads none"},
    kStoreOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache verify", "compare every file for which a store gives a digest"},
    {"mlxcache verify llama3.2:3b --deep", "one model, all of it, read again"},
    {"mlxcache verify org/model --upstream", "what has changed there since, and what here is not what it should be"},
    {"mlxcache verify --json | jq '.files[] | select(.verdict == \"damaged\")'", "for a script"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "nothing is damaged"},
    {Exit::found, "a file is damaged or malformed"},
    {Exit::partly, "nothing is damaged as far as could be read, but some files could not"},
    {Exit::cancelled, "cancelled; what was measured is remembered and a next run goes on there"},
};

}  // namespace

const Command kVerify{
    "verify",
    "compare the bytes with the digests that the stores give",
    Group::check,
    true,
    "Reads files whose store knows a digest (Hugging Face, Ollama, Docker, RamaLama, LocalAI, torch hub, whisper, InvokeAI and others) and "
    "compares. A run that was interrupted goes on where it stopped. When a file is damaged and an intact copy of it is on this machine, "
    "the places where they differ are listed; without one, the damaged pieces are, if mlxcache has seen the file whole before.\n\n"
    "With --upstream each file is also compared with what the hub or registry that it came from says: with the commit that is here, and with what the name means "
    "now. A file is ok, damaged, changed_upstream, gone_upstream or unknown (its store does not tell where it came from, or nobody answered).",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
