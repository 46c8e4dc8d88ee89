#pragma once
// AUTOMATIC1111's cache.json: SHA-256 of checkpoints, true while the file is not newer than the record.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::automatic1111 {

struct Hashed {
  double mtime = 0;  // seconds, as Python's os.path.getmtime gave it
  mlxbase::Digest sha256;
};

/// By the checkpoint's name: its path below models/Stable-diffusion. Only the table "hashes": "hashes-addnet" is over other bytes.
/// Errors: corrupt, invalid (too large).
mlxbase::Result<std::map<std::string, Hashed, std::less<>>> parse_hash_cache(std::string_view json);

/// os.path.getmtime: nanoseconds as Python rounds them into seconds.
double python_mtime(std::int64_t mtime_ns);

/// The SHA-256 if the record still counts for a file of that time.
std::optional<mlxbase::Digest> valid_hash(const Hashed& hashed, std::int64_t mtime_ns);

}  // namespace mlxcache::stores::automatic1111
