// Docker Model Runner: an OCI store with a second, hard-linked name for each payload a model has been run with.
// Facts: docs/design/stores.md, Docker Model Runner.
#include <map>
#include <optional>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/oci_store.h"

namespace mlxcache::stores::docker_model_runner {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::uint64_t kLimit = std::uint64_t{16} << 20U;

/// "blobs/sha256/<rest>" → {sha256, rest}.
struct Place {
  std::string_view algorithm;
  std::string_view rest;
};
std::optional<Place> below(std::string_view folder, std::string_view relative) {
  if (!relative.starts_with(folder)) return std::nullopt;
  relative.remove_prefix(folder.size());
  const auto slash = relative.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return Place{relative.substr(0, slash), relative.substr(slash + 1)};
}

bool holds_store(const Context& context, const std::string& dir) {
  const auto blobs = context.fs.stat(path::join(dir, "blobs"), Follow::yes);
  const auto models = context.fs.stat(path::join(dir, "models.json"), Follow::yes);
  return (blobs && blobs->kind == FileKind::directory) || (models && models->kind == FileKind::regular);
}

class Lister {
 public:
  Lister(const Context& context, const Root& root) : context_(context), root_(root), builder_(root, adapter_of(StoreKind::docker_model_runner)) {}

  Listing run() {
    WalkOptions options;
    options.cancel = context_.cancel;
    const auto found = walk(context_.fs, root_.path, builder_.problems(), options);
    for (const Found& f : found) {
      if (const auto place = below("blobs/", path::relative_to(root_.path, f.path))) blob(f, *place);
    }
    std::vector<const Found*> bundles;
    for (const Found& f : found) {
      const std::string_view relative = path::relative_to(root_.path, f.path);
      if (relative.starts_with("blobs/") && below("blobs/", relative)) continue;
      if (const auto place = below("manifests/", relative)) {
        manifest(f, *place);
      } else if (below("bundles/", relative)) {
        bundles.push_back(&f);
      } else if (relative == "models.json") {
        models_file(f);
      } else {
        const std::uint32_t e = builder_.add(f);
        settle(e, relative == "layout.json" ? Role::metadata : Role::foreign);
      }
    }
    make_models();
    for (const Found* f : bundles) bundle(*f, *below("bundles/", path::relative_to(root_.path, f->path)));
    if (all_read_) {
      for (const auto& [id, e] : blobs_) {
        if (builder_.at(e).model < 0 && builder_.at(e).role == Role::payload) builder_.at(e).role = Role::orphan;
      }
    }
    return builder_.finish();
  }

 private:
  /// Gives a file that would count as payload another role.
  void settle(std::uint32_t e, Role role) {
    Entry& entry = builder_.at(e);
    if (entry.role == Role::payload) entry.role = role;
    if (entry.role != Role::payload) entry.links = catalog::kNoLinks;
  }

  void blob(const Found& f, const Place& place) {
    const std::uint32_t e = builder_.add(f);
    const auto id = BlobId::of(place.algorithm, place.rest);
    if (!id) {
      settle(e, Role::foreign);
      return;
    }
    if (builder_.at(e).role == Role::payload) {
      builder_.at(e).claim = id->claim();
      builder_.at(e).claim_checked_by_tool = true;
    }
    blobs_.emplace(*id, e);
  }

  void models_file(const Found& f) {
    settle(builder_.add(f), Role::metadata);
    const auto text = read_metadata(context_, root_.path, f.path, kLimit);
    auto parsed = text ? parse_models(*text) : mlxbase::Result<std::vector<Record>>(mlxbase::fail(text.error()));
    if (!parsed) {
      unread(f.path, parsed.error());
      return;
    }
    records_ = std::move(*parsed);
  }

  void manifest(const Found& f, const Place& place) {
    settle(builder_.add(f), Role::metadata);
    const auto id = BlobId::of(place.algorithm, place.rest);
    if (!id) {
      if (!is_partial_name(place.rest)) builder_.problem(f.path, {Code::invalid, "not a manifest's name", 0});
      return;
    }
    const auto text = read_metadata(context_, root_.path, f.path, kLimit);
    auto parsed = text ? parse_manifest(*text) : mlxbase::Result<Manifest>(mlxbase::fail(text.error()));
    if (!parsed) {
      unread(f.path, parsed.error());
      return;
    }
    manifests_.emplace(*id, std::pair(f.path, std::move(*parsed)));
  }

  void make_models() {
    std::set<BlobId> listed;
    for (const Record& record : records_) {
      listed.insert(record.id);
      std::vector<std::string> names = record.tags;
      if (names.empty()) names.push_back(record.id.text());
      for (std::string& name : names) {
        catalog::Model model;
        model.id = std::move(name);
        model.revision = record.id.hex;
        const std::uint32_t m = builder_.model(std::move(model));
        by_manifest_[record.id].push_back(m);
        if (const auto it = manifests_.find(record.id); it != manifests_.end()) {
          layers(m, it->second.first, it->second.second);
        } else {
          builder_.model_at(m).incomplete = true;
        }
        for (const BlobId& file : record.files) {
          if (file != record.id && !manifests_.contains(file)) refer(m, path::join(root_.path, "models.json"), file);
        }
      }
    }
    // A manifest that models.json does not name: deletion by the tool went half the way, or a pull is being finished. Its blobs are
    // in nobody's list, yet not called orphans while it is there.
    for (const auto& [id, named] : manifests_) {
      if (listed.contains(id)) continue;
      catalog::Model model;
      model.id = id.text();
      model.revision = id.hex;
      const std::uint32_t m = builder_.model(std::move(model));
      by_manifest_[id].push_back(m);
      layers(m, named.first, named.second);
    }
  }

  void layers(std::uint32_t m, const std::string& file, const Manifest& manifest) {
    for (const Layer& layer : manifest.layers) {
      refer(m, file, layer.id);
      if (layer.type.starts_with("gguf")) builder_.model_at(m).format = "gguf";
      if (layer.type.starts_with("safetensors") && builder_.model_at(m).format.empty()) builder_.model_at(m).format = "safetensors";
      const auto it = blobs_.find(layer.id);
      if (it == blobs_.end()) continue;
      const Entry& entry = builder_.at(it->second);
      if (entry.role == Role::payload && entry.stat.size != layer.size) {
        builder_.model_at(m).incomplete = true;
        builder_.problem(entry.path, {Code::corrupt, "its size is not the one its manifest names", 0});
      }
    }
  }

  void refer(std::uint32_t m, const std::string& from, const BlobId& id) {
    const auto it = blobs_.find(id);
    if (it == blobs_.end()) {
      builder_.model_at(m).incomplete = true;
      if (missing_.insert(id).second) builder_.problem(from, {Code::not_found, "its blob " + id.text() + " is missing", 0});
      return;
    }
    builder_.join(m, it->second);
    if (builder_.at(it->second).role == Role::broken) builder_.model_at(m).incomplete = true;
  }

  /// Names of the same inodes as the blobs: both are listed, so that replacing frees something.
  void bundle(const Found& f, const Place& place) {
    const std::uint32_t e = builder_.add(f);
    const auto slash = place.rest.find('/');
    const auto id = BlobId::of(place.algorithm, place.rest.substr(0, slash));
    const bool in_model = slash != std::string_view::npos && place.rest.substr(slash + 1).starts_with("model/");
    if (!id || !in_model) {
      settle(e, id ? Role::metadata : Role::foreign);  // config.json of the runtime
      return;
    }
    const auto it = by_manifest_.find(*id);
    if (it == by_manifest_.end()) {
      if (all_read_ && builder_.at(e).role == Role::payload) builder_.at(e).role = Role::orphan;
      return;
    }
    const Role role = builder_.at(e).role;
    if (role != Role::payload && role != Role::link && role != Role::broken) return;
    for (const std::uint32_t m : it->second) builder_.join(m, e);
  }

  void unread(const std::string& file, const mlxbase::Error& error) {
    all_read_ = false;
    builder_.problem(file, error);
  }

  const Context& context_;
  const Root& root_;
  ListingBuilder builder_;
  std::map<BlobId, std::uint32_t> blobs_;
  std::map<BlobId, std::pair<std::string, Manifest>> manifests_;
  std::map<BlobId, std::vector<std::uint32_t>> by_manifest_;
  std::vector<Record> records_;
  std::set<BlobId> missing_;
  bool all_read_ = true;
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& env = context.environment;
  std::vector<Root> roots;
  // LocalAI reads MODELS_PATH too: only what looks like this store counts.
  if (const auto value = env.get_nonempty("MODELS_PATH"); value && holds_store(context, env.absolute(*value))) {
    add_root(context, roots, StoreKind::docker_model_runner, *value, "MODELS_PATH");
  }
  add_root(context, roots, StoreKind::docker_model_runner, path::join(env.home, ".docker/models"), "default");
  if (env.platform == mlxbase::os::Platform::linux_os) {
    add_root(context, roots, StoreKind::docker_model_runner, env.system("/var/lib/docker/volumes/docker-model-runner-models/_data"), "Docker volume");
  }
  return roots;
}

Listing list(const Context& context, const Root& root) { return Lister(context, root).run(); }

std::string staging(const Root& root, const std::string& /*target*/, std::string_view token) {
  // Of the form of a download, also for a bundle's names (they are links to blobs, so the volume is the same): what a crash leaves
  // is cleaned by the runner after seven days.
  std::string hex;
  while (hex.size() < 64) hex += token;
  return path::join(root.path, "blobs/sha256", hex.substr(0, 64) + ".incomplete");
}

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::docker_model_runner
