// openai-whisper: <name>.pt in one folder. Noise cannot have the digests that the released names stand for.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::openai_whisper {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::openai_whisper, order.place(".cache/whisper"), "default"};
  for (const Model& model : order.models) {
    if (model.files.size() != 1) return mlxbase::fail(mlxbase::Code::invalid, "a model of openai-whisper is one file");
    TRY(put(path::join(root.path, model.id + ".pt"), model.files[0].bytes));
  }
  // The tool writes the final name; a person who fetches large-v3 by hand leaves this.
  if (order.extras.partial) TRY(put(path::join(root.path, "large-v3.pt.part"), safetensors_bytes(0x3e5, 8 << 10).substr(0, 3000)));
  if (order.extras.broken) TRY(link("/nowhere/medium.pt", path::join(root.path, "medium.pt")));
  return root;
}

}  // namespace mlxcache::sample::openai_whisper
