// AUTOMATIC1111 and Forge: a file in the folder of its kind; checkpoints must not lie on top of models/, from where they are moved.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/image_kind.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::automatic1111 {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::os::Follow;

/// Below models/; empty: Forge alone loads it.
std::string_view folder_of(ImageKind kind) {
  switch (kind) {
    case ImageKind::checkpoint: return "Stable-diffusion";
    case ImageKind::vae: return "VAE";
    case ImageKind::lora: return "Lora";
    case ImageKind::controlnet: return "ControlNet";
    case ImageKind::text_encoder: return "text_encoder";
    case ImageKind::diffusion_model:
    case ImageKind::clip_vision: break;
  }
  return {};
}

}  // namespace

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const auto has = [&](std::string_view below) { return context.fs.stat(path::join(root.path, below), Follow::yes).has_value(); };
  std::string models;
  if (has("models")) {
    models = "models";
  } else if (!has("Stable-diffusion")) {
    return fail(Code::unsupported, root.path + " is a folder of one kind of models, not the web UI's folder of all");
  }
  const ImageFile image = TRY(image_file_of(context, source, "The web UI"));
  const std::string kind(to_string(image.kind));
  const std::string_view folder = folder_of(image.kind);
  const bool forge = has(path::join(models, "text_encoder")) || has(path::join(models, "diffusers"));
  if (folder.empty() || (image.kind == ImageKind::text_encoder && !forge)) {
    return fail(Code::unsupported, "it is a " + kind + ", which the web UI has no folder for (Forge and ComfyUI load such files)");
  }
  const std::string& file = source.files[image.file].name;
  if (lower(file).ends_with(".gguf")) return fail(Code::unsupported, "the web UI loads safetensors and ckpt files, and this is a GGUF");
  PublicationBuilder builder(context, root, source);
  TRY(builder.payload(path::join(models, folder, file), image.file));
  builder.note("it is a " + kind);
  return builder.finish(path::join(folder, file));
}

/// Lines of cache.json about a file that is gone are never looked at again: the tool's lock is not taken for them.
Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) { return remove_plain(context, listing, model); }

}  // namespace mlxcache::stores::automatic1111
