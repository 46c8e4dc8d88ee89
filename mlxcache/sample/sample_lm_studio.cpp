// LM Studio: publisher/model folders below the models folder of its home.
#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::lm_studio {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::lm_studio, order.place(".lmstudio/models"), "default"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    if (std::count(model.id.begin(), model.id.end(), '/') != 1 || !path::is_safe_relative(model.id)) {
      return mlxbase::fail(mlxbase::Code::invalid, "LM Studio's models are publisher/model");
    }
    const std::string folder = path::join(root.path, model.id);
    for (const File& file : model.files) TRY(put(path::join(folder, file.name), file.bytes));
    if (i + 1 != order.models.size()) continue;
    if (order.extras.partial) TRY(put(path::join(folder, "downloading_second.Q8_0.gguf.part"), std::string(5000, 'p')));
    if (order.extras.broken) TRY(link("/nowhere/gone.gguf", path::join(folder, "gone.gguf")));
  }
  if (order.extras.orphan) TRY(put(path::join(root.path, "stray.gguf"), gguf_bytes(0x1577, 6000)));
  return root;
}

}  // namespace mlxcache::sample::lm_studio
