// whisper.cpp: ggml-<model>.bin in whatever folder; apps keep copies. Facts: docs/design/stores.md, whisper.cpp.
#include <algorithm>
#include <unordered_map>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/whisper_digests.h"

namespace mlxcache::stores::whisper_cpp {
namespace {

namespace path = mlxbase::path;

constexpr std::string_view kPrefix = "ggml-";
constexpr std::string_view kEnding = ".bin";
constexpr std::string_view kEncoder = "-encoder.mlmodelc";

bool is_model(std::string_view name) { return name.size() > kPrefix.size() + kEnding.size() && name.starts_with(kPrefix) && name.ends_with(kEnding); }
std::string_view model_name(std::string_view file) { return file.substr(0, file.size() - kEnding.size()); }

/// The folder of a Core ML encoder that the file lies in, as "<dir>/ggml-<model>"; empty if none.
std::string encoder_of(std::string_view root, std::string_view file) {
  for (std::string_view dir = path::parent(file); dir.size() > root.size(); dir = path::parent(dir)) {
    if (dir.ends_with(kEncoder)) return std::string(dir.substr(0, dir.size() - kEncoder.size()));
  }
  return {};
}

void add_if_models(const Context& context, std::vector<Root>& roots, const std::string& folder, std::string_view origin) {
  const auto names = context.fs.list(folder);
  if (!names) return;
  // The script's folder is a checkout's models/, which has no weights until somebody downloads one.
  if (std::any_of(names->begin(), names->end(), [](const auto& entry) { return is_model(entry.name); })) {
    add_root(context, roots, StoreKind::whisper_cpp, folder, origin);
  }
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  const auto& environment = context.environment;
  // No store of its own: the download script writes into its checkout. What is looked for are a checkout at home and known apps.
  add_if_models(context, out, path::join(environment.home, "whisper.cpp/models"), "checkout");
  const bool macos = environment.platform == mlxbase::os::Platform::macos;
  if (const auto root = environment.get_nonempty("BUZZ_MODEL_ROOT")) add_if_models(context, out, environment.absolute(*root), "BUZZ_MODEL_ROOT");
  add_if_models(context, out, path::join(macos ? path::join(environment.home, "Library/Caches") : xdg_cache(environment), "Buzz/models"), "Buzz");
  for (const RedirectedHome& home : redirected_homes(context)) add_if_models(context, out, path::join(home.cache, "Buzz/models"), home.origin);
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::whisper_cpp));
  WalkOptions options;
  options.cancel = context.cancel;
  std::unordered_map<std::string, std::uint32_t> models;
  std::vector<std::pair<std::string, std::uint32_t>> encoders;
  for (const Found& f : walk(context.fs, root.path, builder.problems(), options)) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    if (entry.role != Role::payload && entry.role != Role::link) continue;
    if (std::string encoder = encoder_of(root.path, f.path); !encoder.empty()) {
      encoders.emplace_back(std::move(encoder), e);
    } else if (is_model(path::file_name(f.path))) {
      if (entry.role == Role::payload) entry.claim = whisper_cpp_digest(path::file_name(f.path));
      catalog::Model model;
      model.id = path::relative_to(root.path, model_name(f.path));
      model.format = "ggml";
      const std::uint32_t m = builder.model(std::move(model));
      builder.join(m, e);
      models.emplace(model_name(f.path), m);
    } else if (entry.role == Role::payload) {
      entry.role = Role::metadata;  // scripts, and the empty models that tests of whisper.cpp use
      entry.links = catalog::kNoLinks;
    }
  }
  for (const auto& [name, e] : encoders) {
    // A quantised model uses the encoder of the plain one, so an encoder may have no model of its name.
    if (const auto it = models.find(name); it != models.end()) builder.join(it->second, e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::whisper_cpp
