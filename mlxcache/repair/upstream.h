#pragma once
// What is here against what the hub or registry says now that it came from. Lists are asked for, never payload.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/net/http.h"
#include "mlxbase/net/retry.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/verify/verify.h"

namespace mlxcache::repair {

/// Where a model came from, as far as its store tells: the id to ask for, and the commit that is here (hub caches; else empty).
struct Origin {
  fetch::Id id;        // of what its name means now
  std::string commit;
};
std::optional<Origin> origin_of(const catalog::Root& root, const catalog::Model& model);

/// A file that a server has under a digest that was looked for.
struct Offer {
  fetch::RemoteFile file;
  std::optional<mlxbase::net::Credential> credential;
  std::string from;    // "hf:org/name@<commit>", for people
};

/// Asks each server each thing once.
class Upstream {
 public:
  Upstream(mlxbase::net::Client& client, const fetch::Endpoints& endpoints, const mlxbase::Cancel* cancel, mlxbase::Clock& clock,
           mlxbase::net::RetryPolicy retry = {})
      : resolver_(client, endpoints, cancel, clock, retry), client_(client), retry_(retry) {}

  /// All files of the id. Errors: as fetch::Resolver::resolve.
  const mlxbase::Result<fetch::Resolved>& ask(const fetch::Id& id);
  /// Who has these very bytes: a commit of the model that is here, else what its name means now. Errors: not_found (in words for people), as ask().
  mlxbase::Result<Offer> find(const catalog::Listing& listing, std::string_view model, const mlxbase::Digest& claimed);

  mlxbase::net::Client& client() { return client_; }
  const mlxbase::net::RetryPolicy& retry() const { return retry_; }

 private:
  fetch::Resolver resolver_;
  mlxbase::net::Client& client_;
  mlxbase::net::RetryPolicy retry_;
  std::map<std::string, mlxbase::Result<fetch::Resolved>> asked_;
};

enum class Standing : std::uint8_t {
  ok,       // the bytes are those that upstream has, for this commit and now
  damaged,  // not what upstream has for the commit that is here, or not what the store itself says
  changed,  // upstream has other bytes under this name now
  gone,     // upstream has no such file, revision or model any more
  unknown,  // could not be told, with the reason
};
std::string_view to_string(Standing standing);

struct ComparedFile {
  std::string path;          // here
  std::string store;
  std::string model;
  std::string remote_path;
  Standing standing{};
  std::string reason;
  std::optional<mlxbase::Digest> expected;  // what upstream says
  std::optional<mlxbase::Digest> measured;
};

struct ComparedModel {
  std::string model;
  std::string store;
  std::string id;            // as asked; empty if its store does not tell where it came from
  std::string commit;        // that is here
  std::string head;          // that the name means now; empty if it could not be asked
  bool moved = false;
  std::string problem;       // why it could not be asked
};

struct UpstreamReport {
  verify::Report verified;
  std::vector<ComparedModel> models;
  std::vector<ComparedFile> files;  // worst first
};

/// Errors: unsupported (offline), cancelled, invalid (no such model), io (of our own disk).
mlxbase::Result<UpstreamReport> compare_upstream(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory,
                                                 const verify::Options& options, Upstream& upstream, mlxbase::Clock& clock, mlxbase::Progress& progress);

}  // namespace mlxcache::repair
