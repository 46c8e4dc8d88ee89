// Docker Model Runner: OCI blobs and manifests, models.json, and a bundle of hard links for each model, as after its first run.
#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::docker_model_runner {
namespace {

namespace path = mlxbase::path;
using mlxbase::Result;
using mlxbase::json::Value;

std::string blob_path(const std::string& root, std::string_view bytes) { return path::join(root, "blobs/sha256", sha256_hex(bytes)); }

Result<Value> layer(const std::string& root, const std::string& type, const std::string& name, std::string_view bytes) {
  if (!mlxbase::os::real_file_system().stat(blob_path(root, bytes))) TRY(put(blob_path(root, bytes), bytes));
  Value v;
  v.set("mediaType", "application/vnd.docker.ai." + type).set("size", bytes.size()).set("digest", "sha256:" + sha256_hex(bytes));
  if (!name.empty()) v.set("annotations", Value().set("org.cncf.model.filepath", name));
  return v;
}

}  // namespace

Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::docker_model_runner, order.place(".docker/models"), "default"};
  auto& fs = mlxbase::os::real_file_system();
  Value rows{mlxbase::json::Array{}};
  for (const Model& model : order.models) {
    Value layers{mlxbase::json::Array{}};
    Value files{mlxbase::json::Array{}};
    for (const File& file : model.files) {
      const std::string_view ending = path::extension(file.name);
      const std::string type = file.name.contains("mmproj") ? "mmproj" : ending == ".gguf" ? "gguf.v3" : ending == ".safetensors" ? "safetensors" : "model.file";
      layers.push(TRY(layer(root.path, type, file.name, file.bytes)));
      files.push("sha256:" + sha256_hex(file.bytes));
    }
    Value config;
    config.set("config", Value().set("format", "gguf").set("architecture", "llama").set("name", model.id));
    config.set("rootfs", Value().set("type", "rootfs"));
    const std::string config_text = mlxbase::json::dump(config);
    Value manifest;
    manifest.set("schemaVersion", 2).set("mediaType", "application/vnd.oci.image.manifest.v1+json");
    manifest.set("config", TRY(layer(root.path, "model.config.v0.1+json", "", config_text)));
    manifest.set("layers", std::move(layers));
    const std::string text = mlxbase::json::dump(manifest);
    TRY(put(path::join(root.path, "manifests/sha256", sha256_hex(text)), text));
    files.push("sha256:" + sha256_hex(config_text));
    rows.push(Value().set("id", "sha256:" + sha256_hex(text)).set("tags", Value().push("index.docker.io/" + model.id)).set("files", std::move(files)));

    const std::string bundle = path::join(root.path, "bundles/sha256", sha256_hex(text));
    TRY(put(path::join(bundle, "config.json"), config_text));
    for (const File& file : model.files) {
      const std::string name = path::join(bundle, "model", file.name);
      TRY(mlxbase::os::make_dirs(fs, std::string(path::parent(name))));
      TRY(fs.hard_link(blob_path(root.path, file.bytes), name));
    }
  }
  TRY(put(path::join(root.path, "models.json"), mlxbase::json::dump(Value().set("models", std::move(rows)))));
  TRY(put(path::join(root.path, "layout.json"), R"({"version":"1.0.0"})"));
  const std::string noise = gguf_bytes(0xd0c4, 8 << 10);
  if (order.extras.orphan) TRY(put(blob_path(root.path, noise), noise));
  if (order.extras.partial) TRY(put(path::join(root.path, "blobs/sha256", opaque_hex(noise) + ".incomplete"), noise.substr(0, 3000)));
  return root;
}

}  // namespace mlxcache::sample::docker_model_runner
