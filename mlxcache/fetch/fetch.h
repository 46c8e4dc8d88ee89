#pragma once
// What a server says a model consists of. Two protocols (Hugging Face hub, Ollama/OCI registry) and plain URLs end in one value, Resolved; the
// bytes are download.h's work. Every name and number in it is parsed: nothing in a Resolved can lead out of a store.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/net/http.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::fetch {

/// hf:org/repo[@revision][/file], or a bare org/repo.
struct HubId {
  std::string repo;                 // parsed as a repo id (domain rules §16.1)
  std::string revision = "main";
  std::string file;                 // empty: all
};
/// ollama:name[:tag]; defaults filled in.
struct OllamaId {
  std::string host = "registry.ollama.ai", name_space = "library", model, tag = "latest";
};
/// https://…#sha256=<64 hex>: one file.
struct UrlId {
  mlxbase::net::Url url;
  mlxbase::Digest sha256;
  std::string file;                 // last segment of the path, parsed as a file name
};
using Id = std::variant<HubId, OllamaId, UrlId>;
/// Errors: invalid, naming the part that is wrong and the grammar.
mlxbase::Result<Id> parse_id(std::string_view text);
std::string to_string(const Id& id);

struct Selection {
  std::vector<std::string> include, exclude;  // globs over paths in the repo, as `hf download` reads them (fnmatch)
  std::string quant;                          // "Q4_K_M": of a GGUF repo, that quantisation's files (all splits) and the projector
};

struct RemoteFile {
  std::string path;                           // in the repo; a valid relative path
  std::uint64_t size = 0;
  std::optional<mlxbase::Digest> sha256;      // LFS oid, layer digest
  std::optional<mlxbase::Digest> git_sha1;    // of files outside LFS
  std::optional<mlxbase::Digest> xet;
  bool lfs = false;
  mlxbase::net::Url url;
  std::string media_type;                     // of an OCI layer
};

struct Resolved {
  Id id;
  std::string commit;                         // hub: 40 hex
  std::vector<RemoteFile> files;              // selected, each path once
  bool complete_listing = false;              // `files` is everything of that commit
  std::string listing_json;                   // hub: what trees/<commit>.json shall hold; empty unless complete
  std::string manifest;                       // registry: the manifest's bytes exactly as received
  std::string manifest_media_type;
};

/// Where to ask and as whom, from the environment and the tools' own files.
struct Endpoints {
  mlxbase::net::Url hub;                      // HF_ENDPOINT
  std::optional<mlxbase::net::Credential> hub_credential;  // HF_TOKEN, token file, keychain (macOS); absent if there is none
  bool offline = false;                       // HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, MLXCACHE_OFFLINE
  /// Registries that may be asked over http besides loopback: none unless MLXCACHE_INSECURE_REGISTRIES names the host.
  std::vector<std::string> insecure_registries;
};
mlxbase::Result<Endpoints> endpoints(const stores::Context& context);

class Resolver {
 public:
  Resolver(mlxbase::net::Client& client, const Endpoints& endpoints, const mlxbase::Cancel* cancel) : client_(client), endpoints_(endpoints), cancel_(cancel) {}
  /// Errors (messages name the thing, the reason and the way out): not_found (no such repo, revision, file, name or tag), permission (gated: the
  /// page to visit; no or wrong token), unsupported (offline; needs a newer client), busy (rate limit beyond patience), corrupt (a hostile or
  /// broken answer), io, invalid (nothing matches the selection; the names that exist are in the message), cancelled.
  mlxbase::Result<Resolved> resolve(const Id& id, const Selection& selection);

 private:
  mlxbase::net::Client& client_;
  const Endpoints& endpoints_;
  const mlxbase::Cancel* cancel_;
};

}  // namespace mlxcache::fetch
