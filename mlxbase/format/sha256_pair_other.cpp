// Processors of which we know no instructions for SHA-256.
#include <cstdlib>

#include "mlxbase/format/sha256_pair.h"

namespace mlxbase::native {

bool has_sha256_pair() { return false; }
void sha256_pair(Sha256Lane& /*a*/, Sha256Lane& /*b*/, std::size_t /*blocks*/) { std::abort(); }

}  // namespace mlxbase::native
