#include "mlxcache/fetch/hub.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/fetch/header_values.h"
#include "mlxcache/fetch/hub_answers.h"
#include "mlxcache/fetch/names.h"
#include "mlxcache/fetch/quant.h"
#include "mlxcache/fetch/select.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::net::percent_encode;
using mlxbase::net::Request;
using mlxbase::net::Response;
using mlxbase::net::Url;

constexpr std::size_t kMostPages = 2000;
constexpr std::size_t kMostFiles = 300'000;

/// One resolution: the id, the endpoint, and how refusals are told.
class Resolution {
 public:
  Resolution(Asker& asker, const Endpoints& endpoints, const HubId& id) : asker_(asker), endpoints_(endpoints), id_(id) {}

  Result<ModelInfo> info();
  Result<std::vector<TreeRow>> tree(const std::string& commit);
  mlxbase::Status may_download(const RemoteFile& file);
  Result<Url> file_url(const std::string& commit, std::string_view path) const { return at("/" + id_.repo + "/resolve/" + commit + "/" + percent_encode(path, "/")); }
  Error refusal(const Response& response) const;
  /// Address of a page for people.
  std::string page() const { return base() + "/" + id_.repo; }

 private:
  std::string base() const { return endpoints_.hub.origin() + (endpoints_.hub.path() == "/" ? "" : endpoints_.hub.path()); }
  /// Every address is built from the endpoint, so that a mirror is asked for everything.
  Result<Url> at(const std::string& rest) const { return Url::parse(base() + rest); }
  Request request(Url url) const {
    Request out;
    out.url = std::move(url);
    out.credential = endpoints_.hub_credential;
    out.redirects = mlxbase::net::Redirects::same_origin;  // a renamed repo answers with its new name
    out.max_body = kLargestPage;
    return out;
  }
  const mlxbase::net::Secret* secret() const { return endpoints_.hub_credential ? &endpoints_.hub_credential->bearer : nullptr; }

  Asker& asker_;
  const Endpoints& endpoints_;
  const HubId& id_;
};

Error Resolution::refusal(const Response& response) const {
  const int status = response.head.status;
  const std::string code = find_header(response.head.headers, "X-Error-Code").value_or("");
  const std::string said = said_by_server(response, secret());
  const bool token = endpoints_.hub_credential.has_value();
  const std::string log_in = token ? "the token that is set here has no access to it" : "if it is private, log in with `hf auth login` or set HF_TOKEN";
  if (code == "GatedRepo") {
    return {Code::permission, id_.repo + " is gated: its terms must be accepted at " + page() + (token ? "; the token that is set here has not done so"
                                                                                                       : ", then log in with `hf auth login` or set HF_TOKEN"), 0};
  }
  if (code == "RevisionNotFound") {
    return {Code::not_found, id_.repo + " has no branch, tag or commit '" + printable(id_.revision) + "'; see " + page() + "/tree/main", 0};
  }
  if (code == "EntryNotFound") return {Code::not_found, id_.repo + " has no such file at " + printable(id_.revision), 0};
  if (status == 403 && said.contains("disabled")) return {Code::permission, id_.repo + ": the hub has disabled this repo", 0};
  if (code == "RepoNotFound" || status == 401 || status == 404) {
    return {status == 404 || !token ? Code::not_found : Code::permission, id_.repo + ": no such model at " + base() + "; look at the spelling; " + log_in, 0};
  }
  if (status == 403) return {Code::permission, id_.repo + ": " + base() + " refuses" + (said.empty() ? "" : " (" + said + ")") + "; " + log_in, 0};
  return unexpected_status(response, id_.repo, secret());
}

Result<ModelInfo> Resolution::info() {
  const Url url = TRY(at("/api/models/" + id_.repo + "/revision/" + percent_encode(id_.revision)));
  const Response response = TRY(asker_.ask(request(url)));
  if (response.head.status != 200) return fail(refusal(response));
  auto info = parse_model_info(response.body);
  if (!info) return fail(Code::corrupt, url.origin() + " does not answer like a hub: " + info.error().message + "; HF_ENDPOINT says where the hub is");
  if (info->disabled) return fail(Code::permission, id_.repo + ": the hub has disabled this repo");
  return info;
}

Result<std::vector<TreeRow>> Resolution::tree(const std::string& commit) {
  Url url = TRY(at("/api/models/" + id_.repo + "/tree/" + commit + "?recursive=true&expand=false"));
  std::vector<TreeRow> rows;
  std::set<std::string> seen;
  for (std::size_t pages = 0;; ++pages) {
    if (pages >= kMostPages || !seen.insert(url.text()).second) return fail(Code::corrupt, id_.repo + ": the hub's list of files does not end");
    const Response response = TRY(asker_.ask(request(url)));
    if (response.head.status != 200) return fail(refusal(response));
    auto page = parse_tree_page(response.body);
    if (!page) return fail(Code::corrupt, id_.repo + ": " + page.error().message);
    std::move(page->begin(), page->end(), std::back_inserter(rows));
    if (rows.size() > kMostFiles) return fail(Code::corrupt, id_.repo + ": the hub lists more than 300,000 files");
    const auto link = find_header(response.head.headers, "Link");
    const auto next = link ? next_link(*link) : std::nullopt;
    if (!next) return rows;
    auto resolved = response.head.url.resolve(*next);
    if (!resolved || !resolved->same_origin(endpoints_.hub)) {
      return fail(Code::corrupt, id_.repo + ": the next page of its list of files would be at " + (resolved ? resolved->origin() : "no address") +
                                     ", not at " + endpoints_.hub.origin() + "; it is not followed");
    }
    url = *std::move(resolved);
  }
}

/// The list of a gated repo is public, its files are not: asked once, so that the refusal comes with the page to visit, and before anything is planned.
mlxbase::Status Resolution::may_download(const RemoteFile& file) {
  Request asked = request(file.url);
  asked.method = "HEAD";
  asked.redirects = mlxbase::net::Redirects::none;
  const Response response = TRY(asker_.ask(asked));
  if (response.head.status == 401 || response.head.status == 403) return fail(refusal(response));
  return {};
}

/// Paths must be apart: none twice, none both file and folder.
mlxbase::Status check_apart(const std::vector<TreeRow>& rows, const std::string& repo) {
  std::set<std::string_view> paths;
  for (const TreeRow& row : rows) {
    if (!paths.insert(row.path).second) return fail(Code::corrupt, repo + ": its list of files names '" + printable(row.path) + "' twice");
  }
  for (const TreeRow& row : rows) {
    for (auto slash = row.path.find('/'); slash != std::string::npos; slash = row.path.find('/', slash + 1)) {
      if (paths.contains(std::string_view(row.path).substr(0, slash))) {
        return fail(Code::corrupt, repo + ": in its list of files '" + printable(row.path.substr(0, slash)) + "' is both a file and a folder");
      }
    }
  }
  return {};
}

RemoteFile file_of(const TreeRow& row) {
  RemoteFile out;
  out.path = row.path;
  out.size = row.size;
  out.sha256 = row.lfs;
  if (!row.lfs) out.git_sha1 = row.oid;
  out.xet = row.xet;
  out.lfs = row.lfs.has_value();
  return out;
}

Result<std::vector<RemoteFile>> one_file(const std::vector<RemoteFile>& all, const HubId& id) {
  for (const RemoteFile& file : all) {
    if (file.path == id.file) return std::vector<RemoteFile>{file};
  }
  std::string near;
  const std::string_view name = mlxbase::path::file_name(id.file);
  for (const RemoteFile& file : all) {
    if (mlxbase::path::file_name(file.path) == name || file.path.starts_with(id.file + "/")) near = file.path;
  }
  return fail(Code::not_found, id.repo + " has no file '" + printable(id.file) + "'" + (near.empty() ? "" : "; it has '" + printable(near) + "'"));
}

std::string quant_note(const std::vector<RemoteFile>& files) {
  std::vector<std::string> paths;
  for (const RemoteFile& file : files) paths.push_back(file.path);
  const auto quants = quants_of(paths);
  if (quants.size() < 2) return {};
  constexpr std::size_t kShown = 30;
  std::string out = "all " + std::to_string(quants.size()) + " quantisations of this repo are meant; one is chosen with --quant:";
  for (std::size_t i = 0; i < std::min(quants.size(), kShown); ++i) out += (i == 0 ? " " : ", ") + quants[i];
  return out + (quants.size() > kShown ? ", …" : "");
}

}  // namespace

Result<Resolved> resolve_hub(Asker& asker, const Endpoints& endpoints, const HubId& id, const Selection& selection) {
  if (!id.file.empty() && (!selection.include.empty() || !selection.exclude.empty() || !selection.quant.empty())) {
    return fail(Code::invalid, shown(Id{id}) + " is one file already: --include, --exclude and --quant choose among a repo's files");
  }
  Resolution resolution(asker, endpoints, id);
  const ModelInfo info = TRY(resolution.info());
  std::vector<TreeRow> rows = TRY(resolution.tree(info.commit));
  if (auto ok = check_apart(rows, id.repo); !ok) return fail(std::move(ok).error());

  std::vector<RemoteFile> all;
  bool all_safe = true;
  for (const TreeRow& row : rows) {
    if (is_repo_path(row.path)) {
      all.push_back(file_of(row));
      continue;
    }
    all_safe = false;
    if (id.file.empty() && selection.quant.empty() && lets_through(selection, row.path)) {
      return fail(Code::corrupt, id.repo + " has a file whose name cannot be written here: '" + printable(row.path.substr(0, 200)) +
                                     "'; leave it out with --exclude");
    }
  }
  Resolved out;
  out.id = id;
  out.commit = info.commit;
  out.files = id.file.empty() ? TRY(select(all, selection)) : TRY(one_file(all, id));
  out.complete_listing = all_safe && out.files.size() == all.size();
  if (out.complete_listing) out.listing_json = tree_json(rows);
  out.credential = endpoints.hub_credential;
  for (RemoteFile& file : out.files) file.url = TRY(resolution.file_url(info.commit, file.path));
  if (info.gated) {
    const auto weights = std::find_if(out.files.begin(), out.files.end(), [](const RemoteFile& file) { return file.lfs; });  // a README is never gated
    if (auto ok = resolution.may_download(weights == out.files.end() ? out.files.front() : *weights); !ok) return fail(std::move(ok).error());
  }
  if (std::string note = quant_note(out.files); !note.empty()) out.notes.push_back(std::move(note));
  return out;
}

}  // namespace mlxcache::fetch
