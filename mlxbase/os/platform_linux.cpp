#include "mlxbase/os/environment.h"

namespace mlxbase::os {

Platform this_platform() { return Platform::linux_os; }

}  // namespace mlxbase::os
