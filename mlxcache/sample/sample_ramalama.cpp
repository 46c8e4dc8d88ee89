// RamaLama: "huggingface://org/name:tag" with blobs, a ref and a snapshot of hard links.
#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::ramalama {
namespace {

namespace path = mlxbase::path;
using mlxbase::json::Value;

std::string type_of(std::string_view name) {
  if (name.contains("mmproj")) return "mmproj";
  if (name.ends_with(".gguf")) return "gguf";
  return name.ends_with(".safetensors") ? "safetensor" : "other";
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::ramalama, order.place(".local/share/ramalama"), "default"};
  auto& fs = mlxbase::os::real_file_system();
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    const auto scheme = model.id.find("://");
    const auto colon = model.id.rfind(':');
    if (scheme == std::string::npos || colon <= scheme) return mlxbase::fail(mlxbase::Code::invalid, "RamaLama's models are source://name:tag");
    const std::string name = model.id.substr(0, scheme) + "/" + model.id.substr(scheme + 3, colon - scheme - 3);
    const std::string tag = model.id.substr(colon + 1);
    if (!path::is_safe_relative(name) || !path::is_safe_segment(tag)) return mlxbase::fail(mlxbase::Code::invalid, "not a model's name for RamaLama");
    const std::string store = path::join(root.path, "store", name);
    const std::string hash = "sha256-" + opaque_hex(model.id);
    Value files{mlxbase::json::Array{}};
    for (const File& file : model.files) {
      // Of small files RamaLama knows no digest: their blobs are named by the hash of the name.
      const std::string type = type_of(file.name);
      const std::string blob = "sha256-" + sha256_hex(type == "other" ? file.name : file.bytes);
      const std::string blob_path = path::join(store, "blobs", blob);
      if (!fs.stat(blob_path)) TRY(put(blob_path, file.bytes));
      const std::string snapshot = path::join(store, "snapshots", hash, file.name);
      TRY(mlxbase::os::make_dirs(fs, std::string(path::parent(snapshot))));
      TRY(fs.hard_link(blob_path, snapshot));
      files.push(Value().set("hash", blob).set("name", file.name).set("type", type));
    }
    const std::string ref = path::join(store, "refs", tag + ".json");
    TRY(put(ref, mlxbase::json::dump(Value().set("hash", hash).set("path", ref).set("version", "v1.0.1").set("files", std::move(files)))));
    if (i + 1 != order.models.size()) continue;
    const std::string noise = gguf_bytes(0x4a3a, 8 << 10);
    if (order.extras.orphan) TRY(put(path::join(store, "blobs/sha256-" + sha256_hex(noise)), noise));
    if (order.extras.partial) TRY(put(path::join(store, "blobs/sha256-" + opaque_hex(noise) + ".partial"), noise.substr(0, 3000)));
    if (order.extras.broken) TRY(link("../../blobs/sha256-" + sha256_hex("gone"), path::join(store, "snapshots", hash, "gone.gguf")));
  }
  return root;
}

}  // namespace mlxcache::sample::ramalama
