// Leftovers of older versions: chunk ranges under names that tell no file. Models have no files here; each gets one item of the cache.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::hf_xet {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::hf_xet, order.place(".cache/huggingface/xet"), "sample"};
  const std::string endpoint = path::join(root.path, "https___cas_serv-tGqkUaZf_CBPHQ6h");
  TRY(put(path::join(endpoint, "shard-cache", opaque_hex("shard") + ".mdb"), std::string(2048, 's')));
  for (const Model& model : order.models) {
    for (const File& file : model.files) {
      const std::string key = opaque_hex(model.id + file.name).substr(0, 43) + "=";
      TRY(put(path::join(endpoint, "chunk-cache", key.substr(0, 2), key, "AAAAAAEAAAAQJwAAAAAAAKSP2hk="), file.bytes));
    }
  }
  if (order.extras.partial) TRY(put(path::join(endpoint, "staging/shard-session/upload.mdb"), std::string(512, 'u')));
  return root;
}

}  // namespace mlxcache::sample::hf_xet
