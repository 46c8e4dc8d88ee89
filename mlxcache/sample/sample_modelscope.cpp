// Every second model as the old SDK laid it out, the others as the new client does.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::modelscope {
namespace {

namespace path = mlxbase::path;

std::string without_dots(std::string name) {
  for (auto at = name.find('.'); at != std::string::npos; at = name.find('.', at)) name.replace(at, 1, "___");
  return name;
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::modelscope, order.place(".cache/modelscope"), "sample"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    const auto slash = model.id.find('/');
    if (slash == std::string::npos) return mlxbase::fail(mlxbase::Code::invalid, "an id of ModelScope is owner/name");
    const std::string owner = model.id.substr(0, slash);
    const std::string name = model.id.substr(slash + 1);
    const bool legacy = i % 2 == 1;
    const std::string folder = legacy ? path::join(root.path, "hub/models", owner, without_dots(name))
                                      : path::join(root.path, "models", owner + "--" + name, "snapshots/master");
    for (const File& file : model.files) TRY(put(path::join(folder, file.name), file.bytes));
    if (legacy) {
      TRY(put(path::join(folder, ".msc"), std::string("\x80\x04]\x94.", 5)));  // a pickled empty list
      TRY(put(path::join(folder, ".mv"), "Revision:master,CreatedAt:1718000000"));
      if (without_dots(name) != name) TRY(link(without_dots(name), path::join(path::parent(folder), name)));
    }
    if (i == 0 && order.extras.partial) TRY(put(path::join(folder, "half.safetensors.incomplete"), std::string(3000, 'p')));
    if (i + 1 == order.models.size() && order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(folder, "gone.safetensors")));
  }
  return root;
}

}  // namespace mlxcache::sample::modelscope
