// ComfyUI: a file in the folder of its kind. Its yaml of further folders could name a folder elsewhere, but a folder of another tool has names that no workflow knows.
#include <array>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/image_kind.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::comfyui {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::os::Follow;

/// Where each kind lies, today's name first.
std::array<std::string_view, 2> folders_of(ImageKind kind) {
  switch (kind) {
    case ImageKind::checkpoint: return {"checkpoints", "checkpoints"};
    case ImageKind::diffusion_model: return {"diffusion_models", "unet"};
    case ImageKind::vae: return {"vae", "vae"};
    case ImageKind::lora: return {"loras", "loras"};
    case ImageKind::controlnet: return {"controlnet", "controlnet"};
    case ImageKind::text_encoder: return {"text_encoders", "clip"};
    case ImageKind::clip_vision: return {"clip_vision", "clip_vision"};
  }
  return {};
}

}  // namespace

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const auto has = [&](std::string_view below) { return context.fs.stat(path::join(root.path, below), Follow::yes).has_value(); };
  const std::string models = has("folder_paths.py") ? "models" : "";
  if (models.empty() && !has("checkpoints") && path::file_name(root.path) != "models") {
    return fail(Code::unsupported, root.path + " is a folder of one kind of models, not ComfyUI's folder of all");
  }
  const ImageFile image = TRY(image_file_of(context, source, "ComfyUI"));
  const auto names = folders_of(image.kind);
  const bool older = !has(path::join(models, names[0])) && has(path::join(models, names[1]));
  const std::string folder(older ? names[1] : names[0]);
  const std::string& file = source.files[image.file].name;

  PublicationBuilder builder(context, root, source);
  TRY(builder.payload(path::join(models, folder, file), image.file));
  builder.note("it is a " + std::string(to_string(image.kind)));
  if (lower(file).ends_with(".gguf")) builder.note("ComfyUI loads GGUF files with the custom node ComfyUI-GGUF only");
  return builder.finish(path::join(folder, file));
}

/// The file and what goes with it by its stem: the listing joins both.
Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) { return remove_plain(context, listing, model); }

}  // namespace mlxcache::stores::comfyui
