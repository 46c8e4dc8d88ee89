// Somebody's own folder of models.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::loose {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::loose, order.place("models"), "sample"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    const std::string folder = path::join(root.path, model.id);
    for (const File& file : model.files) TRY(put(path::join(folder, file.name), file.bytes));
    if (i == 0 && order.extras.partial) TRY(put(path::join(folder, "half.safetensors.part"), std::string(3000, 'p')));
    if (i + 1 == order.models.size() && order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(folder, "gone.safetensors")));
  }
  return root;
}

}  // namespace mlxcache::sample::loose
