#include "mlxcache/catalog/store.h"

namespace mlxcache::catalog {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::payload: return "payload";
    case Role::metadata: return "metadata";
    case Role::link: return "link";
    case Role::broken: return "broken";
    case Role::partial: return "partial";
    case Role::orphan: return "orphan";
    case Role::lock: return "lock";
    case Role::foreign: return "foreign";
  }
  return "unknown";
}

}  // namespace mlxcache::catalog
