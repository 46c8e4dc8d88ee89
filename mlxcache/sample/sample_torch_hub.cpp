// PyTorch hub: weights in checkpoints/, a repository's code beside them.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::torch_hub {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::torch_hub, order.place(".cache/torch/hub"), "default"};
  for (const Model& model : order.models) {
    if (model.files.size() != 1) return mlxbase::fail(mlxbase::Code::invalid, "a model of torch hub is one file");
    TRY(put(path::join(root.path, "checkpoints", model.id + std::string(path::extension(model.files[0].name))), model.files[0].bytes));
  }
  TRY(put(path::join(root.path, "pytorch_vision_main/hubconf.py"), "dependencies = ['torch']\n"));
  TRY(put(path::join(root.path, "trusted_list"), "pytorch_vision\n"));
  if (order.extras.partial) {
    TRY(put(path::join(root.path, "checkpoints/second.pth.0f8e1c2a5b.partial"), safetensors_bytes(0x70c4, 8 << 10).substr(0, 3000)));
  }
  if (order.extras.broken) TRY(link("/nowhere/gone.pth", path::join(root.path, "checkpoints/gone.pth")));
  return root;
}

}  // namespace mlxcache::sample::torch_hub
