#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using catalog::Inventory;
using mlxbase::format_bytes;
using mlxbase::Result;

std::string_view state_of(const catalog::Inode& inode, bool first_on_volume) {
  if (inode.sharing_known && inode.private_bytes == 0 && inode.shared_bytes > 0) return "shares its blocks";
  return first_on_volume ? "holds its own blocks" : "a copy";
}

void print_group(Session& session, const Inventory& inventory, const catalog::Group& group) {
  const Style& style = session.style();
  const std::string title = title_of(inventory, group);
  session.say(style.bold(session.columns() > 0 ? elide_middle(title, static_cast<std::size_t>(session.columns())) : title));
  session.say(fmt::format("  {} each, {}, sharing frees {}", format_bytes(group.size), count(group.inodes.size(), "copy", "copies"),
                          format_bytes(group.reclaimable_bytes)));
  session.say(style.dim(fmt::format("  {} ({})", short_digest(group.digest),
                                    group.evidence == catalog::Evidence::measured ? "measured" : "claimed by the stores")));
  const std::size_t width = session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0;
  bool first = true;
  for (const std::uint32_t index : group.inodes) {
    const catalog::Inode& inode = inventory.inodes[index];
    bool first_name = true;
    for (const catalog::NameRef name : inode.names) {
      const std::string state(first_name ? state_of(inode, first) : "the same file (hard link)");
      std::string line = fmt::format("    {}{}", first_name ? "" : "= ", session.show_path(inventory.entry(name).path));
      if (width > 0) line = elide_middle(line, width > state.size() + 2 ? width - state.size() - 2 : width);
      session.say(fmt::format("{}  {}", line, style.dim(state)));
      first_name = false;
      first = false;
    }
  }
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  options.min_size = arguments.bytes("--min-size", options.min_size);
  options.keep_links = false;
  const Inventory inventory = TRY(session.scan(options));
  if (session.preferences().json) {
    Document document = session.begin_document("mlxcache.dups/1");
    document.list("duplicates", inventory.groups.size(), [&](std::size_t i) { return duplicate_json(inventory, inventory.groups[i]); });
    document.set("reclaimable_bytes", inventory.reclaimable_bytes);
    document.set("problems", problems_json(inventory));
    document.finish();
    return Exit::ok;
  }
  if (inventory.groups.empty()) {
    session.say("Nothing is stored twice.");
  }
  for (const catalog::Group& group : inventory.groups) {
    print_group(session, inventory, group);
    session.say("");
  }
  if (!inventory.groups.empty()) {
    session.say(fmt::format("{} stored more than once; sharing would free {}.", count(inventory.groups.size(), "file is", "files are"),
                            format_bytes(inventory.reclaimable_bytes)));
  }
  warn_of_problems(session, inventory);
  return Exit::ok;
}

constexpr Option kOptions[] = {
    kRootOption,
    kStoreOption,
    {"--min-size", "SIZE", Kind::bytes, false, "only files of at least this size (500k, 10M)"},
};
constexpr Example kExamples[] = {
    {"mlxcache dups", "every file that is stored more than once, with all its paths"},
    {"mlxcache dups --min-size 100M", "only those worth the attention"},
    {"mlxcache dups --json | jq -r '.duplicates[].paths[]'", "the paths alone"},
};

}  // namespace

const Command kDups{
    "dups",
    "list files that are stored more than once, with every path",
    Group::look,
    true,
    "Lists groups of equal files, largest gain first. \"measured\": the bytes were compared by their SHA-256. \"claimed\": the stores "
    "give both files the same digest and size; the bytes are compared before anything is ever replaced. Copies on different volumes "
    "are listed too, though they cannot share blocks.",
    {},
    kOptions,
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
