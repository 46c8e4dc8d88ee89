#include <algorithm>
#include <set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/fetch/download_state.h"
#include "mlxcache/pull/downloads_folder.h"
#include "mlxcache/pull/match.h"
#include "mlxcache/pull/pull.h"
#include "mlxcache/pull/source.h"

namespace mlxcache::pull {
namespace {

namespace path = mlxbase::path;
using catalog::StoreKind;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

std::optional<StoreKind> own_store(const fetch::Id& id) {
  if (std::holds_alternative<fetch::HubId>(id)) return StoreKind::hf_hub;
  if (std::holds_alternative<fetch::OllamaId>(id)) return StoreKind::ollama;
  return std::nullopt;
}

/// The kinds to publish into, the id's own store first, each once.
Result<std::vector<StoreKind>> kinds_for(const fetch::Id& id, const catalog::Inventory& inventory, const Options& options) {
  std::vector<StoreKind> kinds;
  const auto add = [&kinds](StoreKind kind) {
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
  };
  if (const auto own = own_store(id)) add(*own);
  for (const StoreKind kind : options.to) add(kind);
  if (options.to_all) {
    for (const catalog::Listing& listing : inventory.listings) {
      if (stores::adapter_of(listing.root.kind).publish != nullptr) add(listing.root.kind);
    }
  }
  if (kinds.empty()) return fail(Code::invalid, fetch::shown(id) + ": an address belongs to no tool; --to says which one gets the file");
  return kinds;
}

/// What a target would refuse is said before anything is downloaded for it. What only the bytes can tell, it says later.
mlxbase::Status ask_targets(const stores::Context& context, Plan& plan) {
  const stores::ModelSource source = source_before_download(plan);
  std::vector<publish::Target> willing;
  for (const publish::Target& target : plan.targets) {
    const stores::Adapter& adapter = stores::adapter_of(target.root.kind);
    const bool own = own_store(plan.resolved.id) == target.root.kind;
    const auto publication = adapter.publish(context, target.root, own ? source : source_for_others(source, plan.resolved));
    const bool refuses = !publication && (publication.error().code == Code::unsupported || publication.error().code == Code::invalid);
    if (!refuses) {
      willing.push_back(target);
    } else if (own) {
      return fail(publication.error());
    } else {
      plan.refused.push_back({target.root.kind, publication.error().message});
    }
  }
  if (willing.empty()) return fail(Code::unsupported, plan.refused.front().reason);
  plan.targets = std::move(willing);
  return {};
}

/// How much of it an earlier run left behind, by the state that it kept.
std::uint64_t resumable(mlxbase::os::FileSystem& fs, const std::string& folder, const fetch::RemoteFile& remote) {
  const auto& digest = remote.sha256 ? remote.sha256 : remote.git_sha1;
  if (!digest) return 0;
  if (const auto whole = fs.stat(path::join(folder, digest->hex())); whole && whole->size == remote.size) return remote.size;
  const auto text = mlxbase::os::read_small_file(fs, path::join(folder, digest->hex() + ".state"), fetch::max_state_bytes(remote.size), mlxbase::os::Follow::no);
  const auto state = text ? fetch::parse_state(mlxbase::as_bytes(*text)) : Result<fetch::DownloadState>(fail(Code::not_found, ""));
  if (!state || state->size != remote.size || state->digest != *digest) return 0;
  std::uint64_t have = 0;
  for (const auto& piece : state->pieces) have += piece.have;
  return std::min(have, remote.size);
}

}  // namespace

Result<Plan> make_plan(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, const fetch::Endpoints& endpoints,
                       const catalog::Inventory& inventory, const fetch::Id& id, const Options& options) {
  const stores::Context& context = machinery.context;
  const auto kinds = TRY(kinds_for(id, inventory, options));
  Plan plan;
  for (const StoreKind kind : kinds) {
    auto target = publish::target_of(context, inventory, kind);
    if (target) {
      plan.targets.push_back(*std::move(target));
    } else if (kind == kinds.front()) {
      return fail(std::move(target).error());
    } else {
      plan.refused.push_back({kind, target.error().message});
    }
  }
  plan.resolved = TRY(fetch::Resolver(client, endpoints, machinery.cancel, machinery.clock, options.download.retry).resolve(id, options.selection));
  const catalog::Root& first = plan.targets.front().root;
  plan.downloads_folder = downloads_folder(context, machinery.home, first);
  const Matcher matcher(inventory, catalog);
  std::set<std::string> counted;  // two names of the same bytes are downloaded once
  for (const fetch::RemoteFile& remote : plan.resolved.files) {
    PlannedFile file;
    file.remote = remote;
    file.locals = matcher.find(remote, first.path);
    const auto& digest = remote.sha256 ? remote.sha256 : remote.git_sha1;
    if (!file.locals.empty()) {
      plan.here_bytes += remote.size;
    } else {
      file.resumable_bytes = resumable(context.fs, plan.downloads_folder, remote);
      if (digest && counted.insert(digest->hex()).second) plan.download_bytes += remote.size - file.resumable_bytes;
    }
    plan.files.push_back(std::move(file));
  }
  const auto volume = context.fs.volume(existing_folder(context.fs, plan.downloads_folder), false);
  if (volume) plan.free_bytes = volume->free_bytes;
  plan.fits = !volume || plan.download_bytes <= plan.free_bytes;
  if (auto ok = ask_targets(context, plan); !ok) return fail(std::move(ok).error());
  return plan;
}

}  // namespace mlxcache::pull
