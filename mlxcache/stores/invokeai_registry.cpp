#include "mlxcache/stores/invokeai_registry.h"

#include <array>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxbase/format/yaml.h"
#include "mlxbase/sql/database.h"
#include "mlxcache/stores/common.h"

namespace mlxcache::stores::invokeai {
namespace {

namespace path = mlxbase::path;
using mlxbase::Algorithm;
using mlxbase::Code;

constexpr std::size_t kRecordLimit = 1 << 20;
constexpr std::int64_t kMaxRecords = 100'000;

/// "blake3:3fa9…". Only algorithms that hash a file's bytes; "random:" and plugins' own have no relation to them.
std::optional<mlxbase::Digest> parse_hash(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, Algorithm>, 4> kPrefixes = {
      {{"blake3:", Algorithm::blake3}, {"sha256:", Algorithm::sha256}, {"sha1:", Algorithm::sha1}, {"md5:", Algorithm::md5}}};
  for (const auto& [prefix, algorithm] : kPrefixes) {
    if (text.starts_with(prefix)) return mlxbase::Digest::parse(algorithm, text.substr(prefix.size()));
  }
  return std::nullopt;
}

}  // namespace

mlxbase::Result<Record> parse_record(std::string_view json) {
  const auto value = TRY(mlxbase::json::parse(json, {.bytes = kRecordLimit, .depth = 32}));
  Record record;
  record.name = value["name"].string();
  record.path = value["path"].string();
  record.format = value["format"].string();
  record.hash = parse_hash(value["hash"].string());
  if (record.path.empty() || record.path.contains('\0')) return mlxbase::fail(Code::invalid, "a model without a path");
  if (!path::is_absolute(record.path) && !path::is_safe_relative(record.path)) return mlxbase::fail(Code::invalid, "a model's path leaves the models folder");
  return record;
}

mlxbase::Result<std::vector<Record>> read_registry(const Context& context, const std::string& home, std::vector<catalog::Problem>& problems) {
  const std::string file = path::join(home, "databases", "invokeai.db");
  const auto stat = TRY(context.fs.stat(file));
  if (stat.kind != mlxbase::os::FileKind::regular) return mlxbase::fail(Code::invalid, "the registry is not a file");
  auto db = TRY(mlxbase::sql::Database::open_read_only(file));
  auto rows = db.prepare("SELECT config FROM models LIMIT ?1");
  if (!rows) rows = db.prepare("SELECT config FROM model_config LIMIT ?1");  // 3.x
  if (!rows) return mlxbase::fail(rows.error());
  TRY(rows->bind(1, kMaxRecords));
  std::vector<Record> out;
  while (TRY(rows->step())) {
    auto record = parse_record(rows->text(0));
    if (record) {
      out.push_back(std::move(*record));
    } else {
      problems.push_back({file, record.error()});
    }
  }
  return out;
}

std::string models_dir(const Context& context, const std::string& home) {
  constexpr std::uint64_t kLimit = 1 << 20;
  const auto text = read_metadata(context, home, path::join(home, "invokeai.yaml"), kLimit);
  if (text) {
    if (const auto config = mlxbase::yaml::parse(*text)) {
      std::string dir = (*config)["models_dir"].string();
      // Up to 3.x the settings lay in groups.
      if (dir.empty()) dir = (*config)["InvokeAI"]["Paths"]["models_dir"].string();
      if (!dir.empty() && !dir.contains('\0')) return path::normal(path::join(home, context.environment.expand(dir)));
    }
  }
  return path::join(home, "models");
}

}  // namespace mlxcache::stores::invokeai
