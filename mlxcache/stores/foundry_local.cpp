// Foundry Local: folders of ONNX models. Facts: docs/design/stores.md, Foundry Local.
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::foundry_local {
namespace {

namespace path = mlxbase::path;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 20U;
constexpr std::string_view kCard = "inference_model.json";

/// "v2" of <publisher>/<model>/v2.
bool is_version(std::string_view name) {
  return name.size() >= 2 && name[0] == 'v' && name.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  add_root(context, roots, StoreKind::foundry_local, path::join(context.environment.home, ".foundry/cache/models"), "default");
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::foundry_local));
  WalkOptions options;
  options.cancel = context.cancel;
  const auto found = walk(context.fs, root.path, builder.problems(), options);

  // A model is a folder with its card, or with ONNX files where a download has not brought one yet.
  std::map<std::string, std::string, std::less<>> names;  // folder → model
  for (const Found& f : found) {
    const std::string_view name = path::file_name(f.path);
    const std::string folder(path::parent(f.path));
    if (folder == root.path || !path::is_within(root.path, folder)) continue;
    if (name == kCard) {
      const auto card = read_json(context, root.path, f.path, kLimit);
      if (!card) {
        builder.problem(f.path, card.error());
      } else if (const std::string text = (*card)["Name"].string(); !text.empty()) {
        names[folder] = text;
      }
    }
    if (name == kCard || name == "genai_config.json" || is_onnx(name)) names.try_emplace(folder, "");
  }
  std::map<std::string, std::uint32_t, std::less<>> models;  // by folder
  std::set<std::string, std::less<>> taken;
  for (auto& [folder, name] : names) {
    // A folder inside a model's (onnx parts, adapters) belongs to that one.
    bool inside = false;
    for (std::string_view up = path::parent(folder); !inside && up.size() > root.path.size(); up = path::parent(up)) inside = names.contains(up);
    if (inside) continue;
    const std::string relative(path::relative_to(root.path, folder));
    catalog::Model model;
    // Two versions may carry one name on their cards.
    model.id = name.empty() || taken.contains(name) ? relative : name;
    taken.insert(model.id);
    if (is_version(path::file_name(folder))) model.revision = path::file_name(folder);
    model.format = "onnx";
    models.emplace(folder, builder.model(std::move(model)));
  }

  for (const Found& f : found) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    const std::string_view name = path::file_name(f.path);
    auto it = models.end();
    for (std::string_view up = path::parent(f.path); it == models.end() && up.size() > root.path.size(); up = path::parent(up)) it = models.find(up);
    if (entry.role == Role::payload && (name == kCard || name.starts_with('.'))) {
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
    }
    if (entry.role == Role::payload) entry.links_reason = "ONNX loaders refuse links";
    if (it == models.end()) {
      // Not in a model's folder: the tool lists nothing there.
      if (entry.role == Role::payload) entry.role = is_weights(name) ? Role::orphan : Role::metadata;
      if (entry.role == Role::metadata) entry.links = catalog::kNoLinks;
      continue;
    }
    if ((entry.role == Role::partial && !is_staging_name(name)) || entry.role == Role::broken) builder.model_at(it->second).incomplete = true;
    if (entry.role == Role::payload || entry.role == Role::link || entry.role == Role::broken) builder.join(it->second, e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

mlxbase::Result<Publication> publish(const Context& /*context*/, const Root& /*root*/, const ModelSource& source) {
  TRY(check_source(source));
  return mlxbase::fail(mlxbase::Code::unsupported, "Foundry Local runs ONNX models that were built for it (genai_config.json, inference_model.json), and this model is " + describe_formats(source));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t index) {
  const catalog::Model& model = *TRY(model_of(listing, index));
  if (model.entries.empty()) return mlxbase::fail(mlxbase::Code::changed, "it has no files any more");
  // Its folder: the one that holds all its files.
  std::string folder(path::parent(listing.entries[model.entries.front()].path));
  for (const std::uint32_t e : model.entries) {
    while (!path::is_within(folder, listing.entries[e].path)) folder = std::string(path::parent(folder));
  }
  if (!path::is_within(listing.root.path, folder) || folder == listing.root.path) return mlxbase::fail(mlxbase::Code::unsupported, "its files lie in no folder of their own");
  std::vector<std::uint32_t> companions;
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& entry = listing.entries[e];
    if (path::is_within(folder, entry.path) && entry.model < 0) companions.push_back(e);
  }
  return remove_plain(context, listing, index, companions, folder);
}

}  // namespace mlxcache::stores::foundry_local
