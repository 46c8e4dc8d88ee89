// openai-whisper: <name>.pt, hashed by the tool at each load. Facts: docs/design/stores.md, openai-whisper.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/whisper_digests.h"

namespace mlxcache::stores::openai_whisper {
namespace path = mlxbase::path;

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  const auto& environment = context.environment;
  // The same place on macOS; a relative value is taken as it stands, from where the tool runs.
  const auto cache = environment.get_nonempty("XDG_CACHE_HOME");
  add_root(context, out, StoreKind::openai_whisper, path::join(cache ? environment.absolute(*cache) : path::join(environment.home, ".cache"), "whisper"),
           cache ? "XDG_CACHE_HOME" : "default");
  return out;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::openai_whisper));
  WalkOptions options;
  options.cancel = context.cancel;
  for (const Found& f : walk(context.fs, root.path, builder.problems(), options)) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    if (entry.role != Role::payload && entry.role != Role::link) continue;
    if (!f.path.ends_with(".pt")) {
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      continue;
    }
    // The tool looks in the folder itself only; a fine-tune further down may be called tiny.pt, too.
    if (entry.role == Role::payload && path::parent(f.path) == root.path) {
      entry.claim = openai_whisper_digest(path::file_name(f.path));
      entry.claim_checked_by_tool = entry.claim.has_value();
    }
    catalog::Model model;
    model.id = path::relative_to(root.path, f.path.substr(0, f.path.size() - std::string_view(".pt").size()));
    builder.join(builder.model(std::move(model)), e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::openai_whisper
