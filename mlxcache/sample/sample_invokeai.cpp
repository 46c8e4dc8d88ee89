// InvokeAI: a folder a model, named by its key, and a row in the database that makes it one.
#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/json.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/sql/database.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::invokeai {
namespace {

namespace path = mlxbase::path;

std::string uuid_of(std::string_view text) {
  std::string hex = opaque_hex(text).substr(0, 32);
  for (const std::size_t dash : {8U, 13U, 18U, 23U}) hex.insert(dash, "-");
  return hex;
}

std::string blake3_of(std::string_view bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::blake3);
  hasher.update(mlxbase::as_bytes(bytes));
  return "blake3:" + hasher.finish().hex();
}

mlxbase::Status add_row(mlxbase::sql::Database& db, const Model& model, const std::string& key, const std::string& where) {
  const bool single = model.files.size() == 1;
  mlxbase::json::Value config;
  config.set("key", key).set("name", model.id).set("path", where).set("base", "sd-1").set("type", "main");
  config.set("format", single ? "checkpoint" : "diffusers").set("source", "https://example.org/" + model.id).set("source_type", "url");
  // Of a folder: over its files' hashes, so it is none of theirs.
  config.set("hash", single ? blake3_of(model.files[0].bytes) : blake3_of("the sorted hashes of " + model.id));
  config.set("file_size", model.files.empty() ? 0U : model.files[0].bytes.size());
  auto insert = TRY(db.prepare("INSERT INTO models (id, config) VALUES (?1, ?2)"));
  TRY(insert.bind(1, std::string_view(key)));
  TRY(insert.bind(2, std::string_view(mlxbase::json::dump(config))));
  return insert.run();
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::invokeai, order.place("invokeai"), "default"};
  TRY(mlxbase::os::make_dirs(mlxbase::os::real_file_system(), path::join(root.path, "databases")));
  TRY(put(path::join(root.path, "invokeai.yaml"), "# Internal metadata - do not edit:\nschema_version: 4.0.2\n"));
  auto db = TRY(mlxbase::sql::Database::open(path::join(root.path, "databases", "invokeai.db")));
  TRY(db.execute("CREATE TABLE models (id TEXT NOT NULL PRIMARY KEY, config TEXT NOT NULL, created_at DATETIME, updated_at DATETIME)"));
  for (const Model& model : order.models) {
    const std::string key = uuid_of(model.id);
    const bool single = model.files.size() == 1;
    const std::string leaf = std::string(path::file_name(model.id)) + (single ? std::string(path::extension(model.files[0].name)) : "");
    for (const File& file : model.files) {
      TRY(put(single ? path::join(root.path, "models", key, leaf) : path::join(root.path, "models", key, leaf, file.name), file.bytes));
    }
    TRY(add_row(db, model, key, path::join(key, leaf)));
  }
  const std::string noise = safetensors_bytes(0x1417, 8 << 10);
  if (order.extras.orphan) TRY(put(path::join(root.path, "models", uuid_of("orphan"), "left-behind.safetensors"), noise));
  if (order.extras.partial) TRY(put(path::join(root.path, "models/tmpinstall_k3x9/second.safetensors.downloading"), noise.substr(0, 3000)));
  if (order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(root.path, "models", uuid_of("gone"), "gone.safetensors")));
  return root;
}

}  // namespace mlxcache::sample::invokeai
