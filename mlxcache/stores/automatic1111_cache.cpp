#include "mlxcache/stores/automatic1111_cache.h"

#include "mlxbase/format/json.h"

namespace mlxcache::stores::automatic1111 {
namespace {

constexpr std::string_view kCheckpoint = "checkpoint/";
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

mlxbase::Result<std::map<std::string, Hashed, std::less<>>> parse_hash_cache(std::string_view json) {
  const auto document = TRY(mlxbase::json::parse(json, {.bytes = std::size_t{32} << 20U, .depth = 16}));
  std::map<std::string, Hashed, std::less<>> out;
  for (const auto& [title, record] : document["hashes"].object()) {
    if (!title.starts_with(kCheckpoint)) continue;
    const auto digest = mlxbase::Digest::parse(mlxbase::Algorithm::sha256, record["sha256"].string());
    if (!digest) continue;  // null while it was never computed
    out.insert_or_assign(title.substr(kCheckpoint.size()), Hashed{.mtime = record["mtime"].number(), .sha256 = *digest});
  }
  return out;
}

double python_mtime(std::int64_t mtime_ns) {
  std::int64_t seconds = mtime_ns / kNsPerSecond;
  std::int64_t rest = mtime_ns % kNsPerSecond;
  if (rest < 0) {
    --seconds;
    rest += kNsPerSecond;
  }
  return static_cast<double>(seconds) + 1e-9 * static_cast<double>(rest);
}

std::optional<mlxbase::Digest> valid_hash(const Hashed& hashed, std::int64_t mtime_ns) {
  // The tool's rule: a file newer than its record is hashed again; an older one is believed, whatever its bytes are now.
  if (python_mtime(mtime_ns) > hashed.mtime) return std::nullopt;
  return hashed.sha256;
}

}  // namespace mlxcache::stores::automatic1111
