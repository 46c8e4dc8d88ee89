// Models given to LM Studio: <publisher>/<model>/<files>, nothing to register; and taken out again.
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::lm_studio {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

/// The folder that mirrors the hub's id; without one, a publisher of that name.
std::string folder_of(const ModelSource& source) {
  if (const auto slash = source.id.find('/'); slash != std::string::npos) return source.id;
  return path::join("local", source.id.empty() ? source.name : source.id);
}

bool is_bundled(const Root& root) { return root.path.ends_with("/bundled-models"); }

}  // namespace

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  if (is_bundled(root)) return mlxbase::fail(Code::unsupported, "that folder belongs to the app: an update replaces it");
  const std::string folder = folder_of(source);
  PublicationBuilder out(context, root, source);
  // A folder has one kind of weights: the app takes GGUF first.
  if (const auto ggufs = gguf_files(source); !ggufs.empty()) {
    for (const std::uint32_t i : ggufs) TRY(out.payload(path::join(folder, gguf_file_name(source, i)), i));
    return out.finish(folder);
  }
  const auto files = TRY(safetensors_set(context, root, source, "LM Studio"));
  if (context.environment.platform != mlxbase::os::Platform::macos) {
    return mlxbase::fail(Code::unsupported, "LM Studio loads safetensors with MLX, which it has on Macs only; here it loads GGUF");
  }
  std::set<std::string> names;
  for (const std::uint32_t i : files) names.insert(source.files[i].name);
  TRY(refuse_other_weights(context, path::join(root.path, folder), names));
  for (const std::uint32_t i : files) TRY(out.payload(path::join(folder, source.files[i].name), i));
  if (files.size() != source.files.size()) out.note("files in subfolders and other forms of the same weights were left out");
  return out.finish(folder);
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  if (is_bundled(listing.root)) return mlxbase::fail(Code::unsupported, "it belongs to the app, which would put it back");
  const std::string folder = path::join(listing.root.path, of->id);
  return remove_plain(context, listing, model, entries_below(listing, folder, model), folder);
}

}  // namespace mlxcache::stores::lm_studio
