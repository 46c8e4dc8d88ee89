#include "mlxcache/stores/hf_layout.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/completeness.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::stores::hf {
namespace {

namespace path = mlxbase::path;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::os::FileKind;

constexpr std::string_view kMarker = ".huggingface-shared-blobs";
constexpr std::uint64_t kRefLimit = 4096;

constexpr std::size_t kMostParts = 4;

/// Parts of a path, up to kMostParts: several times for each file of a hub, so nothing is allocated.
class Parts {
 public:
  void add(std::string_view part) { parts_[size_++] = part; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view front() const { return parts_[0]; }
  std::string_view operator[](std::size_t i) const { return parts_[i]; }

 private:
  std::array<std::string_view, kMostParts> parts_;
  std::size_t size_ = 0;
};

/// "a/b/c" cut into at most `most` parts; the last holds the rest.
Parts cut(std::string_view p, std::size_t most) {
  Parts parts;
  while (!p.empty() && parts.size() + 1 < most) {
    const auto slash = p.find('/');
    parts.add(p.substr(0, slash));
    p = slash == std::string_view::npos ? std::string_view{} : p.substr(slash + 1);
  }
  if (!p.empty()) parts.add(p);
  return parts;
}

bool is_junk(std::string_view name) { return name == ".DS_Store" || name == "Thumbs.db" || name == "desktop.ini"; }

struct Snapshot {
  std::vector<std::pair<std::string_view, std::uint32_t>> files;  // path in the repo (the end of the entry's), entry
};

struct RepoParts {
  Repo repo;
  std::string folder;  // absolute
  std::map<std::string, Snapshot> snapshots;
  std::vector<std::pair<std::string, std::uint32_t>> refs;
  std::map<std::string, std::uint32_t> trees;  // by commit
  std::vector<std::uint32_t> blobs;            // whole ones, links among them
  std::vector<std::uint32_t> partials;
};

/// What the repos' links say of a shared payload.
struct Shared {
  std::optional<mlxbase::Digest> sha256;
  std::optional<mlxbase::Digest> git;
  bool contradicted = false;
};

class Lister {
 public:
  Lister(const Context& context, const Root& root, ListingBuilder& out) : context_(context), root_(root), out_(out) {
    const auto real = context.fs.real_path(root.path);
    real_root_ = real ? *real : root.path;
  }

  void run(Finds found) {
    for (const Found& f : found) {
      if (path::relative_to(root_.path, f.path) == std::string("blobs/") + std::string(kMarker))
        has_shared_ = f.stat.kind == FileKind::regular;
    }
    index_.reserve(found.size());
    for (; !found.empty(); found.pop_front()) {
      const std::uint32_t e = out_.add(std::move(found.front()));
      index_.emplace(at(e).path, e);  // a view: no entry moves any more
      sort_in(e);
    }
    for (auto& [name, parts] : repos_) tie_blobs(parts);
    for (auto& [name, parts] : repos_) make_models(parts);
    settle_shared();
  }

 private:
  Entry& at(std::uint32_t e) { return out_.at(e); }

  std::uint32_t keep_as(std::uint32_t e, Role role, std::string_view reason = {}) {
    Entry& entry = at(e);
    if (entry.role != Role::foreign && entry.role != Role::broken) entry.role = role;
    entry.links = catalog::kNoLinks;
    entry.links_reason = std::string(reason);
    return e;
  }
  void keep_as_foreign(std::uint32_t e, std::string_view reason) {
    Entry& entry = at(e);
    entry.role = Role::foreign;
    entry.links = catalog::kNoLinks;
    entry.links_reason = std::string(reason);
  }

  void sort_in(std::uint32_t e) {
    const std::string_view where = at(e).path;
    const auto parts = cut(path::relative_to(root_.path, where), 3);
    if (parts.empty()) return;
    const std::string_view top = parts[0];
    if (parts.size() == 1) {
      if (top == "CACHEDIR.TAG" || top == "version.txt" || is_junk(top)) {
        keep_as(e, Role::metadata);
      } else {
        keep_as_foreign(e, at(e).stat.kind == FileKind::symlink ? "a link in place of a repo; not followed" : "not of the hub cache's layout");
      }
    } else if (top == ".locks") {
      keep_as(e, Role::lock);
    } else if (top == "blobs") {
      sort_in_shared(e, parts);
    } else if (RepoParts* repo = repo_of(top)) {
      sort_in_repo(e, *repo, where.substr(static_cast<std::size_t>(top.data() + top.size() - where.data()) + 1));
    } else {
      keep_as_foreign(e, "below a folder whose name is no repo's");
    }
  }

  /// The repo that a folder's name stands for; null if none. Files come folder by folder, so the last answer is mostly the next.
  RepoParts* repo_of(std::string_view top) {
    if (top == last_top_) return last_repo_;
    auto repo = parse_repo_folder(top);
    last_top_ = top;
    last_repo_ = nullptr;
    if (!repo) return nullptr;
    auto [it, fresh] = repos_.try_emplace(repo_folder(*repo));
    if (fresh) {
      it->second.folder = path::join(root_.path, it->first);
      it->second.repo = std::move(*repo);
    }
    return last_repo_ = &it->second;
  }

  void sort_in_shared(std::uint32_t e, const Parts& parts) {
    if (!has_shared_) return keep_as_foreign(e, "blobs/ without the shared store's marker");
    if (parts.size() == 2) {
      if (parts[1] == kMarker || is_junk(parts[1])) {
        keep_as(e, Role::metadata);
      } else {
        keep_as_foreign(e, "not of the shared store's layout");
      }
      return;
    }
    const std::string_view prefix = parts[1];
    const std::string_view name = parts[2];
    const auto cut_at = name.find('.');
    if (const auto xet = parse_shared_name(prefix, name)) {
      // Clients take a payload only if it is a regular file.
      if (at(e).stat.kind != FileKind::regular) return keep_as_foreign(e, "a shared payload must be a regular file");
      at(e).role = Role::payload;
      at(e).claim = xet;
      at(e).claim_checked_by_tool = true;  // only verified xet downloads are published
      shared_.emplace(e, Shared{});
    } else if (!name.contains('/') && cut_at != std::string_view::npos && parse_shared_name(prefix, name.substr(0, cut_at))) {
      const std::string_view ending = name.substr(cut_at);
      keep_as(e, ending == ".refs" ? Role::metadata : ending == ".lock" || ending == ".lock.soft" ? Role::lock : Role::partial);
    } else {
      keep_as_foreign(e, "not of the shared store's layout");
    }
  }

  void sort_in_repo(std::uint32_t e, RepoParts& parts, std::string_view rest) {
    const auto area = cut(rest, 2);
    if (area.size() < 2) {
      if (is_junk(rest)) {
        keep_as(e, Role::metadata);
      } else {
        keep_as_foreign(e, "not of a repo's layout");
      }
      return;
    }
    const std::string_view name = area[1];
    if (area[0] == "blobs") {
      sort_in_blobs(e, parts, name);
    } else if (area[0] == "snapshots") {
      sort_in_snapshots(e, parts, name);
    } else if (area[0] == "refs") {
      const bool partial = name.ends_with(".tmp");
      keep_as(e, partial ? Role::partial : Role::metadata);
      if (!partial && at(e).stat.kind == FileKind::regular) parts.refs.emplace_back(std::string(name), e);
    } else if (area[0] == "trees") {
      const bool listing = name.ends_with(".json") && is_commit(name.substr(0, name.size() - 5));
      keep_as(e, name.ends_with(".tmp") ? Role::partial : Role::metadata);
      if (listing && at(e).stat.kind == FileKind::regular) parts.trees.emplace(std::string(name.substr(0, 40)), e);
    } else if (area[0] == ".no_exist") {
      keep_as(e, Role::metadata);
    } else {
      keep_as_foreign(e, "not of a repo's layout");
    }
  }

  void sort_in_blobs(std::uint32_t e, RepoParts& parts, std::string_view name) {
    if (name.contains('/')) return keep_as_foreign(e, "not of a repo's layout");
    if (name.ends_with(".lock")) {
      keep_as(e, Role::lock);
    } else if (is_partial_blob(name) || is_staging_name(name)) {
      parts.partials.push_back(keep_as(e, Role::partial));
    } else if (is_junk(name)) {
      keep_as(e, Role::metadata);
    } else if (at(e).stat.kind == FileKind::regular || at(e).stat.kind == FileKind::symlink) {
      if (at(e).stat.kind == FileKind::regular) {
        at(e).role = Role::payload;
        at(e).claim = claim_of_etag(name);
      }
      parts.blobs.push_back(e);
    } else {
      keep_as_foreign(e, "not a file");
    }
  }

  void sort_in_snapshots(std::uint32_t e, RepoParts& parts, std::string_view name) {
    const auto in = cut(name, 2);
    if (in.size() == 2 && is_commit(in[0])) {
      // A file of the repo may be called anything, also x.part or x.lock.
      if (at(e).stat.kind == FileKind::regular && !is_staging_name(path::file_name(name))) {
        at(e).role = Role::payload;
        at(e).links = adapter_of(root_.kind).links;
        restrict_onnx(at(e), path::file_name(name));
      }
      parts.snapshots[std::string(in[0])].files.emplace_back(in[1], e);
    } else {
      keep_as_foreign(e, "below snapshots/, but not in a commit's folder");
    }
  }

  /// Where a link leads, in names below root.path; empty if out of the root. By the text alone: the disk is not asked.
  std::string target_of(const Entry& link) const {
    std::string to = path::is_absolute(link.link_target) ? path::normal(link.link_target)
                                                         : path::normal(path::join(path::parent(link.path), link.link_target));
    if (path::is_within(root_.path, to)) return to;
    if (path::is_within(real_root_, to)) return path::join(root_.path, path::relative_to(real_root_, to));
    return {};
  }

  /// Blobs that are links into the shared store give its payloads their other name.
  void tie_blobs(RepoParts& parts) {
    for (const std::uint32_t e : parts.blobs) {
      Entry& blob = at(e);
      if (blob.stat.kind != FileKind::symlink) continue;
      const auto it = index_.find(target_of(blob));
      const auto shared = it == index_.end() ? shared_.end() : shared_.find(it->second);
      if (shared == shared_.end()) {
        if (blob.role == Role::link) {
          blob.role = Role::foreign;
          blob.links_reason = "a link that leads out of the hub's stores";
        }
        continue;
      }
      behind_.emplace(e, shared->first);
      const auto claim = claim_of_etag(path::file_name(blob.path));
      if (!claim) continue;
      auto& told = shared->second;
      if (claim->algorithm() != Algorithm::sha256) {
        if (!told.git) told.git = claim;
      } else if (!told.sha256) {
        told.sha256 = claim;
      } else if (*told.sha256 != *claim) {
        told.contradicted = true;
      }
    }
  }

  void make_models(RepoParts& parts) {
    std::map<std::string, std::string> ref_of;  // commit → name
    for (const auto& [name, e] : parts.refs) {
      const std::string where = at(e).path;
      const auto text = read_metadata(context_, root_.path, where, kRefLimit);
      const auto commit = text ? parse_ref(*text) : std::nullopt;
      if (!text) {
        out_.problem(where, text.error());
      } else if (!commit) {
        out_.problem(where, {Code::corrupt, "a ref that is no commit", 0});
      } else if (!parts.snapshots.contains(*commit)) {
        out_.problem(where, {Code::corrupt, "a ref to a revision that is not here: tools that list this cache skip the whole repo", 0});
      } else {
        ref_of.try_emplace(*commit, name);
      }
    }

    std::map<std::string, std::vector<std::uint32_t>> models_wanting;  // etag → models whose listing names it
    std::vector<std::uint32_t> models;
    for (const auto& [commit, snapshot] : parts.snapshots) {
      const auto tree = read_tree(parts, commit);
      const std::uint32_t model = out_.model({.id = parts.repo.display(), .revision = commit});
      models.push_back(model);
      if (const auto it = parts.trees.find(commit); it != parts.trees.end()) out_.join(model, it->second);
      for (const auto& [name, file] : tree) {
        if (file.claim) models_wanting[file.claim->hex()].push_back(model);
      }
      fill(model, snapshot, tree);
    }
    if (models.empty() && (!parts.blobs.empty() || !parts.partials.empty())) {
      const std::uint32_t model = out_.model({.id = parts.repo.display()});
      out_.model_at(model).incomplete = true;
      models.push_back(model);
    }
    for (const std::uint32_t e : parts.partials) {
      const auto it = models_wanting.find(std::string(etag_of_partial(path::file_name(at(e).path))));
      // Without a listing nobody can say which revision the download is for.
      for (const std::uint32_t model : it != models_wanting.end() ? it->second : models) {
        out_.join(model, e);
        out_.model_at(model).incomplete = true;
      }
    }
    for (const std::uint32_t e : parts.blobs) {
      Entry& blob = at(e);
      if (blob.role == Role::payload && blob.model < 0) blob.role = Role::orphan;
    }
  }

  std::map<std::string, TreeFile> read_tree(const RepoParts& parts, const std::string& commit) {
    const auto it = parts.trees.find(commit);
    if (it == parts.trees.end()) return {};
    const std::string where = at(it->second).path;
    const auto text = read_metadata(context_, root_.path, where);
    if (!text) {
      out_.problem(where, text.error());
      return {};
    }
    auto tree = parse_tree(*text);
    if (!tree) {
      out_.problem(where, tree.error());
      return {};
    }
    return std::move(*tree);
  }

  void fill(std::uint32_t model, const Snapshot& snapshot, const std::map<std::string, TreeFile>& tree) {
    std::vector<ViewedFile> view;
    std::uint64_t largest = 0;
    for (const auto& [name, e] : snapshot.files) {
      out_.join(model, e);
      std::uint32_t bytes = e;  // the entry that has the bytes
      if (at(e).stat.kind == FileKind::symlink) {
        const auto blob = blob_behind(model, e);
        if (!blob) {
          if (at(e).role == Role::broken) out_.model_at(model).incomplete = true;
          continue;
        }
        bytes = *blob;
      } else if (const auto listed = tree.find(std::string(name));
                 listed != tree.end() && listed->second.size == at(e).stat.size && at(e).role == Role::payload) {
        at(e).claim = listed->second.claim;
      }
      restrict_onnx(at(bytes), path::file_name(name));
      if (at(bytes).stat.kind != FileKind::regular) continue;
      view.push_back({std::string(name), at(bytes).path});
      const auto format = format_of(name);
      if (!format.empty() && (at(bytes).stat.size > largest || out_.model_at(model).format.empty())) {
        largest = at(bytes).stat.size;
        out_.model_at(model).format = std::string(format);
      }
    }
    if (lacks_indexed_shard(context_, root_.path, view, out_.problems())) out_.model_at(model).incomplete = true;
  }

  /// Follows a snapshot's link through the index, one or two steps, joining what it passes to the model.
  std::optional<std::uint32_t> blob_behind(std::uint32_t model, std::uint32_t link) {
    const std::string to = target_of(at(link));
    // root.path/<repo>/blobs, <repo> being the link's own
    const std::string_view repo = cut(path::relative_to(root_.path, at(link).path), 2).front();
    const std::string_view folder = path::parent(to);
    const bool own = path::file_name(folder) == "blobs" && path::file_name(path::parent(folder)) == repo &&
                     path::parent(path::parent(folder)) == root_.path;
    const auto it = own ? index_.find(to) : index_.end();
    if (it == index_.end()) {
      if (at(link).role == Role::link) {
        at(link).role = Role::foreign;
        at(link).links_reason = "a link that leads out of its repo";
      }
      return std::nullopt;
    }
    out_.join(model, it->second);
    if (at(it->second).stat.kind == FileKind::regular) {
      return at(it->second).role == Role::payload ? std::optional(it->second) : std::nullopt;
    }
    const auto shared = behind_.find(it->second);
    if (shared == behind_.end()) return std::nullopt;
    out_.join(model, shared->second);
    return shared->second;
  }

  void settle_shared() {
    for (const auto& [e, told] : shared_) {
      Entry& payload = at(e);
      if (payload.model < 0) payload.role = Role::orphan;
      if (told.contradicted) {
        out_.problem(payload.path, {Code::corrupt, "repos disagree on the SHA-256 of this payload", 0});
      } else if (told.sha256 || told.git) {
        payload.claim = told.sha256 ? told.sha256 : told.git;
        payload.claim_checked_by_tool = false;  // the tool checked the xet hash, not this one
      }
    }
  }

  const Context& context_;
  const Root& root_;
  ListingBuilder& out_;
  std::string real_root_;
  bool has_shared_ = false;
  std::unordered_map<std::string_view, std::uint32_t> index_;  // path (of what the walk found) → entry
  std::map<std::string, RepoParts> repos_;
  std::string_view last_top_;  // a folder beside the repos, as the walk found it
  RepoParts* last_repo_ = nullptr;
  std::map<std::uint32_t, Shared> shared_;         // payloads of the shared store
  std::map<std::uint32_t, std::uint32_t> behind_;  // blob link → shared payload
};

/// Eight hex digits made of any token.
std::string short_token(std::string_view token) {
  std::uint32_t h = 2166136261U;  // FNV-1a
  for (const char c : token) h = (h ^ static_cast<unsigned char>(c)) * 16777619U;
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (int shift = 28; shift >= 0; shift -= 4) out.push_back(kDigits[h >> static_cast<unsigned>(shift) & 0xFU]);
  return out;
}

}  // namespace

bool is_hub_top(std::string_view name) { return name == "blobs" || name == ".locks" || name == "CACHEDIR.TAG" || parse_repo_folder(name); }

void list_hub(const Context& context, const Root& root, Finds found, ListingBuilder& out) {
  Lister(context, root, out).run(std::move(found));
}

std::string hub_staging(const Root& root, const std::string& target, std::string_view token) {
  const std::string ending = "." + short_token(token) + ".incomplete";
  const auto parts = cut(path::relative_to(root.path, target), 4);
  if (parts.size() == 4 && parts[1] == "snapshots" && parse_repo_folder(parts[0])) {
    // Never a new name inside snapshots/: loaders glob there.
    return path::join(root.path, parts[0], "blobs", std::string(parts[2]) + ending);
  }
  return target + ending;
}

std::vector<LockFile> hub_locks(const Root& root, const Entry& entry) {
  const auto parts = cut(path::relative_to(root.path, entry.path), 4);
  if (parts.size() == 3 && parts[0] == "blobs") {
    // A payload's list of referrers is written under the payload's lock, too.
    constexpr std::string_view kRefs = ".refs";
    const std::string_view name = parts[2].ends_with(kRefs) ? parts[2].substr(0, parts[2].size() - kRefs.size()) : parts[2];
    if (parse_shared_name(parts[1], name)) return {{path::join(path::parent(entry.path), std::string(name) + ".lock"), 0666}};
  }
  if (parts.size() < 3 || !parse_repo_folder(parts[0])) return {};
  std::string etag;
  if (parts[1] == "blobs" && parts.size() == 3) {
    etag = std::string(parts[2]);
  } else if (parts[1] == "snapshots" && entry.claim) {
    etag = entry.claim->hex();
  }
  if (!path::is_safe_segment(etag)) return {};
  const std::string locks = path::join(root.path, ".locks", parts[0]);
  return {{path::join(locks, etag + ".lock"), 0664}, {path::join(locks, "blobs", etag + ".lock"), 0664}};
}

}  // namespace mlxcache::stores::hf
