// kagglehub: owner/model/framework/variation/version, and an empty mark beside each version that is whole.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::kagglehub {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::kagglehub, order.place(".cache/kagglehub/models"), "default"};
  for (const Model& model : order.models) {
    if (!path::is_safe_relative(model.id)) return mlxbase::fail(mlxbase::Code::invalid, "not a handle of Kaggle");
    for (const File& file : model.files) TRY(put(path::join(root.path, model.id, file.name), file.bytes));
    TRY(put(path::join(root.path, model.id + ".complete"), ""));
  }
  if (order.extras.partial) {  // an archive on its way, and a folder that was not unpacked to its end
    TRY(put(path::join(root.path, "owner/second/pyTorch/base/1.archive"), "\x1f\x8b"));
    TRY(put(path::join(root.path, "owner/third/pyTorch/base/1/model.safetensors"), safetensors_bytes(0x4a66, 8 << 10).substr(0, 3000)));
  }
  if (order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(root.path, "owner/fourth/pyTorch/base/1/gone.safetensors")));
  return root;
}

}  // namespace mlxcache::sample::kagglehub
