// oMLX's folder: a folder a model, each with its config.json.
#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::mlx {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::mlx, order.place(".omlx/models"), "sample"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    const std::string folder = path::join(root.path, model.id);
    const bool configured = std::any_of(model.files.begin(), model.files.end(), [](const File& f) { return f.name == "config.json"; });
    if (!configured) TRY(put(path::join(folder, "config.json"), R"({"model_type":"llama"})"));
    for (const File& file : model.files) TRY(put(path::join(folder, file.name), file.bytes));
    if (i == 0 && order.extras.partial) TRY(put(path::join(folder, "model-half.safetensors.incomplete"), std::string(3000, 'p')));
    if (i + 1 == order.models.size() && order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(folder, "gone.safetensors")));
  }
  if (order.extras.orphan) TRY(put(path::join(root.path, "stray.safetensors"), safetensors_bytes(0x0f4b, 6000)));
  return root;
}

}  // namespace mlxcache::sample::mlx
