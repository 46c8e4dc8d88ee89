// Foundry Local: Publisher/model/v<n> folders of ONNX files with a card.
#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::foundry_local {

namespace path = mlxbase::path;
using mlxbase::json::Value;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::foundry_local, order.place(".foundry/cache/models"), "default"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    if (!path::is_safe_segment(model.id)) return mlxbase::fail(mlxbase::Code::invalid, "not a model's name for Foundry Local");
    const std::string folder = path::join(root.path, "Microsoft", model.id, "v1");
    for (const File& file : model.files) TRY(put(path::join(folder, file.name), file.bytes));
    TRY(put(path::join(folder, "inference_model.json"), mlxbase::json::dump(Value().set("Name", model.id).set("PromptTemplate", Value().set("prompt", "{Content}")))));
    if (i + 1 != order.models.size()) continue;
    if (order.extras.partial) TRY(put(path::join(folder, "adapter.onnx.data.tmp"), std::string(3000, 'p')));
    if (order.extras.broken) TRY(link("/nowhere/model.onnx.data", path::join(folder, "gone.onnx.data")));
  }
  if (order.extras.orphan) TRY(put(path::join(root.path, "stray.onnx"), std::string(6000, 'o')));
  return root;
}

}  // namespace mlxcache::sample::foundry_local
