// Folders that hold plain copies of a repo's files with sidecars: `hf download --local-dir`, Swift's HubApi, WhisperKit.
// A root is such a folder itself, or the folder of HubApi that holds one for each <org>/<name>.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/completeness.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::hf_local_dir {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;

constexpr std::string_view kBook = ".cache/huggingface";  // where a folder's sidecars lie
constexpr std::string_view kDownloads = ".cache/huggingface/download/";
constexpr std::string_view kCollection = "huggingface/models";
constexpr std::uint64_t kSidecarLimit = 4096;

bool is_collection(std::string_view root) { return root == kCollection || root.ends_with(std::string("/") + std::string(kCollection)); }

/// "org/name/rest" → "org/name"; empty if there are no three parts.
std::string_view first_two(std::string_view p) {
  const auto one = p.find('/');
  const auto two = one == std::string_view::npos ? one : p.find('/', one + 1);
  return two == std::string_view::npos ? std::string_view{} : p.substr(0, two);
}

/// One folder with its files, all named relative to it.
struct LocalDir {
  std::string id;
  std::map<std::string, std::uint32_t> files;
  std::map<std::string, std::uint32_t> sidecars;  // by the file they speak of
  std::vector<std::uint32_t> partials;
};

/// The folder that a file belongs to: the innermost above it that keeps sidecars, else what HubApi would have made.
class Owners {
 public:
  Owners(const Root& root, const Finds& found) : root_(root.path) {
    for (const Found& f : found) {
      const std::string_view rel = path::relative_to(root_, f.path);
      const auto at = (std::string("/") + std::string(rel)).find(std::string("/") + std::string(kBook) + "/");
      if (at != std::string::npos) dirs_.emplace(rel.substr(0, at == 0 ? 0 : at - 1));
    }
  }
  std::string of(std::string_view rel) const {
    for (std::string_view up = rel; !up.empty();) {
      const auto slash = up.rfind('/');
      up = slash == std::string_view::npos ? std::string_view{} : up.substr(0, slash);
      if (dirs_.contains(up)) return std::string(up);
    }
    return is_collection(root_) ? std::string(first_two(rel)) : std::string();
  }

 private:
  std::string root_;
  std::set<std::string, std::less<>> dirs_;
};

void read_sidecars(const Context& context, const Root& root, ListingBuilder& out, std::uint32_t model, const LocalDir& dir) {
  std::map<std::string, std::size_t> commits;
  for (const auto& [name, e] : dir.sidecars) {
    const auto file = dir.files.find(name);
    if (file == dir.files.end()) continue;
    const std::string where = out.at(e).path;
    const auto text = read_metadata(context, root.path, where, kSidecarLimit);
    if (!text) {
      out.problem(where, text.error());
      continue;
    }
    const auto sidecar = hf::parse_sidecar(*text);
    if (!sidecar) {
      out.problem(where, {mlxbase::Code::corrupt, "a sidecar that is not three lines of commit, etag and time", 0});
      continue;
    }
    ++commits[sidecar->commit];
    Entry& entry = out.at(file->second);
    if (entry.role == Role::payload && sidecar->covers(entry.stat.mtime_ns)) entry.claim = hf::claim_of_etag(sidecar->etag);
  }
  // A folder that was refreshed in part holds files of two commits; most of them name it.
  const auto most = std::max_element(commits.begin(), commits.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != commits.end()) out.model_at(model).revision = most->first;
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  const auto below = [&](const std::string& home, const std::string& origin) {
    for (const std::string_view place :
         {"Documents/huggingface/models", "Library/Caches/huggingface/models", "Library/Application Support/huggingface/models"}) {
      add_root(context, roots, StoreKind::hf_local_dir, path::join(home, place), origin);
    }
  };
  below(context.environment.home, "default");
  for (const RedirectedHome& other : redirected_homes(context)) below(other.path, other.origin);
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::hf_local_dir));
  const auto found = walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel});
  const Owners owners(root, found);
  std::map<std::string, LocalDir> dirs;
  for (const Found& f : found) {
    const std::string_view rel = path::relative_to(root.path, f.path);
    const std::string owner = owners.of(rel);
    const std::string name(owner.empty() ? rel : rel.substr(owner.size() + 1));
    const std::uint32_t e = out.add(f);
    Entry& entry = out.at(e);
    if (owner.empty() && is_collection(root.path)) {  // no model's: beside the folders of HubApi
      if (entry.role == Role::payload) entry.role = path::file_name(rel).starts_with('.') ? Role::metadata : Role::foreign;
      entry.links = catalog::kNoLinks;
      continue;
    }
    LocalDir& dir = dirs[owner];
    if (name.starts_with(std::string(kBook) + "/")) {
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      if (entry.role == Role::partial) dir.partials.push_back(e);
      constexpr std::string_view kEnding = ".metadata";
      if (entry.role == Role::metadata && entry.stat.kind == FileKind::regular && name.starts_with(kDownloads) && name.ends_with(kEnding)) {
        dir.sidecars.emplace(name.substr(kDownloads.size(), name.size() - kDownloads.size() - kEnding.size()), e);
      }
      continue;
    }
    if (path::file_name(name) == ".DS_Store") {
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      continue;
    }
    if (entry.role == Role::partial) {
      dir.partials.push_back(e);
    } else {
      dir.files.emplace(name, e);
    }
  }
  for (auto& [owner, dir] : dirs) {
    if (dir.files.empty() && dir.partials.empty()) continue;
    const std::uint32_t model = out.model({.id = owner.empty() ? std::string(path::file_name(root.path)) : owner});
    std::vector<ViewedFile> view;
    for (const auto& [name, e] : dir.files) {
      out.join(model, e);
      if (out.at(e).role == Role::payload) view.push_back({name, out.at(e).path});
    }
    for (const std::uint32_t e : dir.partials) {
      out.join(model, e);
      out.model_at(model).incomplete = true;
    }
    for (const auto& [name, e] : dir.sidecars) out.join(model, e);
    read_sidecars(context, root, out, model, dir);
    if (lacks_indexed_shard(context, root.path, view, out.problems())) out.model_at(model).incomplete = true;
  }
  return out.finish();
}

std::string staging(const Root&, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& root, const Entry& entry) {
  const std::string_view rel = path::relative_to(root.path, entry.path);
  const std::string_view owner = is_collection(root.path) ? first_two(rel) : std::string_view{};
  const std::string_view name = owner.empty() ? rel : rel.substr(owner.size() + 1);
  return {{path::join(root.path, owner, std::string(kDownloads) + std::string(name) + ".lock"), 0664}};
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  // The root is such a folder itself, or holds folders named by their ids.
  std::string folder = path::join(listing.root.path, of->id);
  for (const std::uint32_t e : of->entries) {
    if (!path::is_within(folder, listing.entries[e].path)) folder = listing.root.path;
  }
  if (folder != listing.root.path && !is_collection(listing.root.path) && !context.fs.stat(path::join(folder, kBook))) folder = listing.root.path;
  const std::string book = path::join(folder, kBook);
  const auto beside = entries_below(listing, book, model);
  for (const std::uint32_t e : beside) {
    if (listing.entries[e].role == Role::lock) TRY(refuse_if_locked(context, {listing.entries[e].path, 0664}));
  }
  return remove_plain(context, listing, model, beside, book);
}

}  // namespace mlxcache::stores::hf_local_dir
