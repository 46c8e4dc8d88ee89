#pragma once
// Names and small files of the Hugging Face hub's clients, parsed into types. Hostile until they pass here.
// Grammar: docs/design/stores.md, "Hugging Face hub cache".
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::hf {

/// "models--org--name" and its kin.
struct Repo {
  std::string type;  // "models", "datasets", "spaces", "kernels": the folder's prefix
  std::string id;    // "org/name" or "name"
  /// As people write it: models by id alone, the others with their type in front ("datasets/org/name").
  std::string display() const { return type == "models" ? id : type + "/" + id; }
  friend bool operator==(const Repo&, const Repo&) = default;
};
/// ASCII ids only, each part 1 to 96 characters: stricter than the clients, as strict as the server.
std::optional<Repo> parse_repo_folder(std::string_view name);
std::string repo_folder(const Repo& repo);
bool is_repo_id(std::string_view id);

bool is_commit(std::string_view name);  // exactly 40 lower-case hex digits

/// What an ETag or a name in a repo's blobs/ says of the bytes: 64 hex digits a SHA-256, 40 a git SHA-1, all else nothing. Never to be
/// asked about names in the shared store, where 64 digits are a xet hash.
std::optional<mlxbase::Digest> claim_of_etag(std::string_view etag);
/// A payload's name in the shared store's folder `prefix` (its first two digits).
std::optional<mlxbase::Digest> parse_shared_name(std::string_view prefix, std::string_view name);

/// A download or replacement in progress in a repo's blobs/, refs/ or trees/, of any client that ever was.
bool is_partial_blob(std::string_view name);
/// The etag that a partial or lock name belongs to; empty if it cannot be told.
std::string_view etag_of_partial(std::string_view name);

/// Content of a file below refs/: a commit, blanks around it ignored.
std::optional<std::string> parse_ref(std::string_view text);

/// One line of trees/<commit>.json.
struct TreeFile {
  std::uint64_t size = 0;
  std::optional<mlxbase::Digest> claim;  // SHA-256 of large files, git SHA-1 of the others
  std::optional<mlxbase::Digest> xet;
  friend bool operator==(const TreeFile&, const TreeFile&) = default;
};
/// By path in the repo. Paths that are not safe relative ones are left out. Errors: corrupt; unsupported (another format_version).
mlxbase::Result<std::map<std::string, TreeFile>> parse_tree(std::string_view text);

/// A .metadata sidecar of a local_dir download.
struct Sidecar {
  std::string commit;
  std::string etag;
  double timestamp = 0;  // seconds since 1970
  /// Whether the sidecar still speaks of a file with this mtime: the clients allow one second.
  bool covers(std::int64_t mtime_ns) const;
};
std::optional<Sidecar> parse_sidecar(std::string_view text);

/// File names in a *.safetensors.index.json's weight_map. Errors: corrupt.
mlxbase::Result<std::set<std::string>> parse_safetensors_index(std::string_view text);

}  // namespace mlxcache::stores::hf
