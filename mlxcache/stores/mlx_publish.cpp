// Models given to MLX tools that keep folders (oMLX), and taken out again.
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::mlx {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

}  // namespace

std::optional<Root> default_root(const Context& context) {
  return Root{StoreKind::mlx, path::join(context.environment.home, ".omlx/models"), "default"};
}

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  if (root.path.ends_with("exo/models")) return mlxbase::fail(Code::unsupported, "how exo names the folders of its models is not known for certain");
  const auto files = TRY(safetensors_set(context, root, source, "an MLX tool"));
  // Two levels are looked into; the id keeps equal names of two makers apart.
  const std::string folder = source.id.empty() ? source.name : source.id;
  std::set<std::string> names;
  for (const std::uint32_t i : files) names.insert(source.files[i].name);
  TRY(refuse_other_weights(context, path::join(root.path, folder), names));
  PublicationBuilder out(context, root, source);
  // config.json makes the folder a model: last.
  for (const std::uint32_t i : files) {
    if (source.files[i].name != "config.json") TRY(out.payload(path::join(folder, source.files[i].name), i));
  }
  for (const std::uint32_t i : files) {
    if (source.files[i].name == "config.json") TRY(out.payload(path::join(folder, source.files[i].name), i));
  }
  if (files.size() != source.files.size()) out.note("files in subfolders and other forms of the same weights were left out");
  return out.finish(std::string(path::file_name(folder)));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  return remove_plain(context, listing, model, {}, path::join(listing.root.path, of->id));
}

}  // namespace mlxcache::stores::mlx
