// TensorFlow Hub: a folder named by the SHA-1 of the module's address. Facts: docs/design/stores.md, TensorFlow Hub.
#include <algorithm>
#include <map>
#include <set>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/removal_common.h"
#include "mlxcache/stores/tf_hub_descriptor.h"

namespace mlxcache::stores::tf_hub {
namespace {

namespace path = mlxbase::path;

constexpr std::uint64_t kDescriptorLimit = 64 << 10;
constexpr std::size_t kSha1Hex = 40;

bool is_module(std::string_view name) {
  return name.size() == kSha1Hex && mlxbase::Digest::parse(mlxbase::Algorithm::sha1, name).has_value();
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  const auto& environment = context.environment;
  const auto cache = environment.get_nonempty("TFHUB_CACHE_DIR");
  add_root(context, out, StoreKind::tf_hub, cache ? environment.absolute(environment.expand(*cache)) : path::join(environment.temp_directory, "tfhub_modules"),
           cache ? "TFHUB_CACHE_DIR" : "default");
  // Where people who want to keep their modules let the variable point to, in a shell that we may not be started from.
  add_root(context, out, StoreKind::tf_hub, path::join(xdg_cache(environment), "tfhub_modules"), "usual place");
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::tf_hub));
  WalkOptions options;
  options.cancel = context.cancel;
  const auto found = walk(context.fs, root.path, builder.problems(), options);
  std::set<std::string, std::less<>> locked;
  for (const Found& f : found) {
    const std::string_view below = path::relative_to(root.path, f.path);
    if (below.ends_with(".lock") && is_module(below.substr(0, below.find('.')))) locked.emplace(below.substr(0, kSha1Hex));
  }
  std::map<std::string, std::uint32_t, std::less<>> models;
  for (const Found& f : found) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    const std::string_view below = path::relative_to(root.path, f.path);
    const std::size_t slash = below.find('/');
    const std::string_view top = below.substr(0, slash);
    if (slash == std::string_view::npos || !is_module(top)) {
      // <sha1>.<uuid>.tmp/ is being unpacked; descriptors and locks lie beside the folders.
      const bool unpacking = slash != std::string_view::npos && top.ends_with(".tmp");
      const bool beside = slash == std::string_view::npos && is_module(top.substr(0, top.find('.')));
      if (entry.role == Role::payload) entry.role = unpacking ? Role::partial : beside ? Role::metadata : Role::foreign;
      entry.links = catalog::kNoLinks;
      continue;
    }
    const auto [it, added] = models.try_emplace(std::string(top), 0);
    if (added) {
      catalog::Model model;
      model.id = top;
      const auto text = read_metadata(context, root.path, path::join(root.path, std::string(top) + ".descriptor.txt"), kDescriptorLimit);
      if (text) {
        if (auto address = module_of_descriptor(*text, top)) {
          model.id = std::move(*address);
          model.revision = top;
        }
      }
      model.format = "tensorflow";
      it->second = builder.model(std::move(model));
    }
    if (locked.contains(top)) {
      entry.links = catalog::kNoLinks;
      entry.links_reason = "TensorFlow Hub holds its lock";
    }
    builder.join(it->second, e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

// TensorFlow Hub's own lock is the existence of a file, which list() looks for; there is no flock to take.
std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  if (of->entries.empty()) return Removal{};
  const std::string_view relative = path::relative_to(listing.root.path, listing.entries[of->entries.front()].path);
  const std::string folder = path::join(listing.root.path, relative.substr(0, relative.find('/')));
  std::vector<std::uint32_t> beside;
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& entry = listing.entries[e];
    if (entry.path == folder + ".lock") return mlxbase::fail(mlxbase::Code::busy, "TensorFlow Hub holds its lock: " + mlxbase::printable(entry.path));
    if (entry.path == folder + ".descriptor.txt") beside.push_back(e);
  }
  return remove_plain(context, listing, model, beside, folder);
}

}  // namespace mlxcache::stores::tf_hub
