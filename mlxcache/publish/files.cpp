#include "mlxcache/publish/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::publish {
namespace {

namespace path = mlxbase::path;
using catalog::Entry;
using catalog::Role;
using mlxbase::Code;
using mlxbase::Result;
using mlxbase::os::FileId;
using mlxbase::os::FileKind;
using mlxbase::os::FileStat;
using mlxbase::os::Follow;

constexpr std::string_view kSnapshots = "/snapshots/";

/// What follows "snapshots/<revision>/" in a path below the root; empty elsewhere.
std::string_view name_in_snapshot(std::string_view relative) {
  const auto at = relative.find(kSnapshots);
  if (at == std::string_view::npos) return {};
  const auto rest = relative.substr(at + kSnapshots.size());
  const auto slash = rest.find('/');
  return slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
}

/// The folder that all paths have in common.
std::string common_folder(const std::vector<NamedFile>& files) {
  std::string common(path::parent(files.front().entry->path));
  for (const NamedFile& f : files) {
    while (!path::is_within(common, f.entry->path)) common = std::string(path::parent(common));
  }
  return common;
}

std::string folder_of_model(const catalog::Listing& listing, const catalog::Model& model, const std::vector<NamedFile>& files) {
  // The folder named by the id, where the store has one (publisher/model); else what the files have in common.
  const std::string by_id = path::is_safe_relative(model.id) ? path::join(listing.root.path, model.id) : std::string();
  const bool all_below = !by_id.empty() && std::all_of(files.begin(), files.end(), [&](const NamedFile& f) {
    return path::is_within(by_id, f.entry->path) && f.entry->path.size() > by_id.size();
  });
  return all_below ? by_id : common_folder(files);
}

}  // namespace

bool is_digest_name(std::string_view name) {
  if (name.starts_with("sha256-") || name.starts_with("sha256:")) name.remove_prefix(7);
  return name.size() >= 32 && std::all_of(name.begin(), name.end(), [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
}

std::string quant_of(std::string_view name) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::string found;
  for (std::size_t at = 0; at < name.size();) {
    std::size_t end = at;
    while (end < name.size() && is_word(name[end])) ++end;
    std::string word(name.substr(at, end - at));
    for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::string_view rest = word;
    if (rest.starts_with("UD_")) rest.remove_prefix(3);
    if (rest.starts_with("I") && rest.size() > 1 && rest[1] == 'Q') rest.remove_prefix(1);
    const bool quant = (rest.size() >= 2 && (rest[0] == 'Q' || rest.starts_with("TQ")) && std::isdigit(static_cast<unsigned char>(rest[rest[0] == 'T' ? 2 : 1])) != 0) ||
                       word == "F16" || word == "BF16" || word == "F32" || word.starts_with("MXFP4");
    if (quant) found = word;  // the last one: quantisations stand at the end
    at = end + 1;
  }
  return found;
}

Result<std::vector<NamedFile>> files_of(const stores::Context& context, const catalog::Listing& listing, const catalog::Model& model) {
  std::map<FileId, const Entry*> regular;
  std::vector<const Entry*> links;
  for (const std::uint32_t e : model.entries) {
    const Entry& entry = listing.entries[e];
    if (entry.stat.kind == FileKind::regular && entry.role == Role::payload) {
      const auto [at, fresh] = regular.try_emplace(entry.stat.id, &entry);
      // Of several names of one inode, the one that tells something.
      if (!fresh && is_digest_name(path::file_name(at->second->path))) at->second = &entry;
    } else if (entry.stat.kind == FileKind::symlink && entry.role == Role::link) {
      links.push_back(&entry);
    }
  }

  std::vector<NamedFile> named;
  std::map<FileId, std::size_t> reached;  // inodes that a link gives a name to
  for (const Entry* link : links) {
    const auto stat = context.fs.stat(link->path, Follow::yes);
    if (!stat) return mlxbase::fail(Code::changed, fmt::format("{} leads nowhere any more", mlxbase::printable(link->path)));
    if (stat->kind != FileKind::regular) continue;
    const auto own = regular.find(stat->id);
    std::string real;
    if (own != regular.end()) {
      real = own->second->path;
    } else {
      real = TRY(context.fs.real_path(link->path));
    }
    const bool in_snapshot = !name_in_snapshot(path::relative_to(listing.root.path, link->path)).empty();
    const auto [at, fresh] = reached.try_emplace(stat->id, named.size());
    if (fresh) {
      named.push_back({{}, link, std::move(real), *stat});
    } else if (in_snapshot) {
      named[at->second].entry = link;  // a blob that is a link itself: the snapshot's name counts
    }
  }
  for (const auto& [id, entry] : regular) {
    if (!reached.contains(id)) named.push_back({{}, entry, entry->path, entry->stat});
  }
  if (named.empty()) return named;

  // Where there are snapshots, what lies outside them has no name of its own (blobs of partial downloads, listings).
  const bool has_snapshots = std::any_of(named.begin(), named.end(), [&](const NamedFile& f) {
    return !name_in_snapshot(path::relative_to(listing.root.path, f.entry->path)).empty();
  });
  if (has_snapshots) {
    std::erase_if(named, [&](const NamedFile& f) { return name_in_snapshot(path::relative_to(listing.root.path, f.entry->path)).empty(); });
  }
  const std::string folder = folder_of_model(listing, model, named);
  for (NamedFile& f : named) {
    const std::string_view relative = path::relative_to(listing.root.path, f.entry->path);
    if (const auto in_snapshot = name_in_snapshot(relative); !in_snapshot.empty()) {
      f.name = in_snapshot;
    } else if (!is_digest_name(path::file_name(f.entry->path))) {
      f.name = path::relative_to(folder, f.entry->path);
    }
    if (!f.name.empty() && !path::is_safe_relative(f.name)) {
      return mlxbase::fail(Code::invalid, fmt::format("'{}' is no name that a file of a model may have", mlxbase::printable(f.name)));
    }
    // The entry whose rules and claims hold is the one with the bytes.
    if (const auto own = regular.find(f.stat.id); own != regular.end()) f.entry = own->second;
  }
  std::sort(named.begin(), named.end(), [](const NamedFile& a, const NamedFile& b) { return a.name != b.name ? a.name < b.name : a.path < b.path; });
  return named;
}

}  // namespace mlxcache::publish
