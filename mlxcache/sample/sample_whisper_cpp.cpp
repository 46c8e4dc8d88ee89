// whisper.cpp: a checkout's models folder. Noise cannot have the digests that the released names stand for.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::whisper_cpp {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::whisper_cpp, order.place("whisper.cpp/models"), "checkout"};
  TRY(put(path::join(root.path, "download-ggml-model.sh"), "#!/bin/sh\n", 0755));
  for (const Model& model : order.models) {
    if (model.files.size() != 1) return mlxbase::fail(mlxbase::Code::invalid, "a model of whisper.cpp is one file");
    TRY(put(path::join(root.path, model.id + ".bin"), model.files[0].bytes));
    TRY(put(path::join(root.path, model.id + "-encoder.mlmodelc", "metadata.json"), "[]"));
  }
  // The script writes the final name; a person who fetches it by hand leaves this.
  if (order.extras.partial) TRY(put(path::join(root.path, "ggml-large-v3.bin.part"), "lmgg"));
  if (order.extras.broken) TRY(link("/nowhere/ggml-medium.bin", path::join(root.path, "ggml-medium.bin")));
  return root;
}

}  // namespace mlxcache::sample::whisper_cpp
