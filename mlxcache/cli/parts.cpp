#include "mlxcache/cli/parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::printable;

constexpr std::size_t kNamesShown = 3;  // of a list that is only an aside; --verbose shows all

}  // namespace

std::string count(std::uint64_t n, std::string_view one, std::string_view many) {
  if (n == 1) return fmt::format("1 {}", one);
  return many.empty() ? fmt::format("{} {}s", mlxbase::format_exact(n), one) : fmt::format("{} {}", mlxbase::format_exact(n), many);
}

void set_path(json::Value& object, std::string_view name, std::string_view path) {
  object.set(name, mlxbase::to_utf8(path));
  if (mlxbase::is_utf8(path)) return;
  std::string hex;
  for (const char c : path) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  object.set(fmt::format("{}_hex", name), std::move(hex));
}

json::Value problem_json(const std::string& path, std::string_view reason) {
  json::Value problem{json::Object{}};
  set_path(problem, "path", path);
  problem.set("reason", mlxbase::to_utf8(reason));
  return problem;
}

void set_digest(json::Value& object, const catalog::Group& group) {
  if (group.evidence == catalog::Evidence::measured && group.digest.algorithm() == mlxbase::Algorithm::sha256) {
    object.set("sha256", group.digest.hex());
  } else {
    object.set("claimed", group.digest.to_string());
  }
}

json::Value skipped_json(std::span<const dedup::Skipped> skipped) {
  json::Value list{json::Array{}};
  for (const dedup::Skipped& s : skipped) list.push(problem_json(s.path, s.reason));
  return list;
}

json::Value duplicate_json(const catalog::Inventory& inventory, const catalog::Group& group) {
  json::Value duplicate{json::Object{}};
  set_digest(duplicate, group);
  duplicate.set("size", group.size);
  duplicate.set("reclaimable_bytes", group.reclaimable_bytes);
  duplicate.set("copies", group.inodes.size());
  json::Value paths{json::Array{}};
  for (const std::uint32_t index : group.inodes) {
    for (const catalog::NameRef name : inventory.inodes[index].names) paths.push(mlxbase::to_utf8(inventory.entry(name).path));
  }
  duplicate.set("paths", std::move(paths));
  return duplicate;
}

json::Value problems_json(const catalog::Inventory& inventory) {
  json::Value list{json::Array{}};
  for (const catalog::Listing& listing : inventory.listings) {
    for (const catalog::Problem& p : listing.problems) list.push(problem_json(p.path, p.error.message));
  }
  return list;
}

std::vector<std::uint64_t> reclaimable_by_store(const catalog::Inventory& inventory) {
  std::vector<std::uint64_t> bytes(inventory.listings.size(), 0);
  for (const catalog::Group& group : inventory.groups) {
    std::set<std::uint64_t> kept;  // volumes that have their one copy
    std::uint64_t left = group.reclaimable_bytes;
    for (const std::uint32_t index : group.inodes) {
      const catalog::Inode& inode = inventory.inodes[index];
      if (kept.insert(inode.stat.id.device).second || inode.names.empty()) continue;
      const std::uint64_t own = inode.sharing_known ? inode.private_bytes : inode.stat.allocated_bytes;
      const std::uint64_t share = std::min(left, own);
      bytes[inode.names.front().store] += share;
      left -= share;
    }
  }
  return bytes;
}

std::string iso_time(std::int64_t wall_ns) {
  const std::time_t seconds = wall_ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string local_time(std::int64_t wall_ns) {
  const std::time_t seconds = wall_ns / 1'000'000'000;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts)};
}

std::string_view kind_name(catalog::StoreKind kind) { return stores::adapter_of(kind).name; }

std::string stores_of(const catalog::Inventory& inventory, const catalog::Group& group) {
  std::vector<std::string_view> names;
  for (const std::uint32_t index : group.inodes) {
    for (const catalog::NameRef name : inventory.inodes[index].names) {
      const std::string_view kind = kind_name(inventory.listings[name.store].root.kind);
      if (std::find(names.begin(), names.end(), kind) == names.end()) names.push_back(kind);
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string title_of(const catalog::Inventory& inventory, const catalog::Group& group) {
  std::string model;
  std::string file;
  for (const std::uint32_t index : group.inodes) {
    for (const catalog::NameRef name : inventory.inodes[index].names) {
      const catalog::Entry& entry = inventory.entry(name);
      if (model.empty() && entry.model >= 0) model = inventory.listings[name.store].models[static_cast<std::size_t>(entry.model)].id;
      // A blob's name is its digest; a name with an ending is one that somebody chose.
      const std::string_view own = mlxbase::path::file_name(entry.path);
      if (file.empty() && !mlxbase::path::extension(own).empty()) file = own;
    }
  }
  if (model.empty()) return printable(file.empty() ? group.digest.to_string().substr(0, 19) + "…" : file);
  if (file.empty() || model.ends_with(file)) return printable(model);
  return printable(model + ": " + file);
}

std::string short_digest(const mlxbase::Digest& digest) {
  const std::string hex = digest.hex();
  return fmt::format("{}:{}{}", mlxbase::to_string(digest.algorithm()), hex.substr(0, 12), hex.size() > 12 ? "…" : "");
}

scan::Options scan_options(const Arguments& arguments) {
  scan::Options options;
  options.extra_roots = arguments.all("--root");
  options.only = kinds_of(arguments.all("--store"));
  return options;
}

ModelSize size_of(const catalog::Listing& listing, const catalog::Model& model) {
  ModelSize size;
  std::set<mlxbase::os::FileId> seen;
  for (const std::uint32_t index : model.entries) {
    const catalog::Entry& entry = listing.entries[index];
    if (entry.stat.kind != mlxbase::os::FileKind::regular || !seen.insert(entry.stat.id).second) continue;
    ++size.files;
    size.bytes += entry.stat.size;
  }
  return size;
}

json::Value model_json(const catalog::Listing& listing, const catalog::Model& model, const ModelSize& size) {
  json::Value item{json::Object{}};
  item.set("id", mlxbase::to_utf8(model.id));
  item.set("store", kind_name(listing.root.kind));
  set_path(item, "root", listing.root.path);
  item.set("revision", mlxbase::to_utf8(model.revision));
  item.set("format", mlxbase::to_utf8(model.format));
  item.set("bytes", size.bytes);
  item.set("incomplete", model.incomplete);
  return item;
}

std::string skipped_text(Session& session, std::span<const dedup::Skipped> skipped, std::string_view heading) {
  if (skipped.empty()) return {};
  std::map<std::string, std::vector<const dedup::Skipped*>> by_reason;
  for (const dedup::Skipped& s : skipped) by_reason[s.reason].push_back(&s);
  std::vector<std::pair<std::string, std::vector<const dedup::Skipped*>>> groups(by_reason.begin(), by_reason.end());
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  std::string out = session.style().bold(heading) + "\n";
  const std::size_t width = session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0;
  for (const auto& [reason, files] : groups) {
    out += wrap_text(fmt::format("{}: {}", count(files.size(), "file"), printable(reason)), width, "  ");
    const std::size_t shown = session.preferences().verbose ? files.size() : std::min(files.size(), kNamesShown);
    for (std::size_t i = 0; i < shown; ++i) {
      std::string line = "    " + session.show_path(files[i]->path);
      if (width > 0) line = elide_middle(line, width);
      out += session.style().dim(line) + "\n";
    }
    if (shown < files.size()) out += session.style().dim(fmt::format("    and {} more (--verbose lists them)", files.size() - shown)) + "\n";
  }
  return out;
}

Exit exit_of_roots(const catalog::Inventory& inventory) {
  for (const catalog::Listing& listing : inventory.listings) {
    for (const catalog::Problem& p : listing.problems) {
      if (listing.root.kind == catalog::StoreKind::loose && p.path == listing.root.path && p.error.code == mlxbase::Code::not_found) return Exit::partly;
    }
  }
  return Exit::ok;
}

void warn_of_problems(Session& session, const catalog::Inventory& inventory) {
  if (session.preferences().json) return;  // they are in the document
  std::size_t total = 0;
  for (const catalog::Listing& listing : inventory.listings) total += listing.problems.size();
  const std::size_t shown = session.preferences().verbose ? total : std::min<std::size_t>(total, 5);
  std::size_t at = 0;
  for (const catalog::Listing& listing : inventory.listings) {
    for (const catalog::Problem& p : listing.problems) {
      if (at++ >= shown) break;
      const std::string where = session.show_path(p.path);
      const std::string what = printable(p.error.message);
      session.warn(what.find(printable(p.path)) != std::string::npos ? what : fmt::format("{}: {}", where, what));
    }
  }
  if (shown < total) session.warn(fmt::format("{} more could not be read (--verbose lists them, 'mlxcache doctor' explains)", total - shown));
}

}  // namespace mlxcache::cli
