// Models given to text-generation-webui: a lone GGUF into models/, a repo into a folder there; and taken out again.
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::text_generation_webui {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

/// "org/name" is "org_name" there.
std::string folder_name(const ModelSource& source) {
  std::string name = source.id.empty() ? source.name : source.id;
  if (const auto slash = name.find('/'); slash != std::string::npos) name[slash] = '_';
  return name;
}

}  // namespace

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const std::string_view place = path::file_name(root.path);
  if (place == "loras" || place == "image_models") return mlxbase::fail(Code::unsupported, "that folder of text-generation-webui is not for language models");
  PublicationBuilder out(context, root, source);
  if (holds_gguf(source)) {
    const GgufChoice choice = TRY(choose_gguf(source));
    if (choice.projector) out.note("the projector was left out: text-generation-webui keeps those elsewhere");
    if (choice.parts.size() == 1) {
      const std::string name = gguf_file_name(source, choice.parts.front());
      TRY(out.payload(name, choice.parts.front()));
      return out.finish(name);
    }
    for (const std::uint32_t i : choice.parts) TRY(out.payload(path::join(folder_name(source), path::file_name(source.files[i].name)), i));
    return out.finish(folder_name(source));
  }
  const auto files = TRY(safetensors_set(context, root, source, "text-generation-webui"));
  std::set<std::string> names;
  for (const std::uint32_t i : files) names.insert(source.files[i].name);
  TRY(refuse_other_weights(context, path::join(root.path, folder_name(source)), names));
  for (const std::uint32_t i : files) TRY(out.payload(path::join(folder_name(source), source.files[i].name), i));
  return out.finish(folder_name(source));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  const std::string folder = path::join(listing.root.path, of->id);
  return remove_plain(context, listing, model, entries_below(listing, folder, model));
}

}  // namespace mlxcache::stores::text_generation_webui
