#pragma once
// What a server says a model consists of. Two protocols (Hugging Face hub, Ollama/OCI registry) and plain URLs end in one value, Resolved; the
// bytes are download.h's work. Every name and number in it is parsed: nothing in a Resolved can lead out of a store.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/net/http.h"
#include "mlxbase/net/retry.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/ollama_manifest.h"

namespace mlxcache::fetch {

/// hf:org/repo[@revision][/file], or a bare org/repo. A revision ends at the next "/"; one with slashes in it is written with %2F, except
/// refs/pr/N and refs/convert/NAME.
struct HubId {
  std::string repo;                 // org/name or name, as a hub allows them
  std::string revision = "main";
  std::string file;                 // empty: all
};
/// ollama:name[:tag]; defaults filled in.
using OllamaId = stores::ollama::Name;
/// https://…#sha256=<64 hex>: one file. http only to loopback.
struct UrlId {
  mlxbase::net::Url url;
  mlxbase::Digest sha256;
  std::string file;                 // last segment of the path, parsed as a file name
};
using Id = std::variant<HubId, OllamaId, UrlId>;
/// Errors: invalid, naming the part that is wrong and the grammar.
mlxbase::Result<Id> parse_id(std::string_view text);
/// The shortest text that means the same; parse_id() of it is the same id. The query of a URL may hold a signature: see shown().
std::string to_string(const Id& id);
/// For messages, JSON and journals: to_string() less the query of a URL.
std::string shown(const Id& id);
/// A branch, tag or commit that is safe as a path below refs/ and in a URL.
bool is_revision(std::string_view text);

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
  std::string media_type;                     // of an OCI layer: "model", "template", …, else the whole media type
};

struct Resolved {
  Id id;
  std::string commit;                         // hub: 40 hex
  std::vector<RemoteFile> files;              // selected, each path once
  bool complete_listing = false;              // `files` is everything of that commit
  std::string listing_json;                   // hub: what trees/<commit>.json shall hold; empty unless complete
  std::string manifest;                       // registry: the manifest's bytes exactly as received
  std::string manifest_media_type;
  std::optional<mlxbase::net::Credential> credential;  // for the files' URLs
  std::vector<std::string> notes;             // for people: "14 quantisations are in this repo: …"
};

/// Where to ask and as whom, from the environment and the tools' own files.
struct Endpoints {
  mlxbase::net::Url hub;                      // HF_ENDPOINT; its path has no "/" at the end
  std::optional<mlxbase::net::Credential> hub_credential;  // HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the token file, the keychain; absent if there is none
  bool offline = false;                       // HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, MLXCACHE_OFFLINE
  /// Registries that may be asked over http besides loopback: none unless MLXCACHE_INSECURE_REGISTRIES names the host.
  std::vector<std::string> insecure_registries;
};
/// What the system keeps for a person: the password of an account at a host, or nothing.
using Keychain = std::function<std::optional<std::string>(const std::string& host, const std::string& account)>;
/// `keychain` (empty: os::keychain_password on macOS, else none) is asked last, and only for a hub that is reached by https.
/// Errors: invalid (HF_ENDPOINT is no URL, a token that cannot be a header; the token itself is never in the message).
mlxbase::Result<Endpoints> endpoints(const stores::Context& context, const Keychain& keychain = {});

class Resolver {
 public:
  Resolver(mlxbase::net::Client& client, const Endpoints& endpoints, const mlxbase::Cancel* cancel, mlxbase::Clock& clock = mlxbase::system_clock(),
           mlxbase::net::RetryPolicy retry = {})
      : client_(client), endpoints_(endpoints), cancel_(cancel), clock_(clock), retry_(retry) {}
  /// Errors (messages name the thing, the reason and the way out): not_found (no such repo, revision, file, name or tag), permission (gated: the
  /// page to visit; no or wrong token), unsupported (offline; needs a newer client), busy (rate limit beyond patience), corrupt (a hostile or
  /// broken answer), io, invalid (nothing matches the selection; the names that exist are in the message), cancelled.
  mlxbase::Result<Resolved> resolve(const Id& id, const Selection& selection);

 private:
  mlxbase::net::Client& client_;
  const Endpoints& endpoints_;
  const mlxbase::Cancel* cancel_;
  mlxbase::Clock& clock_;
  mlxbase::net::RetryPolicy retry_;
};

}  // namespace mlxcache::fetch
