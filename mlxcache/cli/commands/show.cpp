#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/container.h"
#include "mlxcache/cli/models.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace path = mlxbase::path;
using catalog::Entry;
using catalog::Inventory;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;

/// Where an inode and its equals are found; made once for a scan.
struct Index {
  std::map<mlxbase::os::FileId, std::uint32_t> inode_of;
  std::map<std::uint32_t, std::uint32_t> group_of;  // inode to group
};

Index make_index(const Inventory& inventory) {
  Index index;
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) index.inode_of[inventory.inodes[i].stat.id] = i;
  for (std::uint32_t g = 0; g < inventory.groups.size(); ++g) {
    for (const std::uint32_t i : inventory.groups[g].inodes) index.group_of[i] = g;
  }
  return index;
}

struct Copy {
  std::string path;
  std::string_view store;
  std::string_view relation;
};

/// Every other name under which the bytes live.
std::vector<Copy> copies_of(const Inventory& inventory, const Index& index, const Entry& entry) {
  std::vector<Copy> copies;
  const auto own = index.inode_of.find(entry.stat.id);
  if (own == index.inode_of.end()) return copies;
  const auto add = [&](std::uint32_t i, std::string_view relation) {
    for (const catalog::NameRef name : inventory.inodes[i].names) {
      const std::string& p = inventory.entry(name).path;
      if (p != entry.path) copies.push_back({p, kind_name(inventory.listings[name.store].root.kind), relation});
    }
  };
  add(own->second, "hard link");
  if (const auto group = index.group_of.find(own->second); group != index.group_of.end()) {
    const auto shares = [&](std::uint32_t i) { return inventory.inodes[i].sharing_known && inventory.inodes[i].shared_bytes > 0 && inventory.inodes[i].private_bytes == 0; };
    for (const std::uint32_t i : inventory.groups[group->second].inodes) {
      if (i != own->second) add(i, shares(i) && shares(own->second) ? "shared blocks" : "own copy");
    }
  }
  return copies;
}

struct FileView {
  const Entry* entry;
  std::vector<const Entry*> links;  // symlinks of the model that lead to it
};

constexpr int kMostHops = 8;  // of links that lead to links: a hub cache of today has two

std::vector<FileView> files_of(const catalog::Listing& listing, const catalog::Model& model) {
  std::vector<FileView> files;
  std::map<std::string_view, std::size_t> at;
  std::map<std::string_view, const Entry*> links;
  for (const std::uint32_t i : model.entries) {
    const Entry& entry = listing.entries[i];
    if (entry.stat.kind == mlxbase::os::FileKind::symlink) {
      links.emplace(entry.path, &entry);
    } else if (at.emplace(entry.path, files.size()).second) {
      files.push_back({&entry, {}});
    }
  }
  for (const auto& [name, link] : links) {
    std::string target = link->path;
    for (int hop = 0; hop < kMostHops; ++hop) {
      const auto next = links.find(target);
      if (next == links.end()) break;
      target = path::normal(path::join(path::parent(next->second->path), next->second->link_target));
    }
    if (const auto found = at.find(target); found != at.end()) {
      files[found->second].links.push_back(link);
    } else {
      files.push_back({link, {}});  // leads out of the store, or nowhere
    }
  }
  // The name that a person knows comes first: snapshots/…/model.safetensors rather than blobs/<digest>.
  for (FileView& f : files) {
    std::stable_sort(f.links.begin(), f.links.end(), [](const Entry* a, const Entry* b) {
      return path::extension(a->path).size() > 1 && path::extension(b->path).size() <= 1;
    });
  }
  std::stable_sort(files.begin(), files.end(), [](const FileView& a, const FileView& b) { return a.entry->stat.size > b.entry->stat.size; });
  return files;
}

std::optional<mlxbase::Digest> measured(const Inventory& inventory, const Index& index, const Entry& entry) {
  const auto own = index.inode_of.find(entry.stat.id);
  return own == index.inode_of.end() ? std::nullopt : inventory.inodes[own->second].sha256.get();
}

json::Value file_json(Session& session, const Inventory& inventory, const Index& index, const FileView& view) {
  const Entry& entry = *view.entry;
  json::Value file{json::Object{}};
  set_path(file, "path", entry.path);
  file.set("role", catalog::to_string(entry.role));
  file.set("size", entry.stat.size);
  file.set("allocated_bytes", entry.stat.allocated_bytes);
  if (!entry.link_target.empty()) set_path(file, "link_target", entry.link_target);
  if (const auto digest = measured(inventory, index, entry)) file.set("sha256", digest->hex());
  if (entry.claim) file.set("claimed", entry.claim->to_string());
  json::Value links{json::Array{}};
  for (const Entry* link : view.links) links.push(mlxbase::to_utf8(link->path));
  file.set("links", std::move(links));
  json::Value copies{json::Array{}};
  for (const Copy& c : copies_of(inventory, index, entry)) {
    json::Value copy{json::Object{}};
    set_path(copy, "path", c.path);
    copy.set("store", c.store);
    copy.set("relation", c.relation);
    copies.push(std::move(copy));
  }
  file.set("copies", std::move(copies));
  if (const auto facts = container_facts(session.fs(), entry.path)) {
    json::Value container{json::Object{}};
    container.set("format", facts->container);
    json::Value values{json::Object{}};
    for (const auto& [name, value] : facts->facts) values.set(name, mlxbase::to_utf8(value));
    container.set("facts", std::move(values));
    if (!facts->problem.empty()) container.set("problem", mlxbase::to_utf8(facts->problem));
    file.set("container", std::move(container));
  }
  return file;
}

void print_line(Session& session, const std::string& text, bool quiet_look) {
  const std::string line = session.columns() > 0 ? elide_middle(text, static_cast<std::size_t>(session.columns())) : text;
  session.say(quiet_look ? session.style().dim(line) : line);
}

void print_file(Session& session, const Inventory& inventory, const Index& index, const catalog::Listing& listing, const FileView& view) {
  const Entry& entry = *view.entry;
  const auto within = [&](const std::string& p) {
    return printable(path::is_within(listing.root.path, p) ? path::relative_to(listing.root.path, p) : std::string_view(p));
  };
  const Entry& named = view.links.empty() ? entry : *view.links.front();
  print_line(session, fmt::format("  {:>8}  {}", format_bytes(entry.stat.size), within(named.path)), false);
  for (std::size_t i = 1; i < view.links.size(); ++i) print_line(session, fmt::format("            also {}", within(view.links[i]->path)), true);
  if (!view.links.empty()) print_line(session, fmt::format("            in {}", within(entry.path)), true);
  if (!entry.link_target.empty()) print_line(session, fmt::format("            leads to {}", session.show_path(entry.link_target)), true);
  if (entry.role != catalog::Role::payload && entry.role != catalog::Role::metadata && entry.role != catalog::Role::link) {
    session.say(fmt::format("            {}", session.style().yellow(catalog::to_string(entry.role))));
  }
  const auto digest = measured(inventory, index, entry);
  if (digest) print_line(session, fmt::format("            {} (measured)", digest->to_string()), true);
  if (entry.claim && (!digest || *digest != *entry.claim)) {
    print_line(session, fmt::format("            {} (claimed by the store)", entry.claim->to_string()), true);
  }
  if (const auto facts = container_facts(session.fs(), entry.path)) {
    std::string text = facts->container;
    for (const auto& [name, value] : facts->facts) {
      std::string label = name;
      std::replace(label.begin(), label.end(), '_', ' ');
      text += fmt::format(", {} {}", label, printable(value));
    }
    session.print(wrap_text(text, session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0, "            "));
    if (!facts->problem.empty()) session.say("            " + session.style().red("header: " + printable(facts->problem)));
  }
  for (const Copy& c : copies_of(inventory, index, entry)) {
    print_line(session, fmt::format("            also {} ({}, {})", session.show_path(c.path), c.store, c.relation), false);
  }
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  scan::Options options = scan_options(arguments);
  const Inventory inventory = TRY(session.scan(options));
  const auto refs = TRY(find_models(inventory, *arguments.one("MODEL")));
  const Index index = make_index(inventory);
  json::Value models{json::Array{}};
  bool first = true;
  for (const ModelRef ref : refs) {
    const catalog::Listing& listing = inventory.listings[ref.store];
    const catalog::Model& model = listing.models[ref.model];
    const ModelSize size = size_of(listing, model);
    const auto files = files_of(listing, model);
    if (session.preferences().json) {
      json::Value item = model_json(listing, model, size);
      json::Value list{json::Array{}};
      for (const FileView& f : files) list.push(file_json(session, inventory, index, f));
      item.set("files", std::move(list));
      models.push(std::move(item));
      continue;
    }
    if (!first) session.say("");
    first = false;
    session.say(fmt::format("{}  {}", session.style().bold(printable(model.id)), stores::adapter_of(listing.root.kind).title));
    session.say(fmt::format("  root      {}", session.show_path(listing.root.path)));
    if (!model.revision.empty()) session.say(fmt::format("  revision  {}", printable(model.revision)));
    if (!model.format.empty()) session.say(fmt::format("  format    {}", printable(model.format)));
    session.say(fmt::format("  size      {} in {}{}", format_bytes(size.bytes), count(size.files, "file"),
                            model.incomplete ? session.style().yellow("  incomplete") : ""));
    session.say("");
    for (const FileView& f : files) print_file(session, inventory, index, listing, f);
  }
  json::Value document{json::Object{}};
  document.set("models", std::move(models));
  session.emit("mlxcache.show/1", std::move(document));
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"MODEL", Kind::model, true, false, "a model's name as 'mlxcache ls' prints it, or a part of it that fits only one"}};
constexpr Option kOptions[] = {kRootOption, kStoreOption};
constexpr Example kExamples[] = {
    {"mlxcache show llama3.2:3b", "its files, digests, and where else the same bytes live"},
    {"mlxcache show qwen3-0.6b --json", "for a script"},
};
constexpr ExitNote kExits[] = {{Exit::failed, "no store has such a model, or it could not be read"}};

}  // namespace

const Command kShow{
    "show",
    "show one model: files, digests, links, where else its bytes live",
    Group::look,
    true,
    "Shows the files of a model in every store that has it: sizes, digests (measured by us or claimed by the store), what the file's "
    "own header says (safetensors, GGUF), and every other place on this machine that holds the same bytes.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
