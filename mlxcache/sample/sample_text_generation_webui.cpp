// text-generation-webui: a folder a repo with the record of its download; a lone GGUF lies on top.
#include <fmt/format.h>

#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::text_generation_webui {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::text_generation_webui, order.place("text-generation-webui/user_data/models"), "install folder"};
  TRY(put(path::join(root.path, "place-your-models-here.txt"), ""));
  for (const Model& model : order.models) {
    if (!path::is_safe_segment(model.id)) return mlxbase::fail(mlxbase::Code::invalid, "not a model's name for text-generation-webui");
    if (model.files.size() == 1 && model.id == model.files[0].name) {
      TRY(put(path::join(root.path, model.id), model.files[0].bytes));
      continue;
    }
    std::string record = fmt::format("url: https://huggingface.co/example/{}\nbranch: main\ndownload date: 2026-01-02 03:04:05\nsha256sum:\n", model.id);
    for (const File& file : model.files) {
      TRY(put(path::join(root.path, model.id, file.name), file.bytes));
      record += fmt::format("    {}  {}\n", sha256_hex(file.bytes), file.name);
    }
    TRY(put(path::join(root.path, model.id, "huggingface-metadata.txt"), record));
  }
  // Its own downloads have no temporary names; a browser's do.
  if (order.extras.partial) TRY(put(path::join(root.path, "half.gguf.part"), gguf_bytes(0x3eb0, 8 << 10).substr(0, 3000)));
  if (order.extras.broken) TRY(link("/nowhere/gone.gguf", path::join(root.path, "gone.gguf")));
  return root;
}

}  // namespace mlxcache::sample::text_generation_webui
