// Models given to ModelScope in its new layout, and taken out of either.
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::modelscope {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

constexpr std::string_view kRevision = "master";  // what the client asks for if it is told nothing

/// The readable <owner>/<name> beside <name___>: it would dangle.
std::vector<std::uint32_t> links_to(const Listing& listing, std::uint32_t model) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& link = listing.entries[e];
    if (link.stat.kind != mlxbase::os::FileKind::symlink || link.model >= 0) continue;
    const std::string to = path::normal(path::join(path::parent(link.path), link.link_target));
    if (to == listing.root.path || !path::is_within(listing.root.path, to)) continue;
    bool ours = false, others = false;
    for (const Entry& entry : listing.entries) {
      if (entry.model < 0 || !path::is_within(to, entry.path)) continue;
      (static_cast<std::uint32_t>(entry.model) == model ? ours : others) = true;
    }
    if (ours && !others) out.push_back(e);
  }
  return out;
}

}  // namespace

std::optional<Root> default_root(const Context& context) {
  if (const auto value = context.environment.get_nonempty("MODELSCOPE_CACHE")) {
    return Root{StoreKind::modelscope, context.environment.absolute(context.environment.expand(*value)), "MODELSCOPE_CACHE"};
  }
  return Root{StoreKind::modelscope, path::join(context.environment.home, ".cache/modelscope"), "default"};
}

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const auto slash = source.id.find('/');
  if (slash == std::string::npos) {
    return mlxbase::fail(Code::unsupported, "ModelScope finds models by owner and name, and this one's owner is not known");
  }
  const std::string folder = path::join("models", source.id.substr(0, slash) + "--" + source.id.substr(slash + 1), "snapshots", kRevision);
  std::set<std::string> names;
  for (const SourceFile& file : source.files) names.insert(file.name);
  TRY(refuse_other_weights(context, path::join(root.path, folder), names));
  PublicationBuilder out(context, root, source);
  for (std::uint32_t i = 0; i < source.files.size(); ++i) TRY(out.payload(path::join(folder, source.files[i].name), i));
  out.note("ModelScope compares sizes with its own server's: where that has other files under this id, it fetches them");
  return out.finish(source.id);
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  TRY(model_of(listing, model));
  return remove_plain(context, listing, model, links_to(listing, model));
}

}  // namespace mlxcache::stores::modelscope
