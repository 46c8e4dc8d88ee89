// LocalAI: weights with a definition and a gallery record for each model.
#include <fmt/format.h>

#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::localai {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  // Its default is a folder beside where it is started.
  const catalog::Root root{catalog::StoreKind::localai, order.place("localai/models"), "home"};
  for (const Model& model : order.models) {
    if (!path::is_safe_segment(model.id)) return mlxbase::fail(mlxbase::Code::invalid, "not a model's name for LocalAI");
    std::string definition = fmt::format("name: {}\nbackend: llama-cpp\n", model.id);
    std::string record = fmt::format("name: {}\nurls:\n- https://example.com/{}\nfiles:\n", model.id, model.id);
    bool first = true;
    for (const File& file : model.files) {
      const std::string name = path::join(model.id, file.name);
      TRY(put(path::join(root.path, name), file.bytes));
      if (file.name.contains("mmproj")) {
        definition += fmt::format("mmproj: {}\n", name);
      } else if (first) {
        definition += fmt::format("parameters:\n  model: {}\n", name);
        first = false;
      }
      record += fmt::format("- filename: {}\n  sha256: {}\n  uri: huggingface://example/{}\n", name, sha256_hex(file.bytes), name);
    }
    TRY(put(path::join(root.path, model.id + ".yaml"), definition));
    TRY(put(path::join(root.path, "._gallery_" + model.id + ".yaml"), record));
  }
  const std::string noise = gguf_bytes(0x10ca, 8 << 10);
  if (order.extras.partial) TRY(put(path::join(root.path, "half.Q4_K_M.gguf.partial"), noise.substr(0, 3000), 0600));
  // Of a model whose definition was deleted by hand.
  if (order.extras.orphan) TRY(put(path::join(root.path, "forgotten", "weights.gguf"), noise));
  if (order.extras.broken) TRY(link("/nowhere/gone.gguf", path::join(root.path, "gone.gguf")));
  return root;
}

}  // namespace mlxcache::sample::localai
