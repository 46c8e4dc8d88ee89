// AUTOMATIC1111: checkpoints with their hashes in cache.json, LoRAs and VAEs in folders of their own.
#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::automatic1111 {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::automatic1111, order.place("stable-diffusion-webui"), "default"};
  constexpr std::string_view kCheckpoints = "Stable-diffusion";
  mlxbase::json::Value hashes{mlxbase::json::Object{}};
  for (const Model& model : order.models) {
    const std::string id = model.id.contains('/') ? model.id : path::join(kCheckpoints, model.id);
    for (const File& file : model.files) {
      const std::string name = model.files.size() == 1 ? id + std::string(path::extension(file.name)) : path::join(id, file.name);
      const std::string where = path::join(root.path, "models", name);
      TRY(put(where, file.bytes));
      if (!name.starts_with(kCheckpoints) || file.name.ends_with(".json")) continue;
      const auto stat = TRY(mlxbase::os::real_file_system().stat(where));
      mlxbase::json::Value record;
      record.set("mtime", static_cast<double>(stat.mtime_ns / 1'000'000'000 + 1)).set("sha256", sha256_hex(file.bytes));
      hashes.set("checkpoint/" + name.substr(kCheckpoints.size() + 1), std::move(record));
    }
  }
  mlxbase::json::Value cache;
  cache.set("hashes", std::move(hashes));
  TRY(put(path::join(root.path, "cache.json"), mlxbase::json::dump(cache, 4)));
  TRY(put(path::join(root.path, "cache.json.lock"), ""));
  TRY(put(path::join(root.path, "models", kCheckpoints, "Put Stable Diffusion checkpoints here.txt"), ""));
  if (order.extras.partial) {
    TRY(put(path::join(root.path, "models/ESRGAN/second.pth.3fa91c02.partial"), safetensors_bytes(0xa111, 8 << 10).substr(0, 3000)));
  }
  if (order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(root.path, "models", kCheckpoints, "gone.safetensors")));
  return root;
}

}  // namespace mlxcache::sample::automatic1111
