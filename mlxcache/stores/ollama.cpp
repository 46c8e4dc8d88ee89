// Ollama's store: manifests by name, blobs by digest. Facts: docs/design/stores.md, Ollama. (discover(): ollama_roots.cpp)
#include <algorithm>
#include <unordered_map>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/ollama_manifest.h"

namespace mlxcache::stores::ollama {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::Digest;

constexpr std::string_view kBlobs = "blobs/";
constexpr std::string_view kManifests = "manifests/";

/// Names that the server gives to layers it is making (os.CreateTemp, llama-quantize).
bool is_layer_in_the_making(std::string_view name) {
  for (const std::string_view prefix : {"sha256-", "COPY", "Q8_0", "split-copy", "split-gguf-"}) {
    if (name.starts_with(prefix) && all_digits(name.substr(prefix.size()))) return true;
  }
  return false;
}

class Lister {
 public:
  Lister(const Context& context, const Root& root) : context_(context), root_(root), builder_(root, adapter_of(StoreKind::ollama)) {}

  Listing run() {
    WalkOptions options;
    options.cancel = context_.cancel;
    const auto found = walk(context_.fs, root_.path, builder_.problems(), options);
    // Blobs first: manifests refer to them.
    for (const Found& f : found) {
      const std::string_view relative = path::relative_to(root_.path, f.path);
      if (relative.starts_with(kBlobs)) blob(f, relative.substr(kBlobs.size()));
    }
    for (const Found& f : found) {
      const std::string_view relative = path::relative_to(root_.path, f.path);
      if (relative.starts_with(kManifests)) {
        manifest(f, relative.substr(kManifests.size()));
      } else if (!relative.starts_with(kBlobs)) {
        stray(f, relative);
      }
    }
    if (all_manifests_read_) {
      for (const auto& [digest, entries] : blobs_) {
        for (const std::uint32_t e : entries) {
          if (builder_.at(e).model < 0 && builder_.at(e).role == Role::payload) builder_.at(e).role = Role::orphan;
        }
      }
    }
    return builder_.finish();
  }

 private:
  void blob(const Found& f, std::string_view name) {
    const std::uint32_t e = builder_.add(f);
    Entry& entry = builder_.at(e);
    if (name.contains('/')) {  // the server skips folders here; only split-gguf-<n>/ is its own, while it joins a split model
      if (entry.role == Role::payload) entry.role = name.starts_with("split-gguf-") ? Role::partial : Role::foreign;
      entry.links = catalog::kNoLinks;
      return;
    }
    const auto digest = parse_digest(name);
    if (!digest) {
      if (entry.role == Role::payload) entry.role = is_layer_in_the_making(name) ? Role::partial : Role::foreign;
      entry.links = catalog::kNoLinks;
      return;
    }
    if (entry.role == Role::payload) {
      entry.claim = *digest;
      entry.claim_checked_by_tool = true;
      // The server sets a layer's times when a model is created from it, and may not if another user owns the inode; nor can it
      // follow a link into a home that is closed to it.
      if (entry.stat.uid != context_.environment.uid) {
        entry.links = entry.links & catalog::kReflinkOnly;
        entry.links_reason = "the Ollama server runs as another user, who must own its blobs";
      }
    }
    blobs_[*digest].push_back(e);
  }

  void manifest(const Found& f, std::string_view relative) {
    const std::uint32_t e = builder_.add(f);
    const auto depth = std::count(relative.begin(), relative.end(), '/');
    Entry& entry = builder_.at(e);
    entry.links = catalog::kNoLinks;
    constexpr auto kDepth = 3;  // host/namespace/model/tag
    if (depth != kDepth) {      // never looked at by the server
      if (entry.role == Role::payload) entry.role = Role::foreign;
      return;
    }
    if (entry.role == Role::broken) {
      unread(f.path, Code::corrupt, "a dangling link among the manifests: Ollama can list no model at all until it is gone");
      return;
    }
    if (entry.role == Role::foreign) {
      unread(f.path, Code::invalid, "not a file, among the manifests");
      return;
    }
    if (entry.role != Role::link) entry.role = Role::metadata;
    const auto name = name_of_manifest_path(relative);
    if (!name) {
      if (entry.role == Role::metadata) entry.role = Role::foreign;
      unread(f.path, Code::invalid, "not a model's name: Ollama does not prune while this file is here");
      return;
    }
    const auto text = read_metadata(context_, root_.path, f.path, kManifestLimit);
    if (!text) {
      unread(f.path, text.error().code, "manifest not read: " + text.error().message);
      return;
    }
    const auto parsed = parse_manifest(*text);
    if (!parsed) {
      unread(f.path, parsed.error().code, "manifest not understood (" + parsed.error().message + "): Ollama does not prune while it is here");
      return;
    }
    mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
    hasher.update(mlxbase::as_bytes(*text));
    catalog::Model model;
    model.id = name->shortest();
    model.revision = hasher.finish().hex();
    const std::uint32_t m = builder_.model(std::move(model));
    if (parsed->config) layer(m, f.path, *parsed->config);
    for (const Layer& l : parsed->layers) {
      layer(m, f.path, l);
      if (l.type == "model") builder_.model_at(m).format = "gguf";
      if (l.type == "tensor") builder_.model_at(m).format = "safetensors";
    }
  }

  void layer(std::uint32_t model, const std::string& manifest, const Layer& layer) {
    const auto it = blobs_.find(layer.digest);
    if (it == blobs_.end()) {
      builder_.model_at(model).incomplete = true;
      builder_.problem(manifest, {Code::not_found, "its blob " + blob_name(layer.digest) + " is missing", 0});
      return;
    }
    for (const std::uint32_t e : it->second) {
      builder_.join(model, e);
      const Entry& entry = builder_.at(e);
      if (entry.role == Role::broken) builder_.model_at(model).incomplete = true;
      if (entry.role == Role::payload && entry.stat.size != layer.size) {
        builder_.model_at(model).incomplete = true;
        builder_.problem(entry.path, {Code::corrupt, "its size is not the one its manifest names", 0});
      }
    }
  }

  /// Beside blobs/ and manifests/: import folders, our own staging, whatever else.
  void stray(const Found& f, std::string_view relative) {
    const std::uint32_t e = builder_.add(f);
    Entry& entry = builder_.at(e);
    entry.links = catalog::kNoLinks;
    if (entry.role != Role::payload) return;
    const std::string_view top = relative.substr(0, relative.find('/'));
    const bool import = top.starts_with("ollama-safetensors") && top.size() < relative.size();
    entry.role = import || is_staging_name(top) ? Role::partial : Role::foreign;
  }

  /// A manifest that could not be read may refer to any blob: none is called an orphan then, as Ollama deletes none.
  void unread(const std::string& file, Code code, std::string why) {
    all_manifests_read_ = false;
    builder_.problem(file, {code, std::move(why), 0});
  }

  const Context& context_;
  const Root& root_;
  ListingBuilder builder_;
  std::unordered_map<Digest, std::vector<std::uint32_t>> blobs_;  // both spellings of a name may be there
  bool all_manifests_read_ = true;
};

}  // namespace

Listing list(const Context& context, const Root& root) { return Lister(context, root).run(); }

std::string staging(const Root& root, const std::string& /*target*/, std::string_view token) {
  // In blobs/ the server deletes what is not a digest; beside it nothing is looked at.
  return path::join(root.path, ".mlxcache-staging", token);
}

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::ollama
