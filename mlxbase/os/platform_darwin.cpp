#include "mlxbase/os/environment.h"

namespace mlxbase::os {

Platform this_platform() { return Platform::macos; }

}  // namespace mlxbase::os
