#include "mlxcache/repair/repair.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/online.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/pull/downloads_folder.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::format_bytes;
using mlxbase::format_exact;
using mlxbase::printable;
using mlxbase::Result;
using repair::State;

constexpr std::size_t kRangesShown = 4;

json::Value document_of(const repair::Plan& plan, bool applied) {
  json::Value files{json::Array{}};
  for (const repair::File& f : plan.files) {
    json::Value item{json::Object{}};
    set_path(item, "path", f.path);
    item.set("store", kind_name(f.root.kind));
    item.set("model", mlxbase::to_utf8(f.model));
    item.set("size", f.size);
    item.set("claimed", f.claimed.to_string());
    item.set("state", repair::to_string(f.state));
    item.set("damaged_bytes", f.damaged_bytes());
    json::Value ranges{json::Array{}};
    for (const verify::Range& r : f.ranges) {
      json::Value range{json::Object{}};
      range.set("offset", r.offset);
      range.set("length", r.length);
      ranges.push(std::move(range));
    }
    item.set("ranges", std::move(ranges));
    const std::string& source = f.twin.empty() ? f.upstream : f.twin;
    item.set("source", source.empty() ? json::Value(nullptr) : json::Value(mlxbase::to_utf8(source)));
    item.set("source_kind", !f.twin.empty() ? json::Value("twin") : !f.upstream.empty() ? json::Value("upstream") : json::Value(nullptr));
    item.set("fetch_bytes", f.fetch_bytes);
    item.set("fetched_bytes", f.fetched_bytes);
    item.set("reason", mlxbase::to_utf8(f.reason));
    files.push(std::move(item));
  }
  json::Value document{json::Object{}};
  document.set("applied", applied);
  document.set("files", std::move(files));
  document.set("intact", plan.intact);
  return document;
}

void print_files(Session& session, const repair::Plan& plan) {
  const Style& style = session.style();
  for (const repair::File& f : plan.files) {
    const bool good = f.state == State::mended || f.state == State::mendable;
    const std::string state = f.state == State::no_source ? "no source" : std::string(repair::to_string(f.state));
    session.say_fitted(fmt::format("  {:<9} {}", state, session.show_path(f.path)));
    for (std::size_t i = 0; i < std::min(f.ranges.size(), kRangesShown); ++i) {
      session.say(style.dim(fmt::format("            bytes {} to {} ({})", format_exact(f.ranges[i].offset), format_exact(f.ranges[i].offset + f.ranges[i].length),
                                        format_bytes(f.ranges[i].length))));
    }
    if (f.ranges.size() > kRangesShown) session.say(style.dim(fmt::format("            and {} more places", f.ranges.size() - kRangesShown)));
    if (good && !f.twin.empty()) session.say_fitted("            from " + session.show_path(f.twin));
    if (f.state == State::mendable && !f.upstream.empty()) {
      session.say_fitted(fmt::format("            from {}{}", printable(f.upstream), f.fetch_bytes == 0 ? ": fetched once, with the other name of these bytes"
                                                                                                   : fmt::format(": {} to be fetched of {}", format_bytes(f.fetch_bytes), format_bytes(f.wanted.size))));
    }
    if (f.state == State::mended && !f.upstream.empty() && f.fetched_bytes > 0) {
      session.say_fitted(fmt::format("            from {}: {} fetched", printable(f.upstream), format_bytes(f.fetched_bytes)));
    }
    if (!f.reason.empty()) session.say_wrapped("            " + printable(f.reason));
  }
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  const catalog::Inventory inventory = TRY(session.scan(options));
  catalog::Catalog* catalog = TRY(session.open_catalog());
  const Online online = TRY(go_online(session));
  repair::Upstream upstream(*online.client, online.endpoints, session.context().cancel, session.world().clock);
  repair::Plan plan =
      TRY(repair::make_plan(session.context(), *catalog, inventory, arguments.all("MODEL"), session.world().clock, session.progress(), &upstream));
  session.progress_done();
  const auto in_state = [&](State s) { return std::count_if(plan.files.begin(), plan.files.end(), [&](const repair::File& f) { return f.state == s; }); };
  const auto mendable = in_state(State::mendable);
  warn_of_problems(session, inventory);
  if (!arguments.flag("--apply") || mendable == 0) {
    session.emit("mlxcache.repair/1", document_of(plan, false));
    print_files(session, plan);
    session.say_wrapped(fmt::format("{} intact, {} to be mended, {} without a source, {} without a digest to compare.", plan.intact, mendable,
                                    in_state(State::no_source), plan.unclaimed));
    if (mendable > 0) session.note(fmt::format("\nNothing was changed. To mend:\n  mlxcache {} --apply", printable(session.command_line())));
    return plan.files.empty() ? Exit::ok : Exit::found;
  }
  const auto downloads = [&](const catalog::Root& root) { return pull::downloads_folder(session.context(), session.home(), root); };
  const change::Done done = TRY(repair::run(change_machinery(session), plan, &upstream, downloads));
  session.progress_done();
  json::Value document = document_of(plan, true);
  document.set("transaction", done.transaction.empty() ? json::Value(nullptr) : json::Value(done.transaction));
  session.emit("mlxcache.repair/1", std::move(document));
  print_files(session, plan);
  const auto mended = in_state(State::mended);
  session.say(fmt::format("{} {} mended.", session.style().green("Done:"), count(static_cast<std::uint64_t>(mended), "file is", "files are")));
  if (!done.transaction.empty()) session.note(fmt::format("The damaged files are in the trash. To take it back: mlxcache undo {}", done.transaction));
  if (session.cancelled()) return Exit::cancelled;
  if (static_cast<std::size_t>(mended) == plan.files.size()) return Exit::ok;
  return mended > 0 ? Exit::partly : Exit::found;
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, true, true, "models as 'mlxcache ls' prints them"}};
constexpr Option kOptions[] = {kApplyOption, kRootOption};
constexpr Example kExamples[] = {
    {"mlxcache repair llama3.2:3b", "read it, and say what is damaged and where the right bytes are"},
    {"mlxcache repair llama3.2:3b --apply", "mend it"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "nothing is damaged, or everything was mended"},
    {Exit::found, "damage was found, and nothing was mended"},
    {Exit::partly, "some files were mended; the others are listed with the reason"},
    {Exit::failed, "no such model, or it could not be read"},
};

}  // namespace

const Command kRepair{
    "repair",
    "mend damaged files from a twin on this machine, or from upstream",
    Group::check,
    true,
    "Reads all files of the models again and compares them with what their stores say. Where one is damaged and an intact copy of it is on this machine (in any "
    "store, under any name), the ranges that differ are listed. With --apply a new file is made of the good bytes and the twin's, its digest is confirmed, "
    "and it takes the damaged one's place in one step; nothing else is touched. The damaged file goes into the trash.\n\n"
    "Where no intact copy is here, the hub or registry that the model came from is asked. If mlxcache has seen the file whole before (pull, verify), it "
    "knows which pieces of 8 MiB are damaged, and only these are fetched and checked one by one; else the whole file is, and the plan says how much that is. "
    "Nothing is fetched before --apply. With HF_HUB_OFFLINE=1 nobody is asked.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
