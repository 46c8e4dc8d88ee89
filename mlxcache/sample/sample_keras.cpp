// Keras: weights of its applications, and the names of their classes.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::keras {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::keras, order.place(".keras/models"), "default"};
  for (const Model& model : order.models) {
    for (const File& file : model.files) {
      const std::string name = model.files.size() == 1 ? model.id + std::string(path::extension(file.name)) : path::join(model.id, file.name);
      TRY(put(path::join(root.path, name), file.bytes));
    }
  }
  TRY(put(path::join(root.path, "imagenet_class_index.json"), R"({"0":["n01440764","tench"]})"));
  // Keras writes the final name; a person who fetches it by hand leaves this.
  if (order.extras.partial) TRY(put(path::join(root.path, "second.h5.part"), "\x89HDF"));
  if (order.extras.broken) TRY(link("/nowhere/gone.h5", path::join(root.path, "gone.h5")));
  return root;
}

}  // namespace mlxcache::sample::keras
