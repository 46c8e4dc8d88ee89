// Jan: a folder and a model.yml for each model below its data folder.
#include <fmt/format.h>

#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::jan {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::jan, order.place(".local/share/Jan/data", "Library/Application Support/Jan/data"), "default"};
  const std::string below = "llamacpp/models";
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    if (!path::is_safe_relative(model.id)) return mlxbase::fail(mlxbase::Code::invalid, "not a model's id for Jan");
    const std::string folder = path::join(below, model.id);
    std::string yaml = fmt::format("name: {}\nembedding: false\n", model.id);
    bool first = true;
    for (const File& file : model.files) {
      const std::string name = path::join(folder, file.name);
      TRY(put(path::join(root.path, name), file.bytes));
      const bool projector = file.name.contains("mmproj");
      if (!projector && !first) continue;
      const std::string_view what = projector ? "mmproj" : "model";
      yaml += fmt::format("{}_path: {}\n{}_sha256: {}\n{}_size_bytes: {}\n", what, name, what, sha256_hex(file.bytes), what, file.bytes.size());
      first = first && projector;
    }
    TRY(put(path::join(root.path, folder, "model.yml"), yaml));
    if (i + 1 != order.models.size()) continue;
    if (order.extras.partial) TRY(put(path::join(root.path, folder, "mmproj.gguf.tmp"), std::string(3000, 'p')));
    if (order.extras.broken) TRY(link("/nowhere/gone.gguf", path::join(root.path, folder, "gone.gguf")));
  }
  if (order.extras.orphan) TRY(put(path::join(root.path, below, "forgotten/model.gguf"), gguf_bytes(0x1a40, 6000)));
  return root;
}

}  // namespace mlxcache::sample::jan
