#include "mlxcache/change/undo.h"

namespace mlxcache::change {

mlxbase::Result<Undone> undo_names(const Machinery&, journal::Transaction&, const std::string&, const journal::Contents&) {
  return mlxbase::fail(mlxbase::Code::unsupported, "not yet");
}

}  // namespace mlxcache::change
