// Ollama: each model's first file is its layer, with a config, a template and a licence beside it.
#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::ollama {
namespace {

namespace path = mlxbase::path;
using mlxbase::Status;
using mlxbase::json::Value;

/// Equal layers of several models are one blob.
Status put_blob(const std::string& root, std::string_view bytes) {
  const std::string file = path::join(root, "blobs", "sha256-" + sha256_hex(bytes));
  if (mlxbase::os::real_file_system().stat(file)) return {};
  return put(file, bytes);
}

mlxbase::Result<Value> layer(const std::string& root, std::string_view type, std::string_view bytes) {
  TRY(put_blob(root, bytes));
  Value v;
  v.set("mediaType", std::string(type));
  v.set("digest", "sha256:" + sha256_hex(bytes));
  v.set("size", bytes.size());
  return v;
}

/// "llama3.2:3b", "user/model:tag", "hf.co/org/repo:Q4_K_M" → the path below manifests/.
mlxbase::Result<std::string> manifest_path(std::string_view id) {
  std::string tag = "latest";
  if (const auto colon = id.rfind(':'); colon != std::string_view::npos && !id.substr(colon).contains('/')) {
    tag = id.substr(colon + 1);
    id = id.substr(0, colon);
  }
  const auto slashes = std::count(id.begin(), id.end(), '/');
  std::string name(id);
  if (slashes == 0) name = "registry.ollama.ai/library/" + name;
  if (slashes == 1) name = "registry.ollama.ai/" + name;
  name += "/" + tag;
  if (slashes > 2 || !path::is_safe_relative(name)) return mlxbase::fail(mlxbase::Code::invalid, "not a model's name for Ollama");
  return name;
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  const std::string root = order.place(".ollama/models");
  auto& fs = mlxbase::os::real_file_system();
  TRY(mlxbase::os::make_dirs(fs, path::join(root, "blobs")));
  TRY(mlxbase::os::make_dirs(fs, path::join(root, "manifests")));
  for (const Model& model : order.models) {
    Value layers{mlxbase::json::Array{}};
    bool first = true;
    for (const File& file : model.files) {
      const bool projector = file.name.contains("mmproj");
      const std::string type = std::string("application/vnd.ollama.image.") + (projector ? "projector" : first ? "model" : "json");
      layers.push(TRY(layer(root, type, file.bytes)));
      first = first && projector;
    }
    layers.push(TRY(layer(root, "application/vnd.ollama.image.template", "{{ .Prompt }}")));
    layers.push(TRY(layer(root, "application/vnd.ollama.image.license", "MIT License\n")));
    Value config;
    config.set("model_format", "gguf").set("model_family", "llama").set("model_type", "1.2B").set("file_type", "Q4_K_M");
    config.set("architecture", "amd64").set("os", "linux");
    Value manifest;
    manifest.set("schemaVersion", 2).set("mediaType", "application/vnd.docker.distribution.manifest.v2+json");
    manifest.set("config", TRY(layer(root, "application/vnd.docker.container.image.v1+json", mlxbase::json::dump(config))));
    manifest.set("layers", std::move(layers));
    TRY(put(path::join(root, "manifests", TRY(manifest_path(model.id))), mlxbase::json::dump(manifest)));
  }
  const std::string noise = gguf_bytes(0x0117, 24 << 10);
  if (order.extras.orphan) TRY(put_blob(root, noise));
  if (order.extras.partial) {
    const std::string name = path::join(root, "blobs", "sha256-" + opaque_hex(noise) + "-partial");
    TRY(put(name, noise.substr(0, noise.size() / 2)));
    TRY(put(name + "-0", R"({"N":0,"Offset":0,"Size":24576,"Completed":12288})"));
  }
  // A blob that was moved to another disk and linked, and then lost there.
  if (order.extras.broken) TRY(link("/nowhere/sha256-" + sha256_hex("gone"), path::join(root, "blobs", "sha256-" + sha256_hex("gone"))));
  return catalog::Root{catalog::StoreKind::ollama, root, "default"};
}

}  // namespace mlxcache::sample::ollama
