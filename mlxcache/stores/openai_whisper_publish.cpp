// Released checkpoints given to openai-whisper, which hashes them at each load, and taken out again.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"
#include "mlxcache/stores/whisper_digests.h"

namespace mlxcache::stores::openai_whisper {

namespace path = mlxbase::path;

std::optional<Root> default_root(const Context& context) {
  const auto cache = context.environment.get_nonempty("XDG_CACHE_HOME");
  return Root{StoreKind::openai_whisper, path::join(cache ? context.environment.absolute(*cache) : path::join(context.environment.home, ".cache"), "whisper"),
              cache ? "XDG_CACHE_HOME" : "default"};
}

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  PublicationBuilder out(context, root, source);
  std::string visible_as;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string name(path::file_name(source.files[i].name));
    // With other bytes under a released name the tool downloads its own over them.
    if (openai_whisper_digest(name) != std::optional(source.files[i].sha256)) continue;
    TRY(out.payload(name, i));
    visible_as += (visible_as.empty() ? "" : ", ") + std::string(path::stem(name));
  }
  if (visible_as.empty()) {
    return mlxbase::fail(mlxbase::Code::unsupported, "openai-whisper loads its own released checkpoints, known by name and SHA-256, and this model is " +
                                                         describe_formats(source));
  }
  return out.finish(std::move(visible_as));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  return remove_plain(context, listing, model);
}

}  // namespace mlxcache::stores::openai_whisper
