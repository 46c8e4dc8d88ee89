#include "mlxcache/repair/upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::repair {
namespace {

namespace path = mlxbase::path;
using catalog::Entry;
using catalog::Listing;
using catalog::Model;
using catalog::Role;
using catalog::StoreKind;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;
using verify::Checked;
using verify::Verdict;

bool is_commit(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The hub's ids of these tools' models: a folder for the owner, one for the repo.
bool keeps_hub_names(StoreKind kind) { return kind == StoreKind::hf_hub || kind == StoreKind::lm_studio || kind == StoreKind::mlx || kind == StoreKind::llama_cpp; }

/// Of a file: its digest as upstream gives it.
std::optional<Digest> digest_of(const fetch::RemoteFile& file) { return file.sha256 ? file.sha256 : file.git_sha1; }

fetch::Id at_commit(const Origin& origin) {
  fetch::HubId id = std::get<fetch::HubId>(origin.id);
  id.revision = origin.commit;
  return id;
}

const fetch::RemoteFile* find_path(const fetch::Resolved& resolved, std::string_view wanted) {
  for (const auto& file : resolved.files) {
    if (file.path == wanted) return &file;
  }
  return nullptr;
}
const fetch::RemoteFile* find_digest(const fetch::Resolved& resolved, const Digest& wanted) {
  for (const auto& file : resolved.files) {
    if (file.sha256 == wanted || file.git_sha1 == wanted) return &file;
  }
  return nullptr;
}

const Digest* find(const std::vector<Digest>& digests, Algorithm algorithm) {
  for (const Digest& digest : digests) {
    if (digest.algorithm() == algorithm) return &digest;
  }
  return nullptr;
}

int badness(Standing standing) {
  switch (standing) {
    case Standing::damaged: return 0;
    case Standing::gone: return 1;
    case Standing::changed: return 2;
    case Standing::unknown: return 3;
    case Standing::ok: break;
  }
  return 4;
}

/// One file of a model: what it is called upstream, and what is known of it there.
struct Subject {
  std::string path;
  std::string remote_path;
  std::uint32_t inode = 0;
  const Listing* listing = nullptr;
  const Model* model = nullptr;
  std::optional<Digest> here;   // upstream's, for the commit that is here
  std::optional<Digest> now;    // upstream's, for what the name means now
  bool has_commit = false;      // the commit that is here could be asked for
  bool has_now = false;
  Standing settled = Standing::ok;  // told without looking at the bytes, if there is a reason
  std::string reason;
};

class Comparison {
 public:
  Comparison(const catalog::Inventory& inventory, const verify::Options& options, Upstream& upstream)
      : inventory_(inventory), options_(options), upstream_(upstream) {
    for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
      for (const catalog::NameRef name : inventory.inodes[i].names) inode_of_.emplace(inventory.entry(name).path, i);
    }
  }

  mlxbase::Status ask_all() {
    for (const Listing& listing : inventory_.listings) {
      for (const Model& model : listing.models) {
        if (!options_.models.empty() && std::find(options_.models.begin(), options_.models.end(), model.id) == options_.models.end()) continue;
        TRY(ask(listing, model));
      }
    }
    return {};
  }

  std::vector<std::pair<std::uint32_t, Algorithm>> to_measure() const {
    std::set<std::pair<std::uint32_t, Algorithm>> out;
    for (const Subject& s : subjects_) {
      for (const auto& digest : {s.here, s.now}) {
        if (digest) out.emplace(s.inode, digest->algorithm());
      }
    }
    return {out.begin(), out.end()};
  }

  void judge(UpstreamReport& out) const {
    std::map<std::uint32_t, const Checked*> by_inode;
    for (const Checked& c : out.verified.files) by_inode.emplace(c.inode, &c);
    for (const Subject& s : subjects_) {
      const auto checked = by_inode.find(s.inode);
      out.files.push_back(judged(s, checked == by_inode.end() ? nullptr : checked->second));
    }
    std::stable_sort(out.files.begin(), out.files.end(), [](const ComparedFile& a, const ComparedFile& b) {
      return std::tuple(badness(a.standing), std::string_view(a.path)) < std::tuple(badness(b.standing), std::string_view(b.path));
    });
    out.models = models_;
  }

 private:
  mlxbase::Status ask(const Listing& listing, const Model& model) {
    ComparedModel out;
    out.model = model.id;
    out.store = stores::adapter_of(listing.root.kind).name;
    std::vector<Subject> found = files_of(listing, model);
    const auto origin = origin_of(listing.root, model);
    if (!origin) {
      out.problem = "its store does not tell where it came from";
      for (Subject& s : found) s.settled = Standing::unknown, s.reason = out.problem;
    } else {
      out.id = fetch::shown(origin->id);
      out.commit = origin->commit;
      TRY(ask(*origin, out, found));
    }
    models_.push_back(std::move(out));
    subjects_.insert(subjects_.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
    return {};
  }

  mlxbase::Status ask(const Origin& origin, ComparedModel& out, std::vector<Subject>& found) {
    const fetch::Resolved* here = nullptr;
    if (!origin.commit.empty()) {
      const auto& answer = upstream_.ask(at_commit(origin));
      if (!answer) return not_told(answer.error(), out, found);
      here = &*answer;
    }
    const auto& now = upstream_.ask(origin.id);
    if (!now && here == nullptr) return not_told(now.error(), out, found);
    if (!now && (now.error().code == Code::cancelled || now.error().code == Code::unsupported)) return fail(now.error());
    if (now) out.head = now->commit;
    if (!now) out.problem = now.error().message;
    out.moved = here != nullptr && now && now->commit != origin.commit;
    const bool registry = std::holds_alternative<fetch::OllamaId>(origin.id);
    for (Subject& s : found) {
      const auto file_in = [&](const fetch::Resolved& r) {
        if (!registry) return find_path(r, s.remote_path);
        const auto& claim = inventory_.inodes[s.inode].claim;
        return claim ? find_digest(r, *claim) : nullptr;
      };
      const auto note = [&](const fetch::Resolved& r, std::optional<Digest>& digest) {
        if (const auto* file = file_in(r)) digest = digest_of(*file);
      };
      if (here != nullptr) note(*here, s.here), s.has_commit = true;
      if (now) note(*now, s.now), s.has_now = true;
      if (registry && s.has_now && !s.now) {
        s.settled = Standing::changed;
        s.reason = "the name means another manifest now, without this file";
      }
    }
    return {};
  }

  /// A server that says "not here" has told; one that did not answer has not.
  static mlxbase::Status not_told(const mlxbase::Error& error, ComparedModel& out, std::vector<Subject>& found) {
    if (error.code == Code::cancelled || error.code == Code::unsupported) return fail(error);
    out.problem = error.message;
    for (Subject& s : found) {
      s.settled = error.code == Code::not_found ? Standing::gone : Standing::unknown;
      s.reason = error.message;
    }
    return {};
  }

  /// What of the model has a name upstream.
  std::vector<Subject> files_of(const Listing& listing, const Model& model) const {
    std::vector<Subject> out;
    for (const std::uint32_t index : model.entries) {
      const Entry& entry = listing.entries[index];
      if (entry.role != Role::payload && entry.role != Role::link && entry.role != Role::metadata) continue;
      Subject s;
      s.path = entry.path;
      s.listing = &listing;
      s.model = &model;
      s.remote_path = remote_path(listing.root, model, entry);
      if (s.remote_path.empty()) continue;
      const auto at = inode_of_.find(entry.role == Role::link ? path::normal(path::join(path::parent(entry.path), entry.link_target)) : entry.path);
      if (at == inode_of_.end()) continue;
      s.inode = at->second;
      out.push_back(std::move(s));
    }
    return out;
  }

  static std::string remote_path(const catalog::Root& root, const Model& model, const Entry& entry) {
    if (root.kind == StoreKind::ollama) return std::string(path::file_name(entry.path));
    if (root.kind == StoreKind::hf_hub) {
      const std::string folder = "/snapshots/" + model.revision + "/";
      const auto at = entry.path.find(folder);
      return at == std::string::npos ? std::string() : entry.path.substr(at + folder.size());
    }
    const std::string folder = path::join(root.path, model.id);
    return path::is_within(folder, entry.path) ? std::string(path::relative_to(folder, entry.path)) : std::string();
  }

  ComparedFile judged(const Subject& s, const Checked* checked) const {
    ComparedFile out;
    out.path = s.path;
    out.store = stores::adapter_of(s.listing->root.kind).name;
    out.model = s.model->id;
    out.remote_path = s.remote_path;
    out.expected = s.here ? s.here : s.now;
    const auto is = [&](Standing standing, std::string reason) {
      out.standing = standing;
      out.reason = std::move(reason);
      return out;
    };
    if (checked != nullptr && checked->verdict == Verdict::damaged && checked->claimed) {
      out.expected = checked->claimed;
      out.measured = checked->measured;
      return is(Standing::damaged, "not what its store says");
    }
    if (!s.reason.empty()) return is(s.settled, s.reason);
    if (checked == nullptr || checked->verdict == Verdict::unreadable) return is(Standing::unknown, checked == nullptr ? "it was not read" : checked->reason);
    const auto measured = [&](const std::optional<Digest>& wanted) { return wanted ? find(checked->digests, wanted->algorithm()) : nullptr; };
    const auto differs = [&](const std::optional<Digest>& wanted) {
      const Digest* have = measured(wanted);
      return have == nullptr || *have != *wanted;
    };
    if (const Digest* have = measured(out.expected)) out.measured = *have;
    if (s.has_commit) {
      if (!s.here) return is(Standing::gone, "upstream has no such file in this commit");
      if (differs(s.here)) {
        const bool store_agrees = checked->verdict == Verdict::intact;
        return store_agrees ? is(Standing::changed, "upstream gives another digest for this very commit than the store does")
                            : is(Standing::damaged, "not what upstream has for this commit");
      }
      if (!s.has_now) return is(Standing::ok, "");
      if (!s.now) return is(Standing::gone, "it is not in what the name means now");
      if (*s.now != *s.here) return is(Standing::changed, "upstream has other bytes now");
      return is(Standing::ok, "");
    }
    if (!s.now) return is(Standing::gone, "upstream has no such file");
    if (!differs(s.now)) return is(Standing::ok, "");
    return is(Standing::changed, "other bytes than upstream has; nothing here tells which of both was changed");
  }

  const catalog::Inventory& inventory_;
  const verify::Options& options_;
  Upstream& upstream_;
  std::map<std::string, std::uint32_t> inode_of_;
  std::vector<ComparedModel> models_;
  std::vector<Subject> subjects_;
};

}  // namespace

std::string_view to_string(Standing standing) {
  switch (standing) {
    case Standing::ok: return "ok";
    case Standing::damaged: return "damaged";
    case Standing::changed: return "changed_upstream";
    case Standing::gone: return "gone_upstream";
    case Standing::unknown: return "unknown";
  }
  return "unknown";
}

std::optional<Origin> origin_of(const catalog::Root& root, const Model& model) {
  Origin out;
  if (root.kind == StoreKind::ollama) {
    auto id = fetch::parse_id("ollama:" + model.id);
    if (!id) return std::nullopt;
    out.id = *std::move(id);
    return out;
  }
  if (!keeps_hub_names(root.kind) || model.id.find('@') != std::string::npos) return std::nullopt;
  auto id = fetch::parse_id("hf:" + model.id);
  const auto* hub = id ? std::get_if<fetch::HubId>(&*id) : nullptr;
  if (hub == nullptr || !hub->file.empty() || hub->repo != model.id) return std::nullopt;
  if (root.kind != StoreKind::hf_hub && hub->repo.find('/') == std::string::npos) return std::nullopt;  // any folder's name
  if (root.kind == StoreKind::hf_hub && is_commit(model.revision)) out.commit = model.revision;
  out.id = *std::move(id);
  return out;
}

const Result<fetch::Resolved>& Upstream::ask(const fetch::Id& id) {
  const std::string key = fetch::to_string(id);
  auto at = asked_.find(key);
  if (at == asked_.end()) at = asked_.emplace(key, resolver_.resolve(id, {})).first;
  return at->second;
}

Result<Offer> Upstream::find(const Listing& listing, std::string_view model, const Digest& claimed) {
  std::optional<mlxbase::Error> last;
  bool known = false;
  for (const Model& m : listing.models) {
    if (m.id != model) continue;
    const auto origin = origin_of(listing.root, m);
    if (!origin) continue;
    known = true;
    std::vector<fetch::Id> ids;
    if (!origin->commit.empty()) ids.push_back(at_commit(*origin));
    ids.push_back(origin->id);
    for (const auto& id : ids) {
      const auto& answer = ask(id);
      if (!answer) {
        if (answer.error().code == Code::cancelled) return fail(answer.error());
        last = answer.error();
        continue;
      }
      if (const auto* file = find_digest(*answer, claimed)) return Offer{*file, answer->credential, fetch::shown(id)};
    }
  }
  if (!known) return fail(Code::not_found, "its store does not tell where it came from");
  if (last) return fail(*last);
  return fail(Code::not_found, "upstream has these bytes no more");
}

Result<UpstreamReport> compare_upstream(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory,
                                        const verify::Options& options, Upstream& upstream, mlxbase::Clock& clock, mlxbase::Progress& progress) {
  Comparison comparison(inventory, options, upstream);
  progress.stage("asking upstream", 0, false);
  TRY(comparison.ask_all());
  verify::Options wanted = options;
  wanted.also = comparison.to_measure();
  UpstreamReport out;
  out.verified = TRY(verify::verify(context, catalog, inventory, wanted, clock, progress));
  comparison.judge(out);
  return out;
}

}  // namespace mlxcache::repair
