// RamaLama: a small content store for every model. Facts: docs/design/stores.md, RamaLama.
#include <algorithm>
#include <map>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/ramalama_refs.h"

namespace mlxcache::stores::ramalama {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

constexpr std::uint64_t kLimit = std::uint64_t{4} << 20U;
constexpr std::string_view kConfig = "ramalama.conf";

/// The `store` of one place: ramalama.conf, then the files of ramalama.conf.d by name.
void read_config(const Context& context, const std::string& folder, std::string& store) {
  std::vector<std::string> files = {path::join(folder, kConfig)};
  const std::string drop_ins = path::join(folder, "ramalama.conf.d");
  if (auto names = context.fs.list(drop_ins)) {
    std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : *names) {
      if (entry.name.ends_with(".conf")) files.push_back(path::join(drop_ins, entry.name));
    }
  }
  for (const std::string& file : files) {
    const auto text = mlxbase::os::read_small_file(context.fs, file, kLimit);
    if (!text) continue;
    if (const auto value = store_of_config(*text); value && !value->empty()) store = *value;
  }
}

/// "store/<source>/<organisation>/<model>/<part>/<rest>"; a model's name is all between source and part.
struct Place {
  std::string_view model;  // path below store/: "huggingface/org/name"
  std::string_view part;   // "blobs", "refs", "snapshots"
  std::string_view rest;
};
std::optional<Place> place_of(std::string_view relative) {
  constexpr std::string_view kStore = "store/";
  if (!relative.starts_with(kStore)) return std::nullopt;
  relative.remove_prefix(kStore.size());
  auto at = relative.find('/');  // after the source
  while (at != std::string_view::npos) {
    const auto next = relative.find('/', at + 1);
    if (next == std::string_view::npos) return std::nullopt;
    const std::string_view part = relative.substr(at + 1, next - at - 1);
    if (part == "blobs" || part == "refs" || part == "snapshots") return Place{relative.substr(0, at), part, relative.substr(next + 1)};
    at = next;
  }
  return std::nullopt;
}

/// Hashes of these are of the bytes; those of other files may be of their names only.
bool is_weights_type(std::string_view type) { return type == "gguf" || type == "mmproj" || type == "safetensor"; }
bool has_true_digests(std::string_view source) { return source == "ollama" || source == "huggingface"; }

struct ModelStore {
  std::map<std::string, std::uint32_t, std::less<>> blobs;      // by file name
  std::map<std::string, std::uint32_t, std::less<>> snapshots;  // by "<hash>/<name>"
  std::vector<const Found*> refs;
  bool all_refs_read = true;
};

class Lister {
 public:
  Lister(const Context& context, const Root& root) : context_(context), root_(root), builder_(root, adapter_of(StoreKind::ramalama)) {}

  Listing run() {
    WalkOptions options;
    options.cancel = context_.cancel;
    const auto found = walk(context_.fs, root_.path, builder_.problems(), options);
    std::map<std::string, ModelStore, std::less<>> models;
    for (const Found& f : found) {
      const std::uint32_t e = builder_.add(f);
      const auto place = place_of(path::relative_to(root_.path, f.path));
      if (!place) {
        settle(e, Role::metadata);  // configuration, benchmarks, templates: small files of the tool
        continue;
      }
      ModelStore& store = models[std::string(place->model)];
      if (place->part == "blobs") {
        store.blobs.emplace(place->rest, e);
      } else if (place->part == "snapshots") {
        store.snapshots.emplace(place->rest, e);
      } else {
        settle(e, Role::metadata);
        if (builder_.at(e).role == Role::metadata && place->rest.ends_with(".json")) store.refs.push_back(&f);
      }
    }
    for (auto& [name, store] : models) model(name, store);
    return builder_.finish();
  }

 private:
  void settle(std::uint32_t e, Role role) {
    Entry& entry = builder_.at(e);
    if (entry.role == Role::payload) entry.role = role;
    if (entry.role != Role::payload) entry.links = catalog::kNoLinks;
  }

  void model(const std::string& name, ModelStore& store) {
    const std::string_view source = std::string_view(name).substr(0, name.find('/'));
    const std::string below = name.substr(std::min(name.size(), source.size() + 1));
    for (const Found* f : store.refs) {
      const auto text = read_metadata(context_, root_.path, f->path, kLimit);
      auto ref = text ? parse_ref(*text) : mlxbase::Result<Ref>(mlxbase::fail(text.error()));
      if (!ref) {
        store.all_refs_read = false;
        builder_.problem(f->path, ref.error());
        continue;
      }
      catalog::Model row;
      row.id = std::string(source) + "://" + below + ":" + std::string(path::stem(f->path));
      row.revision = ref->hash;
      const std::uint32_t m = builder_.model(std::move(row));
      for (const RefFile& file : ref->files) this->file(m, source, store, *ref, file);
    }
    if (!store.all_refs_read) return;
    for (const auto* names : {&store.blobs, &store.snapshots}) {
      for (const auto& [key, e] : *names) {
        if (builder_.at(e).model < 0 && builder_.at(e).role == Role::payload) builder_.at(e).role = Role::orphan;
      }
    }
  }

  void file(std::uint32_t m, std::string_view source, ModelStore& store, const Ref& ref, const RefFile& file) {
    const auto blob = store.blobs.find(file.hash);
    const auto snapshot = store.snapshots.find(ref.hash + "/" + file.name);
    if (blob == store.blobs.end() && snapshot == store.snapshots.end()) {
      builder_.model_at(m).incomplete = true;
      return;
    }
    if (file.type == "gguf" || file.type == "safetensor") builder_.model_at(m).format = file.type == "gguf" ? "gguf" : "safetensors";
    for (const auto& [names, it] : {std::pair(&store.blobs, blob), std::pair(&store.snapshots, snapshot)}) {
      if (it == names->end()) continue;
      Entry& entry = builder_.at(it->second);
      if (entry.role == Role::broken) builder_.model_at(m).incomplete = true;
      if (file.type.starts_with("chat_template") && entry.role == Role::payload) {
        // Templates are generated anew into the same file.
        entry.role = Role::metadata;
        entry.links = catalog::kNoLinks;
        continue;
      }
      builder_.join(m, it->second);
      if (entry.role != Role::payload || !is_weights_type(file.type) || !has_true_digests(source)) continue;
      entry.claim = claim_of(file.hash);
      entry.claim_checked_by_tool = entry.claim.has_value() && file.type != "safetensor";
    }
  }

  const Context& context_;
  const Root& root_;
  ListingBuilder builder_;
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& env = context.environment;
  std::string store;
  std::string origin = "ramalama.conf";
  if (const auto config = env.get_nonempty("RAMALAMA_CONFIG")) {
    if (const auto text = mlxbase::os::read_small_file(context.fs, env.absolute(*config), kLimit)) {
      if (const auto value = store_of_config(*text)) store = *value;
    }
  } else {
    for (const std::string& folder : {env.system("/usr/share/ramalama"), env.system("/usr/local/share/ramalama"), path::join(env.etc, "ramalama"),
                                      path::join(xdg_data(env), "ramalama"), path::join(xdg_config(env), "ramalama")}) {
      read_config(context, folder, store);
    }
  }
  if (const auto value = env.get_nonempty("RAMALAMA_STORE")) {
    store = *value;
    origin = "RAMALAMA_STORE";
  }
  std::vector<Root> roots;
  if (!store.empty()) add_root(context, roots, StoreKind::ramalama, env.expand(store), origin);
  // What lies in the usual places stays there when the setting changes.
  const std::string of_root = env.system("/var/lib/ramalama");
  const std::string of_user = path::join(xdg_data(env), "ramalama");
  for (const std::string& folder : env.uid == 0 ? std::vector{of_root, of_user} : std::vector{of_user, of_root}) {
    const auto stat = context.fs.stat(path::join(folder, "store"), mlxbase::os::Follow::yes);
    if (stat && stat->kind == mlxbase::os::FileKind::directory) add_root(context, roots, StoreKind::ramalama, folder, "default");
  }
  return roots;
}

Listing list(const Context& context, const Root& root) { return Lister(context, root).run(); }

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) {
  // A container may have the snapshot folder mounted, yet nothing reads a name that no ref gives. Of refs/ every name is read as a ref.
  const std::string_view folder = path::parent(target);
  return staging_beside_target(path::file_name(folder) == "refs" ? std::string(folder) : target, token);
}

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::ramalama
