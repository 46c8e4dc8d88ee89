#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/abandoned.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::format_bytes;
using mlxbase::Result;

constexpr std::int64_t kDayNs = std::int64_t{86'400} * 1'000'000'000;
constexpr std::int64_t kTrashAgeNs = 14 * kDayNs;
constexpr std::int64_t kPartialAgeNs = kDayNs;
constexpr std::int64_t kDownloadAgeNs = 14 * kDayNs;  // a pull that was cut short is resumable until then

/// What lies in the trash for longer than was asked for.
struct Expired {
  std::uint64_t names = 0;
  std::uint64_t bytes = 0;
};
Expired sum(std::span<const change::Trashed> trashed, std::int64_t before_ns) {
  Expired out;
  for (const change::Trashed& t : trashed) {
    if (t.removed_at_ns >= before_ns) continue;
    ++out.names;
    out.bytes += t.bytes;
  }
  return out;
}

void add_trash(json::Value& document, const Expired& expired) {
  json::Value trash{json::Object{}};
  trash.set("names", expired.names);
  trash.set("bytes_freed", expired.bytes);
  document.set("trash", std::move(trash));
}

void add_downloads(json::Value& document, std::uint64_t number, std::uint64_t bytes) {
  json::Value downloads{json::Object{}};
  downloads.set("number", number);
  downloads.set("bytes_freed", bytes);
  document.set("downloads", std::move(downloads));
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  options.find_duplicates = false;
  const catalog::Inventory inventory = TRY(session.scan(options));
  const std::int64_t now = session.world().clock.wall_ns();
  keep::GcOptions wanted;
  wanted.only = kinds_of(arguments.all("--store"));
  wanted.partial_age_ns = arguments.age_ns("--partial-age", kPartialAgeNs);
  const keep::Plan plan = TRY(keep::plan_gc(session.context(), inventory, wanted, now));
  const auto machinery = change_machinery(session);
  const std::int64_t expires = now - arguments.age_ns("--trash-age", kTrashAgeNs);
  const Expired expired = sum(TRY(change::trash(machinery)), expires);
  std::vector<catalog::Root> roots;
  for (const catalog::Listing& listing : inventory.listings) roots.push_back(listing.root);
  const auto abandoned = abandoned_downloads(session, roots, now - arguments.age_ns("--download-age", kDownloadAgeNs));
  std::uint64_t abandoned_bytes = 0;
  for (const Abandoned& a : abandoned) abandoned_bytes += a.bytes;
  const bool wants_apply = arguments.flag("--apply");
  const bool nothing = plan.changes.changes.empty() && expired.names == 0 && abandoned.empty();

  session.print(leaving_text(session, plan));
  if (!plan.leaving.empty() || !plan.refused.empty()) session.say("");
  if (!plan.changes.changes.empty()) {
    session.say_wrapped(fmt::format("{} {} into the trash: {} once it is emptied.", session.style().bold("The plan:"),
                                    count(plan.changes.changes.size(), "name"), format_bytes(plan.freed_bytes)));
  }
  if (expired.names > 0) {
    session.say_wrapped(fmt::format("{} {} that lie there for longer than the trash is kept: frees {} now.", session.style().bold("Emptied:"),
                                    count(expired.names, "name"), format_bytes(expired.bytes)));
  }
  if (!abandoned.empty()) {
    session.say_wrapped(fmt::format("{} {} of 'pull' that nobody took up again: frees {} now.", session.style().bold("Deleted:"),
                                    count(abandoned.size(), "download"), format_bytes(abandoned_bytes)));
  }
  if (nothing) session.say("Nothing to clean up.");
  warn_of_problems(session, inventory);
  if (!wants_apply) {
    json::Value document = plan_json(plan);
    add_trash(document, expired);
    add_downloads(document, abandoned.size(), abandoned_bytes);
    session.emit("mlxcache.gc/1", std::move(document));
    if (!nothing) session.note(fmt::format("\nNothing was changed. To do exactly this:\n  mlxcache {} --apply", mlxbase::printable(session.command_line())));
    return Exit::ok;
  }

  change::Done done;
  if (!plan.changes.changes.empty()) done = TRY(change::carry_out(machinery, plan.changes));
  Expired emptied;
  std::uint64_t deleted_bytes = 0;
  if (!session.cancelled()) {
    deleted_bytes = delete_abandoned(session, abandoned);
    const auto gone = TRY(change::empty_trash(machinery, "", expires));
    emptied = sum(gone, INT64_MAX);
    if (arguments.flag("--now") && !done.transaction.empty()) {
      const auto own = TRY(change::empty_trash(machinery, done.transaction, INT64_MAX));
      const Expired more = sum(own, INT64_MAX);
      emptied.names += more.names;
      emptied.bytes += more.bytes;
    }
  }
  session.progress_done();
  json::Value document = done_json(plan, done, arguments.flag("--now"));
  add_trash(document, emptied);
  add_downloads(document, abandoned.size(), deleted_bytes);
  session.emit("mlxcache.gc/1", std::move(document));
  for (const change::Skipped& s : done.skipped) session.warn(fmt::format("left alone: {}: {}", session.show_path(s.path), mlxbase::printable(s.reason)));
  if (!nothing) {
    session.say_wrapped(fmt::format("{} {} into the trash, {} emptied; {} freed.", session.style().green("Done:"), count(done.done.size(), "name"),
                                    count(emptied.names, "name"), format_bytes(emptied.bytes + deleted_bytes)));
    if (!done.transaction.empty() && !arguments.flag("--now")) session.note(fmt::format("To take it back: mlxcache restore {}", done.transaction));
  }
  if (session.cancelled()) return Exit::cancelled;
  return done.skipped.empty() ? Exit::ok : Exit::partly;
}

constexpr Option kOptions[] = {
    {"--store", "NAME", Kind::store, true, "only clean up this kind of store (may be given several times)"},
    {"--partial-age", "AGE", Kind::age, false, "leave partial downloads and orphans alone that are younger (1d if not given)"},
    {"--trash-age", "AGE", Kind::age, false, "empty the trash of what lies there for longer (14d if not given)"},
    {"--download-age", "AGE", Kind::age, false, "delete downloads of 'pull' that were cut short and not taken up for longer (14d if not given)"},
    kApplyOption,
    kNowOption,
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache gc", "show what could go"},
    {"mlxcache gc --apply", "clean up, and empty the trash of what is older than 14 days"},
    {"mlxcache gc --trash-age 0s --apply", "empty the whole trash"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the plan was shown, or done completely; also when there is nothing to clean up"},
    {Exit::partly, "done, but some names were left alone (a tool works on them, they changed)"},
};

}  // namespace

const Command kGc{
    "gc",
    "clean up: orphans, abandoned downloads, broken links, old trash",
    Group::remove,
    true,
    "Finds what no tool will use again, by each store's own rules: blobs that no manifest or snapshot names, downloads that were abandoned, links that lead "
    "nowhere. A file that merely lies in the wrong place is reported and left: a person may have put it there; so is a link to a disk that may just not be "
    "mounted. What goes lies in the trash first, and what lies there for longer than 14 days is deleted for good; so are downloads of 'pull' that were cut "
    "short and not taken up again for as long.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
