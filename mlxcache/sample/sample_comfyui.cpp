// ComfyUI: one file a model in a category's folder, its preview beside it; diffusers models are folders.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::comfyui {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::comfyui, order.place("ComfyUI/models"), "default"};
  for (const std::string_view category : {"checkpoints", "loras", "vae", "diffusers"}) {
    TRY(put(path::join(root.path, category, "put_" + std::string(category) + "_here"), ""));
  }
  for (const Model& model : order.models) {
    const std::string id = model.id.contains('/') ? model.id : path::join(model.files.size() == 1 ? "checkpoints" : "diffusers", model.id);
    if (model.files.size() == 1) {
      TRY(put(path::join(root.path, id + std::string(path::extension(model.files[0].name))), model.files[0].bytes));
      TRY(put(path::join(root.path, id + ".preview.png"), "\x89PNG\r\n\x1a\n"));
      continue;
    }
    bool index = false;
    for (const File& file : model.files) {
      TRY(put(path::join(root.path, id, file.name), file.bytes));
      index = index || file.name == "config.json" || file.name == "model_index.json";
    }
    if (!index) TRY(put(path::join(root.path, id, "model_index.json"), R"({"_class_name":"StableDiffusionPipeline"})"));
  }
  // Nodes that download with huggingface_hub's older releases leave these.
  if (order.extras.partial) TRY(put(path::join(root.path, "checkpoints/second.safetensors.incomplete"), safetensors_bytes(0xc0f1, 8 << 10).substr(0, 3000)));
  if (order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(root.path, "loras/gone.safetensors")));
  return root;
}

}  // namespace mlxcache::sample::comfyui
