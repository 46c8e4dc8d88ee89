#include "mlxcache/verify/verify.h"

#include <fmt/format.h>

#include <map>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;
using verify::Checked;
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
  for (std::size_t i = 0; i < c.damage.size() && i < 8; ++i) {
    session.say(fmt::format("            differs at bytes {} to {} ({})", mlxbase::format_exact(c.damage[i].offset),
                            mlxbase::format_exact(c.damage[i].offset + c.damage[i].length), format_bytes(c.damage[i].length)));
  }
  if (c.damage.size() > 8) session.say(fmt::format("            and in {} more places", c.damage.size() - 8));
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  const catalog::Inventory inventory = TRY(session.scan(options));
  catalog::Catalog* catalog = TRY(session.open_catalog());
  const verify::Options wanted{.models = arguments.all("MODEL"), .deep = arguments.flag("--deep")};
  const verify::Report report = TRY(verify::verify(session.context(), *catalog, inventory, wanted, session.world().clock, session.progress()));
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
  if (bad > 0) session.note("'mlxcache repair MODEL' mends a file of which an intact copy is on this machine; else downloading it again with its own tool replaces it.");
  warn_of_problems(session, inventory);
  if (bad > 0) return Exit::found;
  return tally[Verdict::unreadable] > 0 ? Exit::partly : Exit::ok;
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, false, true, "only these models; all if left out"}};
constexpr Option kOptions[] = {
    {"--deep", "", Kind::text, false, "read everything again, trusting no earlier measurement, and check the containers' structure"},
    kStoreOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache verify", "compare every file for which a store gives a digest"},
    {"mlxcache verify llama3.2:3b --deep", "one model, all of it, read again"},
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
    "the places where they differ are listed.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
