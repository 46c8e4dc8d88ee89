#include <algorithm>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/hf_layout.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/hf_publish.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::hf {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::uint64_t kRefLimit = 4096;
constexpr std::uint64_t kRefsLimit = std::uint64_t{4} << 20U;  // a payload's referrers, a line each
constexpr std::string_view kRefsEnding = ".refs";

class Remover {
 public:
  Remover(const Context& context, const Listing& listing, std::uint32_t model)
      : context_(context), listing_(listing), root_(listing.root.path), model_(model), out_(context, listing, model) {}

  mlxbase::Result<Removal> run() {
    TRY(find_repo());
    bool others = false;
    for (std::uint32_t m = 0; m < listing_.models.size(); ++m) others = others || (m != model_ && listing_.models[m].id == of().id && !listing_.models[m].revision.empty());
    TRY(refuse_if_busy(!others));
    if (others) {
      TRY(take_revision());
    } else {
      TRY(take_repo());
    }
    TRY(let_shared_payloads_go());
    return out_.finish(others ? path::join(folder_, "snapshots", of().revision) : folder_);
  }

 private:
  const catalog::Model& of() const { return listing_.models[model_]; }
  const Entry& entry(std::uint32_t e) const { return listing_.entries[e]; }
  /// Below the repo's folder; empty if the entry is not.
  std::string_view inside(const Entry& e) const { return path::is_within(folder_, e.path) ? path::relative_to(folder_, e.path) : std::string_view{}; }

  mlxbase::Status find_repo() {
    for (const std::uint32_t e : of().entries) {
      const std::string_view relative = path::relative_to(root_, entry(e).path);
      const std::string top(relative.substr(0, relative.find('/')));
      const auto repo = parse_repo_folder(top);
      if (!repo || repo->display() != of().id) continue;
      folder_ = path::join(root_, top);
      break;
    }
    if (folder_.empty()) {
      // No snapshot and no partial: blobs alone. The folder's name follows from the id.
      std::string_view id = of().id;
      Repo repo{"models", std::string(id)};
      for (const std::string_view type : {"datasets", "spaces", "kernels"}) {
        if (id.starts_with(std::string(type) + "/")) repo = {std::string(type), std::string(id.substr(type.size() + 1))};
      }
      if (!is_repo_id(repo.id)) return mlxbase::fail(Code::invalid, "no repo has the id " + mlxbase::printable(id));
      folder_ = path::join(root_, repo_folder(repo));
    }
    for (std::uint32_t e = 0; e < listing_.entries.size(); ++e) {
      if (path::is_within(folder_, entry(e).path)) repo_.push_back(e);
    }
    return {};
  }

  mlxbase::Status refuse_if_busy(bool whole) const {
    for (const std::uint32_t e : repo_) {
      if (entry(e).role != Role::partial || is_staging_name(path::file_name(entry(e).path))) continue;
      if (!whole && std::find(of().entries.begin(), of().entries.end(), e) == of().entries.end()) continue;
      TRY(refuse_if_written(context_, entry(e)));
      const auto etag = etag_of_partial(path::file_name(entry(e).path));
      if (etag.empty()) continue;
      Entry blob;
      blob.path = path::join(folder_, "blobs", etag);
      for (const LockFile& lock : hub_locks(listing_.root, blob)) TRY(refuse_if_locked(context_, lock));
    }
    return {};
  }

  /// In the order in which it must go, the reverse of coming.
  enum class Step : std::uint8_t { ref, listing, snapshot, absent, blob, rest };
  Step step_of(std::uint32_t e) const {
    const std::string_view in = inside(entry(e));
    if (in.starts_with("refs/")) return Step::ref;
    if (in.starts_with("trees/")) return Step::listing;
    if (in.starts_with("snapshots/")) return Step::snapshot;
    if (in.starts_with(".no_exist/")) return Step::absent;
    if (in.starts_with("blobs/")) return Step::blob;
    return Step::rest;
  }

  /// The others of its repo stay.
  mlxbase::Status take_revision() {
    const std::string& commit = of().revision;
    std::vector<std::uint32_t> mine;
    for (const std::uint32_t e : repo_) {
      const std::string_view in = inside(entry(e));
      const bool part = in.starts_with("snapshots/" + commit + "/") || in.starts_with(".no_exist/" + commit + "/") || in == "trees/" + commit + ".json" ||
                        (step_of(e) == Step::ref && names_commit(e, commit));
      const bool joined = step_of(e) == Step::blob && std::find(of().entries.begin(), of().entries.end(), e) != of().entries.end();
      if (part || joined) mine.push_back(e);
    }
    return take(std::move(mine));
  }

  mlxbase::Status take_repo() { return take(repo_); }

  mlxbase::Status take(std::vector<std::uint32_t> entries) {
    std::stable_sort(entries.begin(), entries.end(), [&](std::uint32_t a, std::uint32_t b) { return step_of(a) < step_of(b); });
    for (const std::uint32_t e : entries) {
      // A link that leads nowhere in this repo is still a name of the snapshot.
      if (entry(e).role == Role::foreign && entry(e).stat.kind == FileKind::symlink && step_of(e) == Step::snapshot) {
        out_.take_name(entry(e).path);
        continue;
      }
      TRY(out_.take(e));
    }
    return {};
  }

  bool names_commit(std::uint32_t e, const std::string& commit) const {
    if (entry(e).stat.kind != FileKind::regular) return false;
    const auto text = mlxbase::os::read_small_file(context_.fs, entry(e).path, kRefLimit, Follow::no);
    return text && parse_ref(*text) == commit;
  }

  /// §2.5: our line goes from the list of referrers; with the last valid line the payload goes, too.
  mlxbase::Status let_shared_payloads_go() {
    std::set<std::uint32_t> payloads;
    for (std::uint32_t e = 0; e < listing_.entries.size(); ++e) {
      const Entry& candidate = entry(e);
      if (candidate.role == Role::payload && candidate.stat.kind == FileKind::regular && is_shared(candidate.path) &&
          std::find(of().entries.begin(), of().entries.end(), e) != of().entries.end()) {
        payloads.insert(e);
      }
    }
    for (const std::uint32_t e : payloads) TRY(let_go(e));
    return {};
  }

  bool is_shared(const std::string& file) const {
    const std::string_view relative = path::relative_to(root_, file);
    return relative.starts_with("blobs/") && path::is_within(path::join(root_, "blobs"), file) &&
           parse_shared_name(path::file_name(path::parent(file)), path::file_name(file)).has_value();
  }

  mlxbase::Status let_go(std::uint32_t payload) {
    const std::string& file = entry(payload).path;
    const std::string refs = file + std::string(kRefsEnding);
    const auto stat = context_.fs.stat(refs);
    const auto text = stat && stat->kind == FileKind::regular ? mlxbase::os::read_small_file(context_.fs, refs, kRefsLimit, Follow::no)
                                                               : mlxbase::Result<std::string>(mlxbase::fail(Code::not_found, "no list of referrers"));
    // The clients never collect a payload whose list they cannot read, and neither do we.
    if (!text) {
      out_.keep(file, "its list of referrers cannot be read");
      return {};
    }
    std::string left;
    bool valid = false, ours = false;
    for (std::string_view rest = *text; !rest.empty();) {
      const auto end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest = rest.substr(std::min(end + 1, rest.size()));
      if (goes(line)) {
        ours = true;
        continue;
      }
      left += std::string(line) + "\n";
      valid = valid || refers(line, file);
    }
    if (out_.needed_elsewhere(payload) || valid) {
      if (valid) out_.keep(file, "another repo of the cache refers to it");
      if (ours) rewrite(refs, std::move(left), *stat);
      return {};
    }
    TRY(out_.take(payload));
    out_.take_name(refs);
    return {};
  }

  /// Whether the line is of a blob that goes with us.
  bool goes(std::string_view line) const { return path::is_safe_relative(line) && out_.taken(path::join(root_, line)); }

  /// Whether the line is "<type>s--…/blobs/<name>" and a link there leads to the payload.
  bool refers(std::string_view line, const std::string& payload) const {
    if (!path::is_safe_relative(line) || std::count(line.begin(), line.end(), '/') != 2) return false;
    const std::string blob = path::join(root_, line);
    if (path::file_name(path::parent(blob)) != "blobs" || !parse_repo_folder(line.substr(0, line.find('/')))) return false;
    const auto stat = context_.fs.stat(blob);
    if (!stat || stat->kind != FileKind::symlink) return false;
    const auto to = context_.fs.real_path(blob);
    const auto real = context_.fs.real_path(payload);
    return to && real && *to == *real;
  }

  void rewrite(const std::string& refs, std::string content, const mlxbase::os::FileStat& stat) {
    NewName name;
    name.what = NewName::What::text;
    name.path = refs;
    name.content = std::move(content);
    name.mode = stat.mode;
    name.replaces = true;
    name.expected = catalog::fingerprint_of(stat);
    out_.rewrite(std::move(name));
  }

  const Context& context_;
  const Listing& listing_;
  const std::string& root_;
  std::uint32_t model_;
  RemovalBuilder out_;
  std::string folder_;               // the repo's, absolute
  std::vector<std::uint32_t> repo_;  // entries below it
};

}  // namespace

mlxbase::Result<Removal> remove_from_hub(const Context& context, const Listing& listing, std::uint32_t model) {
  TRY(model_of(listing, model));
  return Remover(context, listing, model).run();
}

}  // namespace mlxcache::stores::hf
