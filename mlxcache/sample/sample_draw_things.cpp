// Draw Things: SQLite files called .ckpt, some with their tensors beside them.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::draw_things {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::draw_things, order.place("Library/Containers/com.liuliu.draw-things/Data/Documents/Models"), "default"};
  for (const Model& model : order.models) {
    bool first = true;
    for (const File& file : model.files) {
      TRY(put(path::join(root.path, model.id + (first ? ".ckpt" : ".ckpt-tensordata")), file.bytes));
      first = false;
    }
  }
  TRY(put(path::join(root.path, "custom.json"), R"([{"name":"Alpha","file":"alpha_f16.ckpt","version":"v1"}])"));
  // The app's own downloads go elsewhere first; this is one by hand.
  if (order.extras.partial) TRY(put(path::join(root.path, "second_q8p.ckpt.part"), "SQLite format 3"));
  if (order.extras.broken) TRY(link("/nowhere/gone_f16.ckpt", path::join(root.path, "gone_f16.ckpt")));
  return root;
}

}  // namespace mlxcache::sample::draw_things
