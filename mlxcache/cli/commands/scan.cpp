#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/run.h"
#include "mlxcache/cli/table.h"
#include "mlxcache/ledger/ledger.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using catalog::Inventory;
using mlxbase::format_bytes;
using mlxbase::Result;

constexpr std::size_t kGroupsShown = 8;  // of the duplicates: `dups` lists all

json::Value store_json(const catalog::Listing& listing, const catalog::StoreTotals& t, std::uint64_t reclaimable) {
  json::Value store{json::Object{}};
  store.set("kind", kind_name(listing.root.kind));
  set_path(store, "root", listing.root.path);
  store.set("origin", mlxbase::to_utf8(listing.root.origin));
  store.set("models", t.models);
  store.set("files", t.files);
  store.set("apparent_bytes", t.apparent_bytes);
  store.set("allocated_bytes", t.allocated_bytes);
  store.set("shared_bytes", t.shared_bytes);
  store.set("reclaimable_bytes", reclaimable);
  store.set("orphans", t.orphans);
  store.set("orphan_bytes", t.orphan_bytes);
  store.set("partials", t.partials);
  store.set("partial_bytes", t.partial_bytes);
  store.set("broken_links", t.broken_links);
  return store;
}

/// Blocks that all stores hold together, each once. Inodes alone do not tell where clones share extents; the ledger does, and it is asked
/// only where there are some.
std::uint64_t really_held(Session& session, const Inventory& inventory) {
  const bool clones = std::any_of(inventory.inodes.begin(), inventory.inodes.end(), [](const catalog::Inode& i) { return i.sharing_known && i.shared_bytes > 0; });
  return clones ? ledger::make_ledger(session.fs(), inventory).allocated_bytes : inventory.allocated_bytes;
}

void emit_scan(Session& session, const Inventory& inventory) {
  Document document = session.begin_document("mlxcache.scan/1");
  document.set("scanned_at", iso_time(inventory.scanned_at_ns));
  json::Value stores{json::Array{}};
  const auto reclaimable = reclaimable_by_store(inventory);
  for (std::size_t i = 0; i < inventory.listings.size(); ++i) {
    stores.push(store_json(inventory.listings[i], inventory.totals[i], reclaimable[i]));
  }
  document.set("stores", stores);
  document.list("duplicates", inventory.groups.size(), [&](std::size_t i) { return duplicate_json(inventory, inventory.groups[i]); });
  document.set("apparent_bytes", inventory.apparent_bytes);
  document.set("allocated_bytes", really_held(session, inventory));
  document.set("reclaimable_bytes", inventory.reclaimable_bytes);
  document.set("bytes_read", inventory.bytes_read);
  document.set("problems", problems_json(inventory));
  document.finish();
}

std::string remarks(const catalog::StoreTotals& t) {
  std::vector<std::string> parts;
  if (t.orphans > 0) parts.push_back(fmt::format("{} ({})", count(t.orphans, "orphan"), format_bytes(t.orphan_bytes)));
  if (t.partials > 0) parts.push_back(fmt::format("{} ({})", count(t.partials, "partial download"), format_bytes(t.partial_bytes)));
  if (t.broken_links > 0) parts.push_back(count(t.broken_links, "broken link"));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void print_stores(Session& session, const Inventory& inventory) {
  Table table({{"Store", Align::left, true},
               {"models", Align::right},
               {"files", Align::right},
               {"apparent", Align::right},
               {"on disk", Align::right},
               {"shared", Align::right},
               {"reclaimable", Align::right}});
  const auto reclaimable = reclaimable_by_store(inventory);
  std::uint64_t models = 0;
  std::uint64_t files = 0;
  for (std::size_t i = 0; i < inventory.listings.size(); ++i) {
    const catalog::StoreTotals& t = inventory.totals[i];
    const catalog::Root& root = inventory.listings[i].root;
    table.row({std::string(stores::adapter_of(root.kind).title), mlxbase::format_exact(t.models), mlxbase::format_exact(t.files),
               format_bytes(t.apparent_bytes), format_bytes(t.allocated_bytes), format_bytes(t.shared_bytes), format_bytes(reclaimable[i])});
    table.below(session.show_path(root.path));
    if (const std::string text = remarks(t); !text.empty()) table.alert(text);
    models += t.models;
    files += t.files;
  }
  if (inventory.listings.size() > 1) {
    std::uint64_t shared = 0;
    for (const auto& t : inventory.totals) shared += t.shared_bytes;
    table.total({"All stores", mlxbase::format_exact(models), mlxbase::format_exact(files), format_bytes(inventory.apparent_bytes),
                 format_bytes(really_held(session, inventory)), format_bytes(shared), format_bytes(inventory.reclaimable_bytes)});
  }
  session.print(table.render(session.columns(), session.style()));
}

void print_duplicates(Session& session, const Inventory& inventory, bool some_stores) {
  std::size_t open = 0;  // groups that still waste something
  for (const catalog::Group& g : inventory.groups) open += g.reclaimable_bytes > 0 ? 1 : 0;
  if (inventory.groups.empty()) {
    session.say(some_stores ? "\nNothing is stored twice within what was looked at." : "\nNothing is stored twice.");
    return;
  }
  if (open == 0) {
    session.say_wrapped(fmt::format("\n{} stored under several names, and all of them share their blocks already.",
                            count(inventory.groups.size(), "file is", "files are")));
    return;
  }
  session.say(fmt::format("\n{}", session.style().bold(fmt::format("Stored more than once: {}, {} could be freed",
                                                                   count(open, "file"), format_bytes(inventory.reclaimable_bytes)))));
  Table table({{"frees", Align::right}, {"copies", Align::right}, {"what", Align::left, true}, {"where", Align::left, true}});
  std::size_t shown = 0;
  for (const catalog::Group& g : inventory.groups) {
    if (g.reclaimable_bytes == 0) continue;
    if (shown++ == kGroupsShown) break;
    table.row({format_bytes(g.reclaimable_bytes), fmt::format("{}", g.inodes.size()), title_of(inventory, g), stores_of(inventory, g)});
  }
  session.print(table.render(session.columns(), session.style()));
  if (open > kGroupsShown) session.say(session.style().dim(fmt::format("and {} more: mlxcache dups", open - kGroupsShown)));
}

Result<Exit> offer_demo(Session& session) {
  session.say("No model store was found on this machine.");
  session.note("Looked where the tools themselves look: their variables, their settings, their default folders.\n"
               "A folder elsewhere: mlxcache scan --root DIR");
  const Answer answer = session.ask("Show what mlxcache does on a small made-up home (mlxcache demo)?");
  if (answer != Answer::yes) {
    session.note("'mlxcache demo' shows everything on a small made-up home, in a temporary folder.");
    return Exit::ok;
  }
  session.say("");
  std::vector<std::string> words{"demo"};
  if (session.preferences().quiet) words.emplace_back("--quiet");
  if (!session.preferences().colour) words.emplace_back("--no-color");
  return cli::run(session.world(), words);
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  options.min_size = arguments.bytes("--min-size", options.min_size);
  options.keep_links = false;
  const Inventory inventory = TRY(session.scan(options));
  if (session.preferences().json) emit_scan(session, inventory);
  if (session.preferences().json) return exit_of_roots(inventory);
  if (inventory.listings.empty()) {
    if (options.only.empty()) return offer_demo(session);
    session.say("No such store was found on this machine.");
    return Exit::ok;
  }
  print_stores(session, inventory);
  print_duplicates(session, inventory, !options.only.empty());
  warn_of_problems(session, inventory);
  if (inventory.reclaimable_bytes > 0) {
    session.note("\nNext: mlxcache dedup     shows exactly what would be shared; changes nothing\n"
                 "      mlxcache dups      lists every copy with its path");
  }
  return exit_of_roots(inventory);
}

constexpr Option kOptions[] = {
    kRootOption,
    kStoreOption,
    {"--min-size", "SIZE", Kind::bytes, false, "do not compare files smaller than this (500k, 10M); they are still counted"},
};
constexpr Example kExamples[] = {
    {"mlxcache scan", "every store on this machine"},
    {"mlxcache scan --store ollama --store hf-hub", "only these two"},
    {"mlxcache scan --root /data/models", "also a folder that no tool told us about"},
    {"mlxcache scan --json | jq .reclaimable_bytes", "the number alone"},
};

constexpr ExitNote kExits[] = {{Exit::partly, "a folder named by --root is not there; the rest was looked at"}};

}  // namespace

const Command kScan{
    "scan",
    "list every model store, what it holds and what is stored twice",
    Group::look,
    true,
    "Finds the stores as each tool finds its own (variables, settings, default folders), lists what they hold, and finds files that "
    "are stored more than once. Nothing in a store is changed. What was measured is remembered, so that a second scan costs a "
    "directory walk.\n\n"
    "apparent: what adding up file sizes gives. on disk: blocks really held, each once. shared: of these, also used under another "
    "name or by another store. reclaimable: what sharing equal files within each volume would free. An orphan is a payload that no model of "
    "its store refers to.",
    {},
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
