#pragma once
// How a model is made visible in a store, and how it is taken out again, as values: what to write and what to remove, in which order.
// The functions behind it are columns of the adapter table (publish, remove); they look, they change nothing.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/store.h"

namespace mlxcache::stores {

struct Context;

/// One file of a model that is to be published. `path` exists and is a regular file (no symlink); where it is still to be downloaded, `path`
/// is where it will lie, and `header` may be missing.
struct SourceFile {
  std::string name;                             // within the model: "model.safetensors", "onnx/model.onnx": a valid relative path
  std::string path;
  std::uint64_t size = 0;
  mlxbase::Digest sha256;                       // measured or to be confirmed before anything is placed
  std::optional<mlxbase::Digest> git_sha1;      // of small files where known; hub caches name their blobs by it
  std::optional<mlxbase::Digest> xet;
  bool lfs = false;                             // the hub keeps it in LFS: its blob is named by sha256
  catalog::Fingerprint state;                   // as seen
  catalog::Links shared_by = catalog::kAnyLink; // ways in which others may share these bytes: no hard link to what its tool writes in place
  bool moves = false;                           // a download of ours, which the first target takes in: nothing may refer to `path`
};

/// What is known of a GGUF from its own metadata, for targets that want a config beside it.
struct GgufFacts {
  std::string architecture, name, size_label, file_type;   // "llama", "Llama 3.2 1B", "1.2B", "Q4_K_M"
  std::string chat_template;
  std::uint64_t parameters = 0, context_length = 0;
  bool projector = false;
  std::uint32_t splits = 1;
};

struct ModelSource {
  std::string id;           // "org/name" as a hub names it, where known: already parsed as a repo id; else empty
  std::string name;         // a plain name of [A-Za-z0-9_.-], at most 96: for targets without a notion of org
  std::string tag;          // of a container-like name ("3b", "Q4_K_M"); "latest" if nothing else
  std::string commit;       // 40 hex of the hub where known
  std::string revision;     // "main"
  std::string format;       // "gguf", "safetensors", "mlx", …
  bool complete_listing = false;  // `files` are all files of that commit
  std::vector<SourceFile> files;
  std::optional<GgufFacts> gguf;  // of the (first) model file
  // From a server, for the store that the id belongs to; empty elsewhere.
  std::string hub_listing;        // the hub cache writes it as trees/<commit>.json; set only if `files` are all of the commit
  std::string registry_name;      // Ollama's full name, "host/space/model:tag": with it the manifest goes there, and nowhere else
  std::string registry_manifest;  // its bytes exactly as received; every digest in it is the sha256 of one of `files`
};

/// One name to be made, in order.
struct NewName {
  enum class What : std::uint8_t { folder, payload, text, link_text };
  What what{};
  std::string path;                      // absolute, below the root
  std::uint32_t file = 0;                // payload: index into ModelSource::files
  catalog::Links links;                  // payload: how it may share bytes with the source
  std::string content;                   // text, link_text
  std::uint32_t mode = 0644;
  bool replaces = false;                 // text: the file may be there already and gets this content
  std::optional<catalog::Fingerprint> expected;  // replaces: as it was read, if it was there
};

struct Publication {
  std::vector<NewName> names;
  std::string visible_as;                // what the tool will call it: "hf.co/org/name:Q4_K_M"
  std::vector<std::string> notes;        // "the chat template was taken from the GGUF"
};

/// What has to go for a model to leave a store, in order: first what makes it visible.
struct Removal {
  std::vector<std::string> names;        // files and symlinks, then folders that become empty
  std::vector<NewName> rewritten;        // registries that lose a line (models.json, …)
  std::vector<std::string> kept;         // payloads that another model of the store needs: "path: needed by x"
};

/// Contracts of the columns Adapter::publish and Adapter::remove; a null publish means that the tool has no way to take a model in.
/// publish — Errors: unsupported (the target cannot load this; the reason names what and why), invalid (a name that the target's grammar refuses),
/// changed (another model has the name already), io. A publication whose names are all there already is not an error: names come back all the same and placing
/// them does nothing.
/// remove — Errors: unsupported, busy (a partial download or a lock shows that the tool works on it), io.
using PublishFunction = mlxbase::Result<Publication> (*)(const Context&, const catalog::Root&, const ModelSource&);
using RemoveFunction = mlxbase::Result<Removal> (*)(const Context&, const catalog::Listing&, std::uint32_t model);

/// Reads the metadata of a GGUF for publications. Errors: corrupt, io.
mlxbase::Result<GgufFacts> gguf_facts(const Context& context, const std::string& path);

}  // namespace mlxcache::stores
