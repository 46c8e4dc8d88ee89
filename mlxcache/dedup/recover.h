#pragma once
#include "mlxcache/dedup/apply.h"

namespace mlxcache::dedup {

/// recover(), by one who holds the lock of MLXCACHE_HOME already.
mlxbase::Result<Recovered> recover_locked(const Machinery& machinery);

}  // namespace mlxcache::dedup
