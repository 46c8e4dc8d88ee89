// ggml models given to a folder of whisper.cpp, and taken out again.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::whisper_cpp {

namespace path = mlxbase::path;

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  PublicationBuilder out(context, root, source);
  std::string visible_as;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string name(path::file_name(source.files[i].name));
    if (format_of(name) != "ggml" || !name.starts_with("ggml-") || !name.ends_with(".bin")) continue;
    TRY(out.payload(name, i));
    visible_as += (visible_as.empty() ? "" : ", ") + std::string(path::stem(name));
  }
  if (visible_as.empty()) {
    return mlxbase::fail(mlxbase::Code::unsupported, "whisper.cpp loads ggml-<model>.bin, and this model is " + describe_formats(source));
  }
  return out.finish(std::move(visible_as));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  return remove_plain(context, listing, model);
}

}  // namespace mlxcache::stores::whisper_cpp
