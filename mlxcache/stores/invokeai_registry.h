#pragma once
// What InvokeAI's database says of its models: a JSON record a model.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::stores::invokeai {

struct Record {
  std::string name;
  std::string path;                      // below the models folder, or absolute (registered in place)
  std::string format;                    // "checkpoint", "diffusers", "gguf_quantized", …
  std::optional<mlxbase::Digest> hash;   // of a single file's bytes; empty for hashes that are not (random, of a folder's list, unknown)
  friend bool operator==(const Record&, const Record&) = default;
};

/// One row's JSON. Errors: corrupt, invalid (no path, or one that leaves the models folder by `..`).
mlxbase::Result<Record> parse_record(std::string_view json);

/// Rows of databases/invokeai.db below `home`; rows that make no sense are named in `problems`.
/// Errors: those of sql::Database::open_read_only; unsupported (no table of models).
mlxbase::Result<std::vector<Record>> read_registry(const Context& context, const std::string& home, std::vector<catalog::Problem>& problems);

/// models_dir of invokeai.yaml, absolute; <home>/models if it says nothing.
std::string models_dir(const Context& context, const std::string& home);

}  // namespace mlxcache::stores::invokeai
