#include "mlxcache/catalog/catalog.h"

namespace mlxcache::catalog {

Fingerprint fingerprint_of(const mlxbase::os::FileStat& stat) {
  return {.id = stat.id, .size = stat.size, .mtime_ns = stat.mtime_ns, .ctime_ns = stat.ctime_ns};
}

}  // namespace mlxcache::catalog
